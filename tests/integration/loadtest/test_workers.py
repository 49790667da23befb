"""The gate with several processes, and with workers that were started elsewhere."""

import os
import signal

import psutil

from tests.integration.loadtest.conftest import ROOT, Begin, Cli, Report, Serve

LOAD = ("--rate", "600", "--duration", "2", "--max-duration", "2", "--warm-up", "0.8", "--limit", "2000")
"""The limit is high, so that a pause of a busy machine is no slow answer. The counts of the warm-up and of the load are
multiples of four, so that four processes share them evenly."""


def test_four_processes_send_the_same_requests_as_one(serve: Serve, cli: Cli, report: Report) -> None:
    # Given the same run by one process, and by four
    found = []
    for processes in ("1", "4"):
        url = serve(latency_ms=5)
        done = cli("loadtest.gate", "--env", "dev", "--url", url, "--unsigned", "--processes", processes, *LOAD)
        assert done.returncode == 0, done.stdout + done.stderr
        found.append(report())
    # Then every route has exactly as many samples, and nothing is missing
    one, four = ([route["samples"] for route in result["routes"]] for result in found)
    assert one == four
    assert [result["generator"]["unaccounted"] for result in found] == [0, 0]
    assert found[1]["subject"]["workers"] == 4


def test_workers_from_elsewhere_take_part(serve: Serve, begin: Begin) -> None:
    # Given a gate that waits for a worker
    url = serve(latency_ms=5)
    gate = begin("loadtest.gate", "--env", "dev", "--url", url, "--unsigned", "--remote-workers", "1",
                 "--bind", "127.0.0.1:15557", *LOAD)  # fmt: skip
    # When somebody starts one, with locust's own command
    worker = begin("locust", "-f", str(ROOT / "loadtest/locustfile.py"), "--worker", "--master-port", "15557")
    # Then it does all the work, and ends with the gate
    output, errors = gate.communicate(timeout=60)
    assert gate.returncode == 0, output + errors
    worker.communicate(timeout=20)


def test_a_worker_that_dies_ends_the_run(serve: Serve, begin: Begin, report: Report) -> None:
    # Given a run by two processes
    gate = begin("loadtest.gate", "--env", "dev", "--url", serve(), "--unsigned", "--processes", "2")
    assert gate.stdout
    assert "measured" in gate.stdout.readline()
    # When one of them is killed half-way
    os.kill(psutil.Process(gate.pid).children()[0].pid, signal.SIGKILL)
    _, errors = gate.communicate(timeout=30)
    # Then there is no verdict
    assert gate.returncode == 9, errors
    assert "load workers died" in errors
    assert report()["verdict"] == "error"
