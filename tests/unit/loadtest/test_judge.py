"""The judgement of a whole run, and its reports."""

import json
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest

from environments import GateSettings
from loadtest.health import Health
from loadtest.judge import Moment, RunMeasurements, conclude
from loadtest.p99 import GateVerdict, alphas, look_times
from loadtest.reports import html, junit, markdown, terminal
from loadtest.result import ExitCode, ProcessorTime, Result, Subject
from loadtest.samples import Samples, Series
from loadtest.schedule import Schedule
from tests.unit.reporting.reading import accessible, self_contained

SETTINGS = GateSettings(
    rate=40, duration_seconds=30, warm_up_seconds=5, max_seconds=30, limit_factors=(("/fraud-check", 1.5),),
    mix=(("/validate", 1), ("/fraud-check", 1), ("/process", 1)),
)  # fmt: skip
END = 35.0
HEALTHY = Health(cpu=4.0, wall=40.0, lags_us=array("I", [1000] * 2000))


def run(
    *,
    latency: float = 0.02,
    stall: float = 0.0,
    share: float = 1.0,
    health: Health = HEALTHY,
    straggler: float = 0.0,
    others: float | None = 0.02,
    again: bool = False,
    promoted: Sequence[Mapping[str, Any]] | str = (),
) -> Result:
    """The result of a run whose answers take ``latency`` seconds, except that all requests due in the 10th second wait
    ``stall`` more, and one shortly before the end ``straggler`` more. Of all requests only ``share`` are known of."""
    samples, routes = Samples(), [route for route, _ in SETTINGS.mix]
    schedule = Schedule(rate=40, ramp=5, seed=1)
    due = schedule.count_before(END)
    for ticket in (schedule.take() for _ in range(due)):
        route = routes[ticket.index % 3]
        if ticket.index % 100 < share * 100:
            extra = stall if 10 <= ticket.start < 11 else straggler if ticket.index == due - 2 else 0.0
            samples.answer(route, ticket.start, latency + 0.000_01 * (ticket.index % 97) + extra)
            if route == "/process":
                samples.processor.setdefault(route, Series()).add(ticket.start, 0.4 if ticket.start < 5 else 0.012)
    samples.versions["/process", "7"] = 400
    measured = RunMeasurements(
        samples=samples,
        health=health,
        machine_cpu_share=0.3,
        others_cpu_share=others,
        expected=due,
        first_ms={"/process": 812.0},
        seed=7,
        machine="m",
        promoted=promoted,
        again=again,
    )
    subject = Subject(
        environment="dev", url="https://a.example/<dev>", run_id="r", started="2026-01-02T03:04:05Z", workers=1
    )
    return conclude(measured, SETTINGS, Moment(end=END, look=1, alpha=0.05), subject)


def test_a_pass_that_is_slower_than_the_promoted_release_says_so_first() -> None:
    # Given a release that was promoted when /process took 40 ms
    before = [{"release_id": "R1", "machine": "m", "rate": SETTINGS.rate, "routes": {"/process": {"p99_ms": 40.0}}}]
    # When the candidate takes 150 ms, which the limit allows
    slow, as_before = run(latency=0.15, promoted=before), run(latency=0.02, promoted=before)
    # Then it passes, and the reports begin with the warning
    assert (slow.verdict, slow.exit_code) == (GateVerdict.PASS, ExitCode.PASS)
    assert slow.reasons[0].startswith("slower than release R1: p99 /process 15")
    assert slow.to_json()["comparison"]["routes"]["/process"]["slower"] is True
    assert "(SLOWER: 40.0 before)" in terminal._conclusion(slow)
    assert "40.0" in html.page(slow).partition("p99 of the promoted release")[2][:400]
    # And otherwise they end with the comparison
    assert as_before.reasons[-1].startswith("no slower than release R1: p99 /process")
    assert "SLOWER" not in terminal._conclusion(as_before)
    # And a run without one says why
    assert run().reasons[-1] == "not compared with a promoted release: none was measured yet"


def test_the_conclusion_is_one_line_of_a_log_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    result = run(stall=2.0, others=0.61, again=True)
    terminal.print_summary(result)
    # A promotion shows the last line that is not indented
    conclusion = [line for line in capsys.readouterr().out.splitlines() if line and not line[0].isspace()][-1]
    assert conclusion == f"load gate dev: invalid; {result.reasons[0]}"


def test_slow_answers_of_a_busy_machine_prove_nothing() -> None:
    # Given other programs that take 61 % of the machine, when some answers are slow, then the run is void and says why
    result = run(stall=2.0, others=0.61)
    assert (result.verdict, result.exit_code) == (GateVerdict.INVALID, ExitCode.INVALID)
    assert result.reasons[0].startswith("this machine was busy: other programs than API and load test took 61% of")
    assert result.machine_was_busy
    # And the same answers of a quiet or another machine are the candidate's
    for others in (0.2, None):
        assert run(stall=2.0, others=others).verdict is GateVerdict.FAIL
    # And a rate that was not reached has the same cause
    assert run(share=0.9, others=0.61).reasons[0].startswith("this machine was busy")
    # And fast answers pass all the same
    assert run(others=0.61).verdict is GateVerdict.PASS
    # And the second of two runs says that it is the second
    assert run(stall=2.0, others=0.61, again=True).reasons[0].endswith("it was busy when it was measured before, too")


def test_a_question_that_a_busy_machine_left_open_is_measured_again_too() -> None:
    # Given one slow answer, which leaves the question open on a calm machine
    calm, busy = (run(straggler=0.9, others=others) for others in (0.02, 0.61))
    assert (calm.verdict, busy.verdict) == (GateVerdict.INCONCLUSIVE, GateVerdict.INVALID)
    assert busy.machine_was_busy


def test_a_load_test_that_was_kept_waiting_by_its_own_machine_is_measured_again() -> None:
    # Given an API on another machine, and a load test that came late though it used little of its core
    late = array("I", [60_000] * 100)
    waited, busy = (run(stall=2.0, others=None, health=Health(cpu=cpu, wall=40.0, lags_us=late)) for cpu in (8.0, 38.0))
    assert waited.verdict is GateVerdict.INVALID
    assert waited.machine_was_busy
    assert waited.reasons[0] == "this machine was busy: the load test waited for it, and used 20% of a core"
    # And one that used all of it needs more processes, and no second run
    assert (busy.verdict, busy.machine_was_busy) == (GateVerdict.INVALID, False)


def test_the_gravest_reason_comes_first() -> None:
    result = run(stall=2.0)
    assert result.verdict is GateVerdict.FAIL
    worst = next(route for route in result.routes if route.verdict is GateVerdict.FAIL)
    assert result.reasons[0] == f"{worst.route}: {worst.reasons[0]}"
    assert worst.reasons[0].startswith("p99 >= ")


def test_a_healthy_run_passes() -> None:
    result = run()
    assert (result.verdict, result.exit_code) == (GateVerdict.PASS, ExitCode.PASS)
    assert result.generator.achieved_rate == pytest.approx(40, rel=0.01)
    assert result.warmth["/process"].first_ms == 812.0
    assert result.to_json()["seed"] == 7
    assert "`--seed 7`" in markdown.render(result)


def test_the_processor_time_of_a_request_is_told_where_the_function_told_it() -> None:
    # Given a function that took longer during the warm-up, and two that tell nothing
    result = run()
    # Then the measured time counts, and the others have a dash
    assert result.processor["/process"] == ProcessorTime(p50_ms=12.0, p99_ms=12.0)
    assert result.processor["/validate"] == ProcessorTime(p50_ms=None, p99_ms=None)
    assert "| 12.0 and 12.0 |" in markdown.render(result)
    assert "| - and - |" in markdown.render(result)


def test_a_stall_shows_in_full() -> None:
    # Given one second of thirty in which nothing was answered for 2 s: 3 % of the requests
    result = run(stall=2.0)
    # Then the run fails, though 97 % of the answers were fast
    assert result.verdict is GateVerdict.FAIL


def test_a_route_may_have_a_limit_of_its_own() -> None:
    # Given answers of 250 ms, over the limit of all routes except one
    verdicts = {each.route: (each.verdict, each.limit_ms) for each in run(latency=0.25).routes}
    assert verdicts["/fraud-check"] == (GateVerdict.PASS, 300)
    assert verdicts["/process"] == (GateVerdict.FAIL, 200)


def test_one_straggler_does_not_make_the_rate_too_low() -> None:
    # Given a healthy run with a single answer that took 9 s, due just before the end
    result = run(straggler=9.0)
    # Then it counts as one slow answer, and the rate was reached
    assert result.verdict is not GateVerdict.INVALID
    assert sum(route.over_limit for route in result.routes) == 1


def test_requests_that_nothing_is_known_of_are_no_pass() -> None:
    result = run(share=0.97)
    assert (result.verdict, result.exit_code) == (GateVerdict.INVALID, ExitCode.INVALID)
    assert "nothing is known" in result.reasons[0]


def test_a_rate_that_was_not_reached_is_no_pass() -> None:
    result = run(share=0.9)
    assert result.verdict is GateVerdict.INVALID
    assert any("the system was too slow" in reason for reason in result.reasons)


@pytest.mark.parametrize(
    "health", [replace(HEALTHY, cpu=39.0), replace(HEALTHY, lags_us=array("I", [1000] * 900 + [90_000] * 100))]
)
def test_a_generator_in_trouble_voids_a_failure_but_no_pass(health: Health) -> None:
    failed = run(latency=0.3, health=health)
    assert failed.verdict is GateVerdict.INVALID
    assert "trouble of its own" in failed.reasons[0]
    assert run(health=health).verdict is GateVerdict.PASS


def test_a_generator_in_trouble_is_named_as_the_cause_of_a_low_rate() -> None:
    result = run(share=0.9, health=replace(HEALTHY, cpu=39.0))
    assert any("the generator was too slow" in reason for reason in result.reasons)


def test_looks_wait_until_they_can_decide() -> None:
    # Given a rate at which 30 s bring too few samples
    slow = replace(SETTINGS, rate=20.0, max_seconds=120.0)
    # Then the first look comes when a pass is possible, and all looks share the error probability
    assert look_times(slow)[0] == pytest.approx(369 / (20 / 3), abs=0.01)
    assert look_times(slow)[-1] == 120.0
    assert sum(alphas(slow)) == pytest.approx(0.05)
    # And a run that can't be extended spends all of it at once
    assert look_times(SETTINGS) == [30.0]
    assert alphas(SETTINGS) == pytest.approx([0.05])


@pytest.mark.parametrize(("latency", "passed"), [(0.02, True), (0.3, False)])
def test_only_a_pass_is_a_passed_test(latency: float, passed: bool) -> None:
    suite = Xml.fromstring(junit.render(run(latency=latency))).find("testsuite")
    assert suite is not None
    assert suite.get("tests") == "4"
    assert (suite.find(".//failure") is None) is passed
    assert ("pass" in markdown.render(run(latency=latency)).splitlines()[0]) is passed


def test_the_page_needs_nothing_else_and_is_read_without_seeing_it() -> None:
    page = html.page(run(stall=2.0))
    self_contained(page)
    assert accessible(page).tags.count("svg") == 3 + 3 + 3 + 2
    assert "limit 200 ms" in page
    assert "https://a.example/&lt;dev&gt;" in page


def test_the_json_report_has_all_data_of_the_page(tmp_path: Path) -> None:
    stored = json.loads(json.dumps(run().to_json()))
    assert stored["environment"] == "dev"
    assert stored["verdict"] == "pass"
    assert {route["route"] for route in stored["routes"]} == {"/validate", "/fraud-check", "/process"}
    assert stored["timeline"]
