"""AWS clients with time limits, and the translation of their failures."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from lambdas.adapters import deadline, tracing
from lambdas.payments.errors import Unavailable

_REQUEST = {"connect": 1, "read": 1.5, "attempts": 2}
"""A call takes at most 6 seconds: 2 x (1 + 1.5), and one jittered pause of at most 1."""
_DEPLOYMENT = {"connect": 5, "read": 30, "attempts": 5, "connections": 8}
"""Control planes may answer slowly, and for a deployment waiting is better than failing."""


@cache
def client(service: str) -> Any:
    """The client of ``service`` for requests. Its time limits let a request fail while its caller still waits."""
    return _client(service, **_REQUEST)


@cache
def patient_client(service: str) -> Any:
    """The client of ``service`` for deployments and rotations. It may repeat a call that already took effect."""
    return _client(service, **_DEPLOYMENT)


def _client(service: str, *, connect: float, read: float, attempts: float, connections: float = 4) -> Any:
    from botocore.config import Config

    client: Any = _session().client  # its overloads know services by literal names only
    return client(
        service,
        config=Config(
            connect_timeout=connect,
            read_timeout=read,
            retries={"mode": "standard", "total_max_attempts": int(attempts)},
            tcp_keepalive=True,
            max_pool_connections=int(connections),
        ),
    )


@cache
def _session() -> Any:
    """The session of all clients. Three clients with a session each take 1.7 times the memory of three sharing one."""
    import boto3

    return boto3.Session()


@contextmanager
def available(dependency: str) -> Iterator[None]:
    """Wraps a call to ``dependency``: traces it and turns transient failures (network, throttling, 5xx) into
    ``Unavailable``. Raises ``Unavailable`` at once when the request has no time left."""
    from botocore.exceptions import BotoCoreError, ClientError

    deadline.check(dependency)
    try:
        with tracing.span(dependency):
            yield
    except BotoCoreError as error:
        raise Unavailable(dependency) from error
    except ClientError as error:
        if _is_transient(error.response):
            raise Unavailable(dependency) from error
        raise


_TRANSIENT_CODES = (
    "ConditionalRequestConflict",  # S3, during another write of the same key
    "ProvisionedThroughputExceededException",  # DynamoDB, also for a hot key in an on-demand table
    "RequestLimitExceeded",
    "SlowDown",
    "TransactionConflictException",  # DynamoDB, during a transaction on the same item
    "TransactionInProgressException",
)


def _is_transient(response: Any) -> bool:
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = response.get("Error", {}).get("Code", "")
    return status >= 500 or status == 429 or "Throttl" in code or code in _TRANSIENT_CODES
