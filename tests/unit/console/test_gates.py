"""The gates: the one that runs, and the reports of the others."""

import json
import re
import time
from typing import Any

import pytest

from console.gates.reading import PROGRESS, LocalGates
from loadtest.p99 import GateVerdict, RouteJudgement
from loadtest.reports import progress
from pipeline.local.run import Run
from pipeline.local.state import State
from tests.recorded import HOSTILE, record

from .conftest import Open

ROUTE = RouteJudgement(
    route="/process", verdict=GateVerdict.INCONCLUSIVE, reasons=[], limit_ms=200, samples=120, over_limit=0,
    allowed_over=-1, p50_ms=9, p90_ms=20, p99_ms=41.4, p99_lower_ms=None, p99_upper_ms=None, max_ms=50, errors=3,
)  # fmt: skip


def ended(run: Run, environment: str = "dev", **more: Any) -> None:
    folder = run.folder / "reports" / environment
    folder.mkdir(parents=True, exist_ok=True)
    routes = [vars(ROUTE) | {"verdict": "pass", "p99_upper_ms": 84.2}]
    found = {"environment": environment, "verdict": "pass", "exit_code": 0, "reasons": [], "routes": routes}
    (folder / "gate.json").write_text(json.dumps(found | more))
    (folder / "gate.html").write_text("<script>alert(1)</script>the report")


def test_a_running_gate_shows_rate_latency_and_verdict_so_far(browser: Open, state: State) -> None:
    # Given a gate that has measured for 12 of 30 seconds
    run = record(state, ends_at="Dev/LoadGate", status="running")
    folder = run.source / "reports/dev"
    folder.mkdir(parents=True)
    with progress.progress_file("dev", folder) as write:
        write(12.0, 30.0, [ROUTE])
        # When somebody looks
        html = browser().get("/gate").text
        # Then it is there
        assert "dev is being loaded" in html
        assert "12 of 30 s measured, 10 requests a second" in html
        assert re.search(r"<td>41 ms</td><td>.</td><td>200 ms</td><td>120</td><td>3</td>", html)
    # And when it has ended, it is said to run no longer
    assert list(folder.iterdir()) == []
    assert "is being loaded" not in browser().get("/gate").text


def test_a_gate_that_was_killed_is_not_said_to_run(state: State) -> None:
    run = record(state)
    file = run.source / "reports/dev" / PROGRESS
    file.parent.mkdir(parents=True)
    left = {"environment": "dev", "at": time.time() - 60, "measured_seconds": 1, "planned_seconds": 30, "routes": []}
    file.write_text(json.dumps(left))
    assert LocalGates(state).latest() == []


def test_the_file_is_where_the_gate_writes_it() -> None:
    assert progress.FILE == PROGRESS


def test_a_progress_that_can_not_be_written_ends_no_gate(state: State) -> None:
    with progress.progress_file("dev", state.root / "missing") as write:
        write(1.0, 30.0, [ROUTE])


def test_an_earlier_gate_shows_its_proof_and_its_report_runs_nothing(browser: Open, state: State) -> None:
    run = record(state, subject=HOSTILE)
    ended(run)
    client = browser()
    html = client.get("/gate").text
    assert "p99 41 ms, proven to be at most 84 ms of 200 ms" in html
    assert "<script>alert" not in html
    address = f"/gate/{run.id}/dev/gate.html"
    assert f'href="{address}"' in html
    assert f'src="{address}?raw" title="gate.html of dev" sandbox' in client.get(address).text
    report = client.get(f"{address}?raw")
    assert "the report" in report.text
    assert report.headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert "; sandbox;" in report.headers["content-security-policy"]


def test_no_other_file_of_a_run_is_served(browser: Open, state: State) -> None:
    run = record(state)
    ended(run)
    (run.folder / "reports/dev/gate.html").unlink()
    (run.folder / "reports/dev/gate.html").symlink_to("/etc/passwd")
    client = browser()
    for path in (f"{run.id}/dev/gate.html", f"{run.id}/dev/gate.json", f"{run.id}/..%2f../run.json", "x/dev/gate.html"):
        assert client.get(f"/gate/{path}").status_code == 404


@pytest.mark.parametrize("spoilt", ["", "[]", '{"verdict": 3}', '{"verdict": "pass", "routes": [1]}', "{" * 100_000])
def test_a_spoilt_report_hides_no_other(browser: Open, state: State, spoilt: str) -> None:
    run = record(state)
    ended(run, "staging")
    (run.folder / "reports/dev").mkdir(exist_ok=True)
    (run.folder / "reports/dev/gate.json").write_text(spoilt)
    assert "staging, " in browser().get("/gate").text


def test_a_gate_without_a_verdict_says_why(browser: Open, state: State) -> None:
    ended(record(state), verdict="error", reasons=["nothing answers at <address>"], routes=[])
    assert "nothing answers at &lt;address&gt;" in browser().get("/gate").text
