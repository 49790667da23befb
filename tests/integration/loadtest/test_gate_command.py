"""The gate as a user runs it, against a real HTTP server."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from tests.integration.loadtest.conftest import Begin, Cli, Report, Serve

SHORT = ("--rate", "600", "--duration", "3", "--warm-up", "0.4", "--max-duration", "3", "--limit", "2000")
"""The limit is high, so that a pause of a busy machine is no slow answer."""


def test_a_fast_candidate_passes(serve: Serve, cli: Cli, report: Report, tmp_path: Path) -> None:
    # Given a healthy server
    url = serve(latency_ms=5)
    # When the gate loads it, with signed requests
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
    done = cli("loadtest.gate", "--env", "dev", "--url", url, *SHORT, **keys)
    # Then it passes, and each route has its exact share of the samples
    assert done.returncode == 0, done.stdout + done.stderr
    found = report()
    assert found["verdict"] == "pass"
    assert [route["samples"] for route in found["routes"]] == [450] * 4
    assert all(route["p50_ms"] >= 5 for route in found["routes"])
    # And the second half of the warm-up had the full rate: a ramp to its end would have 30 requests a route
    assert {route["requests"] for route in found["warmth"].values()} == {45}
    suite = Xml.parse(tmp_path / "reports/dev/gate.junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("5", "0", "0")


def test_what_aws_put_to_sleep_is_woken_up_before_the_load(serve: Serve, cli: Cli, report: Report) -> None:
    # Given a VPC link and functions that fail their first requests
    url = serve(asleep=4)
    # When the gate comes
    done = cli("loadtest.gate", "--env", "dev", "--url", url, "--unsigned", *SHORT)
    # Then it says what it waits for, and begins when all routes answer
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"/process.*: no function has answered yet", done.stderr)
    assert report()["verdict"] == "pass"


def test_what_does_not_wake_up_is_loaded_after_the_wait(serve: Serve, cli: Cli, report: Report) -> None:
    url = serve(asleep=1_000_000)
    done = cli("loadtest.gate", "--env", "dev", "--url", url, "--unsigned", "--wake-up", "1", *SHORT)
    assert done.returncode == 8, done.stdout + done.stderr
    assert "every request to /validate, /fraud-check, /process" in done.stdout


def test_a_slow_route_fails_early(serve: Serve, cli: Cli, report: Report, tmp_path: Path) -> None:
    # Given one route that takes 300 ms
    url = serve(latency_ms=300, only_route="/process")
    # When the gate would have a minute of time
    done = cli("loadtest.gate", "--env", "dev", "--url", url, "--unsigned", "--rate", "150",
               "--duration", "60", "--warm-up", "1", "--others-share", "1")  # fmt: skip
    # Then it fails long before, because of that route only
    assert done.returncode == 1, done.stdout + done.stderr
    found = report()
    assert found["aborted"]
    assert found["measured_seconds"] < 30
    assert [route["verdict"] for route in found["routes"]][2] == "fail"
    assert found["routes"][0]["over_limit"] == found["routes"][1]["over_limit"] == 0
    assert "<failure" in (tmp_path / "reports/dev/gate.junit.xml").read_text()


@pytest.fixture
def other_programs() -> Iterator[list["subprocess.Popen[bytes]"]]:
    """None at first. Those that a test adds end with it."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for each in started:
        each.kill()
        each.wait()


def test_what_a_busy_machine_slowed_is_measured_once_more(
    serve: Serve, begin: Begin, other_programs: list["subprocess.Popen[bytes]"]
) -> None:
    # Given a gate, beside which the other tests may take half of the machine
    gate = begin("loadtest.gate", "--env", "dev", "--url", serve(latency_ms=300), "--unsigned", "--rate", "100",
                 "--warm-up", "0.4", "--others-share", "0.6")  # fmt: skip
    assert gate.stdout
    output = ""
    for line in gate.stdout:
        output += line
        # When others take all of it while it measures, as a browser that starts does, and end when it has seen them
        if "measured" in line and not other_programs:
            spin = [sys.executable, "-c", "while True: pass"]
            other_programs += [subprocess.Popen(spin) for _ in range(os.cpu_count() or 1)]
        if "measuring once more as soon as it is calm" in line:
            for each in other_programs:
                each.kill()
    # Then the first run proves nothing, and the second is the verdict, unless the machine is still busy
    conclusions = re.findall("^load gate dev: (invalid|fail); ", output, re.M)
    assert conclusions[0] == "invalid", output
    assert (len(conclusions), output.count("measuring once more")) == (2, 1)
    assert gate.wait() == {"fail": 1, "invalid": 4}[conclusions[1]]


def test_a_right_status_with_a_wrong_body_is_an_error(serve: Serve, cli: Cli, report: Report, tmp_path: Path) -> None:
    url = serve(wrong_every=20)
    done = cli("loadtest.gate", "--env", "dev", "--url", url, "--unsigned", *SHORT)
    assert done.returncode == 1, done.stdout + done.stderr
    assert any("in the body" in reason for reason in report()["reasons"])


def test_an_endpoint_that_always_fails_has_its_own_exit_code(
    serve: Serve, cli: Cli, report: Report, tmp_path: Path
) -> None:
    url = serve(status=500, only_route="/fraud-check")
    done = cli("loadtest.gate", "--env", "dev", "--url", url, "--unsigned", *SHORT)
    assert done.returncode == 8, done.stdout + done.stderr
    assert "every request to /fraud-check failed" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--url", "http://127.0.0.1:9/dev", "--unsigned"], 5, "can't be reached"),
        (["--url", "ftp://x", "--unsigned"], 2, "expected http"),
        (["--url", "http://127.0.0.1:9/dev"], 6, "no AWS credentials"),
    ],
)
def test_no_verdict_has_a_clear_message_and_code(
    cli: Cli, report: Report, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    # Given the report of an older run that passed
    (tmp_path / "reports/dev").mkdir(parents=True)
    (tmp_path / "reports/dev/gate.json").write_text('{"verdict": "pass"}')
    # When the gate can't run
    done = cli("loadtest.gate", "--env", "dev", *arguments)
    # Then it says why
    assert done.returncode == code, done.stdout + done.stderr
    assert message in done.stderr
    # And no report looks like a pass
    assert report()["verdict"] == "error"
    assert "<error" in (tmp_path / "reports/dev/gate.junit.xml").read_text()


def test_reports_that_can_not_be_written_are_not_a_slow_candidate(serve: Serve, cli: Cli, tmp_path: Path) -> None:
    # Given a file where the folder of the reports should be
    (tmp_path / "occupied").write_text("")
    # When the gate begins
    done = cli("loadtest.gate", "--env", "dev", "--url", serve(), "--unsigned", "--reports", str(tmp_path / "occupied"))
    # Then there is no verdict, for that reason
    assert done.returncode == 9, done.stdout + done.stderr
    assert "no verdict: the gate itself failed" in done.stderr
    assert "occupied" in done.stderr


def test_refused_credentials(serve: Serve, cli: Cli) -> None:
    url = serve(status=403)
    done = cli("loadtest.gate", "--env", "dev", "--url", url, AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="y")
    assert done.returncode == 6
    assert "refuses the credentials" in done.stderr


def test_a_stall_shows_in_full(serve: Serve, cli: Cli, report: Report) -> None:
    # Given a server that stands still for half a second of ten, and is fast otherwise
    url = serve(latency_ms=2, stall_at=5, stall_for=0.5)
    # When it is loaded by fewer connections than it keeps waiting
    done = cli("loadtest.gate", "--env", "dev", "--url", url, "--unsigned", "--concurrency", "4",
               "--rate", "150", "--duration", "10", "--max-duration", "10", "--warm-up", "1",
               "--others-share", "1")  # fmt: skip
    # Then the requests that were due meanwhile count as slow, though most were not even sent: 3 % of all
    assert done.returncode == 1, done.stdout + done.stderr
    over = sum(route["over_limit"] for route in report()["routes"])
    assert 35 <= over <= 75


def test_an_undecided_run_goes_on_until_it_is_decided(serve: Serve, cli: Cli, report: Report) -> None:
    # Given one slow answer in 300: too many to pass at the first look, few enough to pass later. The
    # limit is high, so that a pause of a busy machine is no slow answer
    url = serve(latency_ms=2, slow_every=301, slow_ms=1300)
    done = cli("loadtest.gate", "--env", "dev", "--url", url, "--unsigned", "--mix", "/validate=1",
               "--rate", "450", "--limit", "1000", "--duration", "1",
               "--max-duration", "20", "--warm-up", "0.4")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert report()["looks"] > 1
    assert report()["measured_seconds"] > 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_no_pass(serve: Serve, begin: Begin, report: Report, number: signal.Signals) -> None:
    gate = begin("loadtest.gate", "--env", "dev", "--url", serve(), "--unsigned")
    assert gate.stdout
    assert "measured" in gate.stdout.readline()
    gate.send_signal(number)
    _, errors = gate.communicate(timeout=30)
    assert gate.returncode == 130, errors
    assert "interrupted" in errors
    assert report()["verdict"] == "error"


def test_a_killed_run_leaves_no_pass_behind(serve: Serve, begin: Begin, report: Report, tmp_path: Path) -> None:
    # Given the report of an older run that passed
    (tmp_path / "reports/dev").mkdir(parents=True)
    (tmp_path / "reports/dev/gate.json").write_text('{"verdict": "pass"}')
    # When a new one is killed half-way
    gate = begin("loadtest.gate", "--env", "dev", "--url", serve(), "--unsigned")
    assert gate.stdout
    assert "measured" in gate.stdout.readline()
    gate.kill()
    gate.communicate(timeout=30)
    # Then what it left is no pass
    assert report()["verdict"] == "unfinished"
    assert "<error" in (tmp_path / "reports/dev/gate.junit.xml").read_text()
