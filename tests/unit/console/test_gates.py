"""The gates: the one that runs, and the reports of the others."""

import json
import math
import os
import re
import time
from typing import Any

import pytest

from console.gates.reading import PROGRESS, VERDICTS, LocalGates
from console.platforms import MEASURED_SECONDS, LocalPlatforms, spared
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


def progressing(run: Run, environment: str = "staging", **more: Any) -> None:
    folder = run.source / "reports" / environment
    folder.mkdir(parents=True, exist_ok=True)
    found = {"at": time.time(), "measured_seconds": 12, "planned_seconds": 30, "routes": [vars(ROUTE)]}
    (folder / PROGRESS).write_text(json.dumps(found | more))


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


def test_file_and_verdicts_are_those_of_the_gate() -> None:
    assert progress.FILE == PROGRESS
    assert set(GateVerdict) < set(VERDICTS)


def test_an_environment_is_spared_while_its_gate_runs(state: State) -> None:
    # Given a promotion whose gate has not begun
    run = record(state, subject="A promotion", ends_at="Staging/LoadGate", status="running")
    platforms = LocalPlatforms(state)
    pause = spared(platforms, "staging", 1.0)
    assert pause() == 1.0
    # When it runs, then its environment is read seldom, and no other
    progressing(run)
    assert pause() == MEASURED_SECONDS
    assert not platforms.is_measured("prod")
    # And when it was silent for long, it was killed
    os.utime(run.source / "reports/staging" / PROGRESS, times=(0, time.time() - 60))
    assert pause() == 1.0


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


@pytest.mark.parametrize(
    "spoilt",
    [
        "",
        "[]",
        '{"verdict": 3}',
        '{"verdict": "pass", "routes": [1]}',
        "{" * 100_000,
        '{"verdict": "running"}',
        " " * 5_000_000,
    ],
)
def test_a_spoilt_report_hides_no_other(browser: Open, state: State, spoilt: str) -> None:
    run = record(state)
    ended(run, "staging")
    (run.folder / "reports/dev").mkdir(exist_ok=True)
    (run.folder / "reports/dev/gate.json").write_text(spoilt)
    html = browser().get("/gate").text
    assert "staging, " in html
    assert "gate.json can&#39;t be read" in html


@pytest.mark.parametrize("name", [b"\xff", b"a\x1b[31m", b"Dev", b"a b", b"x" * 200])
def test_a_folder_that_is_no_environment_s_is_an_unreadable_gate(browser: Open, state: State, name: bytes) -> None:
    # Given a commit whose code names a folder of reports as no environment is named, which a link could not hold
    run = record(state)
    ended(run, "staging")
    ended(run, os.fsdecode(name))
    # When somebody looks, then the other gate is there
    html = browser().get("/gate").text
    assert "staging, " in html
    assert html.count(">unreadable</span>") == 1
    assert "\x1b" not in html


def test_what_is_no_file_is_not_waited_for(browser: Open, state: State) -> None:
    # Given a commit whose code leaves a pipe, and a file without an end
    run = record(state)
    for environment in ("dev", "staging"):
        (run.source / "reports" / environment).mkdir(parents=True)
    os.mkfifo(run.source / "reports/dev" / PROGRESS)
    (run.source / "reports/staging" / PROGRESS).symlink_to("/dev/zero")
    # When somebody looks, then both are said
    assert browser().get("/gate").text.count("is no regular file") == 2


HUGE = int("9" * 400)


@pytest.mark.parametrize(
    "spoilt",
    [{"limit_ms": 0}, {"limit_ms": -1}, {"p99_ms": "x"}, {"p99_upper_ms": "x"}, {"p99_ms": math.nan},
     {"samples": math.inf}, {"errors": "x"}, {"samples": HUGE}, {"p99_ms": True}],
    ids=str,
)  # fmt: skip
def test_a_figure_that_is_none_makes_an_unreadable_gate_that_is_said(
    browser: Open, state: State, spoilt: dict[str, Any]
) -> None:
    # Given a commit whose code writes what is no figure, into the report of one gate and the progress of another
    run = record(state)
    routes = [vars(ROUTE) | {"p99_upper_ms": 84.2} | spoilt]
    ended(run, routes=routes)
    progressing(run, routes=routes)
    # When somebody looks, then both gates are there, and said to be unreadable
    html = browser().get("/gate").text
    assert html.count(">unreadable</span>") == 2
    assert "gate.json can&#39;t be read: " in html
    assert "progress.json can&#39;t be read: " in html


@pytest.mark.parametrize(
    "spoilt",
    [{"generator": {"achieved_rate": "x"}}, {"measured_seconds": HUGE}, {"subject": {"started": "0001-01-01T00:00"}},
     {"subject": {"started": "9999-12-31T23:59:59Z"}}, {"subject": {"started": 1e300}}, {"generator": None}],
    ids=str,
)  # fmt: skip
def test_a_spoilt_report_is_an_unreadable_gate(browser: Open, state: State, spoilt: dict[str, Any]) -> None:
    ended(record(state), **spoilt)
    assert ">unreadable</span>" in browser().get("/gate").text


@pytest.mark.parametrize("spoilt", [{"at": 1e300}, {"at": -1}, {"at": "x"}, {"planned_seconds": "x"}], ids=str)
def test_a_spoilt_progress_is_an_unreadable_gate_and_hides_no_report(
    browser: Open, state: State, spoilt: dict[str, Any]
) -> None:
    # Given a gate that has ended, and a progress file of it that the commit's code leaves behind
    run = record(state)
    ended(run)
    progressing(run, "dev", **spoilt)
    # Then the report is still there
    html = browser().get("/gate").text
    assert ">unreadable</span>" in html
    assert "proven to be at most 84 ms" in html


@pytest.mark.parametrize("at", [-1e13, 1e12])
def test_a_report_is_not_from_before_1970_and_not_from_the_future(state: State, at: float) -> None:
    run = record(state)
    ended(run)
    os.utime(run.folder / "reports/dev/gate.json", (at, at))
    [gate] = LocalGates(state).latest()
    assert 0 <= gate.at <= time.time()


def test_a_page_of_gates_stays_small(browser: Open, state: State) -> None:
    run = record(state)
    ended(run, routes=[vars(ROUTE)] * 2_000, reasons=["r" * 10_000] * 100)
    progressing(run, routes=[vars(ROUTE) | {"verdict": "v" * 1_000_000, "route": "r" * 1_000_000}] * 3)
    assert len(browser().get("/gate").content) < 60_000


def test_a_gate_without_a_verdict_says_why(browser: Open, state: State) -> None:
    ended(record(state), verdict="error", reasons=["nothing answers at <address>"], routes=[])
    assert "nothing answers at &lt;address&gt;" in browser().get("/gate").text
