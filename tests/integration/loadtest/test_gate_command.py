"""The gate as a user runs it, against a real HTTP server."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest

from tests.integration.loadtest.conftest import Cli, Serve

SHORT = ("--rate", "450", "--duration", "3", "--warm-up", "0.5", "--max-duration", "3")


def report(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "reports/dev/gate.json").read_text())
    return loaded


def test_a_fast_candidate_passes(serve: Serve, cli: Cli, tmp_path: Path) -> None:
    # Given a healthy server
    url = serve(latency_ms=5)
    # When the gate loads it
    done = cli("loadtest.gate", "--env", "dev", "--url", url, "--unsigned", *SHORT)
    # Then it passes, and each route has its exact share of the samples
    assert done.returncode == 0, done.stdout + done.stderr
    found = report(tmp_path)
    assert found["verdict"] == "pass"
    assert [route["samples"] for route in found["routes"]] == [450, 450, 450]
    assert all(route["p50_ms"] >= 5 for route in found["routes"])
    suite = Xml.parse(tmp_path / "reports/dev/gate.junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "0", "0")


def test_a_slow_route_fails_early(serve: Serve, cli: Cli, tmp_path: Path) -> None:
    # Given one route that takes 300 ms
    url = serve(latency_ms=300, only_route="/process")
    # When the gate would have a minute of time
    done = cli("loadtest.gate", "--env", "dev", "--url", url, "--unsigned", "--rate", "150", "--duration", "60")
    # Then it fails long before, because of that route only
    assert done.returncode == 1, done.stdout + done.stderr
    found = report(tmp_path)
    assert found["aborted"]
    assert found["measured_seconds"] < 30
    assert [route["verdict"] for route in found["routes"]][2] == "fail"
    assert found["routes"][0]["over_limit"] == found["routes"][1]["over_limit"] == 0
    assert "<failure" in (tmp_path / "reports/dev/gate.junit.xml").read_text()


def test_a_right_status_with_a_wrong_body_is_an_error(serve: Serve, cli: Cli, tmp_path: Path) -> None:
    url = serve(wrong_every=10)
    done = cli("loadtest.gate", "--env", "dev", "--url", url, "--unsigned", *SHORT)
    assert done.returncode == 1, done.stdout + done.stderr
    assert any("in the body" in reason for reason in report(tmp_path)["reasons"])


def test_an_endpoint_that_always_fails_has_its_own_exit_code(serve: Serve, cli: Cli, tmp_path: Path) -> None:
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
    cli: Cli, tmp_path: Path, arguments: list[str], code: int, message: str
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
    assert report(tmp_path)["verdict"] == "error"
    assert "<error" in (tmp_path / "reports/dev/gate.junit.xml").read_text()


def test_refused_credentials(serve: Serve, cli: Cli) -> None:
    url = serve(status=403)
    done = cli("loadtest.gate", "--env", "dev", "--url", url, AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="y")
    assert done.returncode == 6
    assert "refuses the credentials" in done.stderr
