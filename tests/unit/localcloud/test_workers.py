"""The execution environments of the functions: their start, their turns and their end."""

import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from localcloud.emulator import own_api, workers
from localcloud.settings import Settings

LONG = workers.IDLE_SECONDS + 1
ACCOUNT, REGION = "111111111111", "us-east-1"
ENVIRONMENTS = 5


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those of a cloud whose functions may have five environments."""
    monkeypatch.setenv("FUNCTION_ENVIRONMENTS", str(ENVIRONMENTS))
    monkeypatch.setattr(own_api, "_settings", Settings.generate("dev", tmp_path, 4571))


CONFIGURATION = {"FunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"}


def environment(*, idle: float = 0.0, in_use: bool = False) -> SimpleNamespace:
    return SimpleNamespace(in_use=in_use, last_used=time.time() - idle)


def test_idle_environments_end(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a function with version 2 under blue and 3 sharing its traffic
    alias = {"FunctionVersion": "2", "RoutingConfig": {"AdditionalVersionWeights": {"3": 0.1}}}
    monkeypatch.setitem(lambda_svc._functions._data, (ACCOUNT, REGION, "f"), {"aliases": {"blue": alias}})
    # And environments of four versions
    pools = {
        "1": [environment(idle=LONG / 2)],
        "2": [environment(idle=LONG), environment(idle=LONG / 2)],
        "3": [environment(idle=LONG / 2)],
        "$LATEST": [environment(idle=1), environment(idle=LONG, in_use=True), environment(idle=LONG / 2)],
    }
    ended: list[SimpleNamespace] = []
    running = {f"{ACCOUNT}:{REGION}:f:{version}": list(pool) for version, pool in pools.items()}
    monkeypatch.setattr(lambda_runtime, "_workers", running)
    monkeypatch.setattr(lambda_runtime, "kill_workers", ended.extend)
    # When the emulator ends the idle ones
    lambda_svc.reap_idle_workers()
    # Then those in use or used recently stay, and longer where an alias names their version
    left = {pool.rpartition(":")[2]: len(kept) for pool, kept in running.items()}
    assert left == {"2": 1, "3": 1, "$LATEST": 2}
    assert len(ended) == 3


def test_environments_of_a_version_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given two free environments of a version
    just_used, rested = environment(idle=1), environment(idle=50)
    pool = lambda_runtime._worker_key("f", CONFIGURATION, "7")
    monkeypatch.setattr(lambda_runtime, "_workers", {pool: [just_used, rested]})
    # When a request arrives
    leased, how = lambda_svc.acquire_worker("f", CONFIGURATION, b"", "7")
    # Then the environment that was idle longest serves it
    assert leased is rested
    assert how == "reused"
    assert rested.in_use


def test_the_first_request_to_a_version_starts_all_its_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a version that was never called
    started: list[object] = []
    monkeypatch.setattr(lambda_runtime, "_workers", {})
    monkeypatch.setattr(lambda_runtime, "_worker_class_for", lambda config: lambda *_: environment())
    monkeypatch.setattr(lambda_runtime, "ensure_spawned", started.append)
    # When the first request takes an environment
    _, how = lambda_svc.acquire_worker("f", CONFIGURATION, b"", "7")
    # Then the others are started at the same time, and are free
    deadline = time.monotonic() + 5
    pool = lambda_runtime._worker_key("f", CONFIGURATION, "7")
    while len(started) < ENVIRONMENTS - 1 or sum(w.in_use for w in lambda_runtime._workers[pool]) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert how == "spawn"
    assert len(lambda_runtime._workers[pool]) == ENVIRONMENTS


def test_requests_get_environments_in_the_order_in_which_they_came_and_the_others_are_not_woken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a version whose environments are all busy, and requests that wait in line
    pool = lambda_runtime._worker_key("f", CONFIGURATION, "7")
    busy = [environment(in_use=True) for _ in range(ENVIRONMENTS)]
    monkeypatch.setattr(lambda_runtime, "_workers", {pool: busy})
    tries, look = [], workers._longest_unused
    monkeypatch.setattr(workers, "_longest_unused", lambda pool: tries.append(pool) or look(pool))
    served: list[int] = []
    waiting = [threading.Thread(target=lambda n=n: served.append(_acquired(n)), daemon=True) for n in range(20)]  # type: ignore[misc]
    for place, thread in enumerate(waiting):
        thread.start()
        _eventually(lambda place=place: len(workers._lines[pool]) == place + 1)  # type: ignore[misc]
    _eventually(lambda: len(tries) == 1)
    # When environments become free one after the other
    for number in range(len(waiting)):
        lambda_svc.release_worker(busy[number % ENVIRONMENTS])
        _eventually(lambda number=number: len(served) == number + 1)  # type: ignore[misc]
    # Then the requests are served in their order, and only the first of the line has looked each time
    assert served == list(range(len(waiting)))
    assert len(tries) <= 3 * len(waiting)


def test_a_request_that_gets_no_environment_in_its_time_is_throttled(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = lambda_runtime._worker_key("f", CONFIGURATION, "7")
    monkeypatch.setattr(lambda_runtime, "_workers", {pool: [environment(in_use=True) for _ in range(ENVIRONMENTS)]})

    assert lambda_svc.acquire_worker("f", CONFIGURATION | {"Timeout": 0.05}, b"", "7") == (None, "func_cap")
    # And those who come later don't wait for it
    assert not workers._lines[pool]


def _acquired(number: int) -> int:
    leased, _ = lambda_svc.acquire_worker("f", CONFIGURATION, b"", "7")
    assert leased is not None
    return number


def _eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_with_little_free_memory_a_version_gets_one_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.psutil, "virtual_memory", lambda: SimpleNamespace(available=100 * 2**20))

    assert workers._most_environments() == 1


@pytest.mark.parametrize(("wanted", "limits"), [("yes", [(4711, 1024)]), ("no", [])])
def test_an_environment_gets_its_processor_share_once_it_has_initialised(
    wanted: str, limits: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Given a cloud that limits the processor, or does not
    monkeypatch.setenv("LIMIT_PROCESSOR", wanted)
    monkeypatch.setattr(own_api, "_settings", Settings.generate("dev", tmp_path, 4571))
    limited: list[tuple[int, int]] = []
    monkeypatch.setattr(workers.processor_share, "limit", lambda pid, memory_mb: limited.append((pid, memory_mb)))
    worker = SimpleNamespace(config={"MemorySize": 1024, "Version": "1"}, _proc=None)

    def start(starting: SimpleNamespace) -> None:
        starting._proc = SimpleNamespace(pid=4711)
        assert limited == [], "the initialisation is not limited"

    # When an environment starts
    workers.spawn(start, worker)
    # Then its requests are limited, or are not
    assert limited == limits


@pytest.mark.parametrize("given", [0, workers.BEHIND + 5])
@pytest.mark.parametrize(("version", "least"), [("$LATEST", workers.BEHIND), ("7", 0)])
def test_functions_on_which_no_client_waits_leave_the_processors_to_the_others(
    version: str, least: int, given: int
) -> None:
    # Given a cloud of some priority, which `nice make promote` may have lowered
    given = max(given, os.getpriority(os.PRIO_PROCESS, 0))
    worker = SimpleNamespace(config={"MemorySize": 128, "Version": version}, _proc=None)
    with subprocess.Popen(["sleep", "30"]) as process:
        os.setpriority(os.PRIO_PROCESS, process.pid, given)
        # When an environment of a function starts
        workers.spawn(lambda starting: setattr(starting, "_proc", process), worker)
        found = psutil.Process(process.pid).nice()
        process.kill()
    # Then it is behind the others if no client waits for it, and never before the cloud
    assert found == max(given, least)
