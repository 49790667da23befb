"""AWS clients with bounded time, and the translation of their failures."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from lambdas.adapters import deadline, tracing
from lambdas.payments.errors import Unavailable

_REQUEST = {"connect": 1, "read": 1.5, "attempts": 2}
"""A call takes at most 2 x (1 + 1.5) seconds and one jittered pause of at most a second: 6 in all."""
_DEPLOYMENT = {"connect": 5, "read": 30, "attempts": 5}
"""Control planes answer slowly at times, and a deployment would rather wait than fail."""


@cache
def client(service: str) -> Any:
    """The one client of ``service`` for requests in this execution environment: it fails while the client waits."""
    return _client(service, **_REQUEST)


@cache
def patient_client(service: str) -> Any:
    """The one client of ``service`` for deployments and rotations. A call may be sent again after it took effect."""
    return _client(service, **_DEPLOYMENT)


def _client(service: str, *, connect: float, read: float, attempts: float) -> Any:
    from botocore.config import Config

    client: Any = _session().client  # its overloads know services by literal names only
    return client(
        service,
        config=Config(
            connect_timeout=connect,
            read_timeout=read,
            retries={"mode": "standard", "total_max_attempts": int(attempts)},
            tcp_keepalive=True,
            max_pool_connections=4,
        ),
    )


@cache
def _session() -> Any:
    """Shared: three clients with a session each take 1.7 times the memory of three with one."""
    import boto3

    return boto3.Session()


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


_PASSING = (
    "ConditionalRequestConflict",  # S3, when another write of the same key is under way
    "ProvisionedThroughputExceededException",  # DynamoDB, also of a hot key of a table on demand
    "RequestLimitExceeded",
    "SlowDown",
)


def _may_pass(response: Any) -> bool:
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = response.get("Error", {}).get("Code", "")
    return status >= 500 or status == 429 or "Throttl" in code or code in _PASSING


if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") in ("provisioned-concurrency", "snap-start"):
    # Initialised ahead of requests: then the SDK's import and models cost nobody anything. On demand a client waits
    # for the initialisation too, so there it comes at first use.
    for _service in ("dynamodb", "s3", "secretsmanager", "ssm"):
        client(_service)
