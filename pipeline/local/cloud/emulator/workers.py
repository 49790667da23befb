"""The Lambda execution environments of the local cloud: few, and quick to answer.

MiniStack starts one interpreter for every request that finds none free, and a burst starts dozens at once. Here a
request waits for one of ``MAXIMUM_PER_FUNCTION``, and interpreters start one after the other.
"""

import threading
import time
from typing import Any

from ministack.core import lambda_runtime
from ministack.core.lambda_runtime import Worker
from ministack.services import lambda_svc

from pipeline.local.cloud.emulator.upstream import Function, replaces

MAXIMUM_PER_FUNCTION = 3
"""Environments of one version of a function. More would only wait for the processor."""

_freed = threading.Condition()
_starting = threading.Lock()


@replaces(lambda_runtime, "acquire_worker", lambda_svc)
def acquire_worker(
    acquire: Function,
    func_name: str,
    config: Any,
    code_zip: bytes,
    qualifier: str = "$LATEST",
    max_concurrency: int | None = None,
) -> Any:
    """A free environment, waited for up to the function's own timeout; after that the request is throttled."""
    deadline = time.monotonic() + float(config.get("Timeout", 30))
    with _freed:
        while True:
            leased = acquire(func_name, config, code_zip, qualifier, max_concurrency or MAXIMUM_PER_FUNCTION)
            left = deadline - time.monotonic()
            if leased[0] is not None or left <= 0:
                return leased
            _freed.wait(left)


@replaces(lambda_runtime, "release_worker", lambda_svc)
def release_worker(release: Function, worker: Any) -> None:
    release(worker)
    with _freed:
        _freed.notify_all()  # waiters wait for different functions


@replaces(lambda_runtime, "invalidate_worker", lambda_svc)
def invalidate_worker(invalidate: Function, *args: Any, **kwargs: Any) -> None:
    """A failed environment leaves its pool without being released."""
    invalidate(*args, **kwargs)
    with _freed:
        _freed.notify_all()


@replaces(Worker, "_spawn")
def spawn(start: Function, worker: Any) -> None:
    with _starting:
        start(worker)
