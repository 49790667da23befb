"""The Lambda execution environments of the local cloud: a small number that answers quickly.

MiniStack starts an interpreter for every request that finds none free, so a burst starts dozens at once. Here a request
waits for one of a few environments (``Settings.function_environments``), and only as many interpreters start at once as
there are processors. Those who wait are served in the order in which they came: when a version is slow for a moment,
all of them wait a little, and none of them for too long.

The first request to a published version starts all of its environments. Requests use them in turn. Each environment
therefore gets its slow first request (SDK, connections) early, and not in the middle of a load test. Idle environments
end soon.
"""

import contextvars
import os
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
from ministack.core import lambda_runtime
from ministack.core.lambda_runtime import Worker
from ministack.services import lambda_svc

from localcloud.emulator import own_api, processor_share
from localcloud.emulator.upstream import Function, original, replaces

LEAST_FREE_BYTES = 512 * 2**20
"""With less free memory on the machine, a version gets no second environment."""

IDLE_SECONDS = 45
"""An idle execution environment ends after this, as on AWS some time after its last request. A promotion loads one
cloud after the other, and the next stage's load test needs the 30 MB that each holds."""

RETIRED_IDLE_SECONDS = 15
"""The same for a version that no alias names: an old version after a release, and $LATEST.

CloudFormation calls $LATEST of several functions at the same time.
"""

LATEST = "$LATEST"
BEHIND = 10
"""The priority of functions without versions: schedules, imports, deployments. On AWS each environment has processors
of its own. Here they must leave them to the versions on which clients wait."""

original(lambda_runtime, "_worker_key")
original(lambda_runtime, "_worker_class_for")
original(lambda_runtime, "ensure_spawned")
_lines: dict[str, deque[threading.Event]] = defaultdict(deque)
"""By pool, those who wait for an environment of a version. Only the first of a line is called to try."""
_lines_change = threading.Lock()
_starting = threading.Semaphore(os.cpu_count() or 1)


@replaces(lambda_runtime, "acquire_worker", lambda_svc)
def acquire_worker(
    acquire: Function,
    func_name: str,
    config: Any,
    code_zip: bytes,
    qualifier: str = LATEST,
    max_concurrency: int | None = None,
) -> Any:
    """Wait for a free environment, at most for the function's timeout. After that the request is throttled."""
    deadline = time.monotonic() + float(config.get("Timeout", 30))
    pool = lambda_runtime._worker_key(func_name, config, qualifier)
    leased: Any = (None, "func_cap")
    with _in_line(pool) as called:
        while leased[0] is None and called.wait(max(0.0, deadline - time.monotonic())):
            called.clear()
            if rested := _longest_unused(pool):
                return rested, "reused"
            leased = acquire(func_name, config, code_zip, qualifier, max_concurrency or _most_environments())
    if leased[1] == "spawn" and qualifier.isdigit():
        start_others = contextvars.copy_context().run
        threading.Thread(target=start_others, args=(_start_others, pool, func_name, config, code_zip)).start()
    return leased


@contextmanager
def _in_line(pool: str) -> Iterator[threading.Event]:
    """Wait in line. The event is set when one is the first, and then each time that an environment may have become
    free. So an environment wakes one request; all the others would only take time from the emulator."""
    called = threading.Event()
    with _lines_change:
        line = _lines[pool]
        line.append(called)
        if line[0] is called:
            called.set()
    try:
        yield called
    finally:
        with _lines_change:
            line.remove(called)
            if not line:
                del _lines[pool]
        _call_the_first()


def _call_the_first() -> None:
    """Of each line, because environments of several versions may have become free."""
    with _lines_change:
        for line in _lines.values():
            if line:
                line[0].set()


def _most_environments() -> int:
    return own_api.settings().function_environments if psutil.virtual_memory().available > LEAST_FREE_BYTES else 1


def _longest_unused(pool: str) -> Any:
    with lambda_runtime._lock:
        free = [worker for worker in lambda_runtime._workers.get(pool, ()) if not worker.in_use]
        if not free:
            return None
        worker = min(free, key=lambda each: each.last_used)
        worker.in_use, worker.last_used = True, time.time()
        return worker


def _start_others(pool: str, func_name: str, config: Any, code_zip: bytes) -> None:
    while True:
        with lambda_runtime._lock:
            workers = lambda_runtime._workers.setdefault(pool, [])
            if len(workers) >= _most_environments():
                return
            worker = lambda_runtime._worker_class_for(config)(func_name, config, code_zip)
            worker.in_use, worker.last_used = True, time.time()
            workers.append(worker)
        try:
            lambda_runtime.ensure_spawned(worker)
        except Exception:
            return  # the next request retries the start, and reports the reason when that fails
        finally:
            lambda_runtime.release_worker(worker)


@replaces(lambda_runtime, "release_worker", lambda_svc)
def release_worker(release: Function, worker: Any) -> None:
    release(worker)
    _call_the_first()


@replaces(lambda_runtime, "invalidate_worker", lambda_svc)
def invalidate_worker(invalidate: Function, *args: Any, **kwargs: Any) -> None:
    """Call those who wait: a failed environment leaves its pool without being released."""
    invalidate(*args, **kwargs)
    _call_the_first()


@replaces(Worker, "_spawn")
def spawn(start: Function, worker: Any) -> None:
    with _starting:
        start(worker)
    if worker.config.get("Version", LATEST) == LATEST:
        process = psutil.Process(worker._proc.pid)
        process.nice(max(process.nice(), BEHIND))  # only root may raise the priority of a cloud that `nice` has started
    if own_api.settings().limit_processor:
        processor_share.limit(worker._proc.pid, int(worker.config["MemorySize"]))


@replaces(lambda_runtime, "reap_idle_workers", lambda_svc)
def end_idle_workers(_: Function, ttl: float | None = None) -> int:
    """End idle environments. MiniStack would keep one of every version that ever ran, and grow with each deployment."""
    ended = []
    with lambda_runtime._lock:
        for pool, workers in list(lambda_runtime._workers.items()):
            most = IDLE_SECONDS if _named_by_an_alias(pool) else RETIRED_IDLE_SECONDS
            oldest = time.time() - (most if ttl is None else ttl)
            kept = [worker for worker in workers if worker.in_use or worker.last_used >= oldest]
            ended += [worker for worker in workers if worker not in kept]
            if kept:
                lambda_runtime._workers[pool] = kept
            else:
                del lambda_runtime._workers[pool]
    lambda_runtime.kill_workers(ended)
    return len(ended)


def _named_by_an_alias(pool: str) -> bool:
    account, region, name, version = pool.split(":")
    function = lambda_svc._functions.get_scoped(account, region, name) or {}
    return any(
        version == alias["FunctionVersion"]
        or version in (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights", {})
        for alias in function.get("aliases", {}).values()
    )
