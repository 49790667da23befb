"""AWS clients with bounded time, and the translation of their failures."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from lambdas.adapters import deadline, tracing
from lambdas.payments.errors import Unavailable

_CONNECT_SECONDS = 1
_READ_SECONDS = 1.5
_ATTEMPTS = 2
"""A call takes at most 2 x (1 + 1.5) seconds and one jittered pause of at most a second: 6 in all."""


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
    """Around a call to ``dependency``: trace it, refuse to begin it when the request has no time left, and turn the
    failures that may pass by themselves (network, throttling, 5xx) into ``Unavailable``."""
    from botocore.exceptions import BotoCoreError, ClientError

    deadline.check(dependency)
    try:
        with tracing.span(dependency):
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


if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") in ("provisioned-concurrency", "snap-start"):
    # Initialised ahead of requests: then the SDK's import and models cost nobody anything. On demand a client waits
    # for the initialisation too, so there it comes at first use.
    for _service in ("dynamodb", "s3", "secretsmanager", "ssm"):
        client(_service)
