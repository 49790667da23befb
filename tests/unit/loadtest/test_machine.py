"""Whose processor time it is, on a machine that runs the load test, the API and other programs."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace

import psutil
import pytest

from loadtest import machine
from loadtest.machine import Machine

SERVER = """
import socket, subprocess, sys, time
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
server.accept()
busy = "import time\\nwhile time.process_time() < 0.85: pass\\ntime.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", busy])
while time.process_time() < 0.4: pass
print("busy", flush=True)
time.sleep(60)
"""


@pytest.fixture
def server() -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    """The port of a server that, once it is called, uses 0.4 s of a processor itself and 0.8 s in a child."""
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    yield int(process.stdout.readline()), process
    for each in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        each.kill()
    process.wait()


def test_the_time_of_the_apis_processes_is_its_own_and_the_rest_is_of_others(
    server: tuple[int, "subprocess.Popen[str]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a machine with two processors, watched for ten seconds in which three seconds of them were used
    port, process = server
    busy, clock = [0.0], [0.0]
    monkeypatch.setattr(machine, "_busy_seconds", lambda: busy[0])
    monkeypatch.setattr(psutil, "cpu_count", lambda: 2)
    monkeypatch.setattr(machine, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    watched = Machine("127.0.0.1", port)
    # When the API used about 1.2 of these seconds
    with socket.create_connection(("127.0.0.1", port)):
        assert process.stdout
        assert process.stdout.readline() == "busy\n"
        [child] = psutil.Process(process.pid).children()
        while child.cpu_times().user + child.cpu_times().system < 0.8:
            time.sleep(0.05)
        busy[0], clock[0] = 3.0, 10.0
        total, others = watched.shares()
    # Then the rest, about 1.8 of 20 seconds, is of other programs
    assert total == pytest.approx(0.15)
    assert others == pytest.approx(0.09, abs=0.015)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> tuple[Machine, list[float], list[float]]:
    """A machine with two processors whose API does nothing, its busy seconds, and the clock, which a sleep turns."""
    busy, clock = [0.0], [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(machine, "_busy_seconds", lambda: busy[0])
    monkeypatch.setattr(machine, "_seconds", lambda process: 0.0)
    monkeypatch.setattr(psutil, "cpu_count", lambda: 2)
    monkeypatch.setattr(machine, "time", SimpleNamespace(perf_counter=lambda: clock[0], sleep=sleep))
    monkeypatch.setattr(machine, "_listeners", lambda host, port: {1})
    return Machine("127.0.0.1", 80), busy, clock


def test_a_program_that_starts_is_seen_though_the_run_is_long(
    quiet: tuple[Machine, list[float], list[float]],
) -> None:
    # Given a run of 60 seconds, and a browser that takes both processors for four of them
    watched, busy, clock = quiet
    for _ in range(120):
        clock[0] += 0.5
        if 20 < clock[0] <= 24:
            busy[0] += 1.0
        if clock[0] > 10:  # the warm-up is not judged
            watched.look()
    total, others = watched.shares()
    # Then the busiest five seconds tell, and not the average
    assert total == pytest.approx(8 / 120)
    assert others == pytest.approx(0.7)


def test_what_happens_in_the_warm_up_does_not_count(quiet: tuple[Machine, list[float], list[float]]) -> None:
    watched, busy, clock = quiet
    busy[0], clock[0] = 20.0, 10.0
    for _ in range(20):
        clock[0] += 0.5
        watched.look()
    assert watched.shares()[1] == 0


@pytest.mark.parametrize(("calm_after", "waits"), [(12, 20), (600, 60)])
def test_a_calm_moment_is_waited_for_but_not_for_ever(
    quiet: tuple[Machine, list[float], list[float]], monkeypatch: pytest.MonkeyPatch, calm_after: int, waits: int
) -> None:
    watched, _, clock = quiet
    monkeypatch.setattr(machine, "_busy_seconds", lambda: 2.0 * min(clock[0], calm_after))
    watched.wait_for_calm(0.25, most_seconds=60)
    assert clock[0] == waits


@pytest.mark.parametrize("host", ["203.0.113.9", "a.execute-api.us-east-1.amazonaws.com"])
def test_of_an_api_on_another_machine_nothing_is_known(host: str) -> None:
    assert Machine(host, 443).shares()[1] is None
