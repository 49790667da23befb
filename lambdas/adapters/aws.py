"""AWS clients with bounded time, and the translation of their failures."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from lambdas.payments.errors import Unavailable

_CONNECT_SECONDS = 1
_READ_SECONDS = 2
_ATTEMPTS = 3
"""A call takes at most 3 x (1 + 2) seconds and the two jittered pauses of at most 1 and 2 seconds between: 12."""


def config() -> Any:
    """The botocore configuration of every client: short timeouts, few attempts, pauses with jitter."""
    from botocore.config import Config

    return Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        tcp_keepalive=True,
        max_pool_connections=4,
    )


@cache
def client(service: str) -> Any:
    """The one client of ``service`` in this execution environment."""
    import boto3

    client: Any = boto3.Session().client  # its overloads know services by literal names only
    return client(service, config=config())


@contextmanager
def available(dependency: str) -> Iterator[None]:
    """Turn the failures that may pass by themselves (network, throttling, 5xx) into ``Unavailable``."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except BotoCoreError as error:
        raise Unavailable(dependency) from error
    except ClientError as error:
        if _may_pass(error.response):
            raise Unavailable(dependency) from error
        raise


def _may_pass(response: Any) -> bool:
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = response.get("Error", {}).get("Code", "")
    return status >= 500 or status == 429 or "Throttl" in code or code in ("RequestLimitExceeded", "SlowDown")
