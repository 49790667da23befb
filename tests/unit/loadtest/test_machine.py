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


@pytest.mark.parametrize("host", ["203.0.113.9", "a.execute-api.us-east-1.amazonaws.com"])
def test_of_an_api_on_another_machine_nothing_is_known(host: str) -> None:
    assert Machine(host, 443).shares()[1] is None
