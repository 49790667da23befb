"""Steps that differ, approvals, pauses for a person, the way back from 100 %, and the deadline of a release."""

from dataclasses import replace
from itertools import pairwise

import pytest

from environments import APPROVALS, CLIENT_ERRORS, PROD, MetricSettings, ReleaseSettings, StepSettings
from pipeline.release.outcome import ExitCode
from pipeline.release.plan import Plan
from pipeline.release.record import EventKind, Phase, Release
from tests.unit.pipeline.release.bench import PLAN, Bench
from tests.unit.pipeline.release.fake_aws import Behaviour


def test_a_step_may_bake_longer_and_need_fewer_requests() -> None:
    # Given a first step with little traffic, and a second one that is watched longer
    steps = (StepSettings(weight=2, minimum_requests=8), StepSettings(weight=50, bake_seconds=300))
    bench = Bench(plan=replace(PLAN, weights=(2, 50, 100), steps=steps))

    outcome = bench.controller().shift()

    # Then 2 % of nine requests a second are enough for the first step
    assert outcome.code is ExitCode.DONE
    assert outcome.release
    baking = [event.at for event in outcome.release.events if event.phase is Phase.BAKING]
    first, second = (after - before for before, after in pairwise(baking))
    assert first == pytest.approx(PLAN.bake_seconds, abs=15)
    assert second == pytest.approx(300, abs=15)


def test_settings_of_a_weight_that_is_no_step_are_refused() -> None:
    settings = ReleaseSettings(steps=(StepSettings(weight=20),))
    with pytest.raises(ValueError, match=r"\[20\]"):
        Plan.of(settings, {})


def test_a_step_waits_for_an_approval_however_long_and_the_approver_is_on_record() -> None:
    # Given a step that a person must approve
    bench = Bench(plan=replace(PLAN, steps=(StepSettings(weight=25, approval=True),)))
    weights: list[int] = []
    bench.clock.after(2000, lambda: weights.append(bench.aws.weights["green"]))
    bench.clock.after(2001, lambda: bench.ask("promote"))

    outcome = bench.controller().shift()

    # Then it holds at its weight, is told once, and goes on with `promote`
    assert outcome.code is ExitCode.DONE
    assert weights == [25]
    assert outcome.release
    [waits] = [event for event in outcome.release.events if event.kind is EventKind.APPROVAL]
    assert "`promote`" in waits.text
    assert [event.text for event in outcome.release.events if "approved, asked for by bob" in event.text]


def test_a_candidate_that_turns_bad_while_it_waits_for_an_approval_goes_back() -> None:
    bench = Bench(plan=replace(PLAN, steps=(StepSettings(weight=25, approval=True),)))
    bench.clock.after(500, lambda: bench.aws.behaviour.update({"2": Behaviour(errors=0.5)}))

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert outcome.release
    assert outcome.release.rejected
    assert bench.all_on("1")


def test_a_failure_may_pause_for_a_person_who_lets_it_go_on_or_not() -> None:
    # Given a plan that lets a person decide
    bench = Bench(plan=replace(PLAN, on_failure="pause"))
    bench.aws.behaviour["2"] = Behaviour(errors=0.3)
    weights: list[int] = []
    bench.clock.after(1000, lambda: weights.append(bench.aws.weights["green"]))

    outcome = bench.controller().shift()

    # Then the weights are held until the pause ends, and it goes back
    assert weights == [10]
    assert outcome.code is ExitCode.ROLLED_BACK
    assert outcome.release
    assert any("paused for a person: analysis" in event.text for event in outcome.release.events)
    assert outcome.release.analysis_summaries[-1].at > bench.clock.time - 600, "analysis goes on"

    # And a person may also go on
    again = Bench(plan=replace(PLAN, on_failure="pause"))
    again.aws.behaviour["2"] = Behaviour(errors=0.3)
    again.clock.after(300, lambda: again.aws.behaviour.pop("2"))
    again.clock.after(301, lambda: again.ask("resume"))
    assert again.controller().shift().code is ExitCode.DONE


def test_no_verdict_may_pause_for_a_person_too() -> None:
    bench = Bench(plan=replace(PLAN, on_inconclusive="pause"))
    bench.aws.requests_per_second = 0
    bench.clock.after(300, lambda: setattr(bench.aws, "requests_per_second", 3))
    bench.clock.after(301, lambda: bench.ask("resume"))

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.DONE
    assert outcome.release
    assert any("paused for a person: inconclusive" in event.text for event in outcome.release.events)


def test_a_pause_is_watched() -> None:
    # Given an operator's pause, when the candidate turns bad meanwhile
    bench = Bench()
    bench.clock.after(90, lambda: bench.ask("pause"))
    bench.clock.after(300, lambda: bench.aws.behaviour.update({"2": Behaviour(errors=0.5)}))

    outcome = bench.controller().shift()

    # Then it goes back long before the pause ends
    assert outcome.code is ExitCode.ROLLED_BACK
    assert "analysis" in outcome.text
    assert bench.clock.time - 1_800_000_000 < 600


def test_a_trouble_of_the_environment_at_100_percent_does_not_reject_a_sound_candidate() -> None:
    # Given a database that fails over while the candidate has all traffic: errors that would be stable's, too
    bench = Bench()
    trouble = {"1": Behaviour(errors=0.3), "2": Behaviour(errors=0.3)}
    bench.clock.after(190, lambda: bench.aws.behaviour.update(trouble))
    bench.clock.after(240, bench.aws.behaviour.clear)

    outcome = bench.controller().shift()

    # Then it went back to 50 % once, was compared there with stable, and was promoted
    assert outcome.code is ExitCode.DONE
    assert outcome.release
    assert outcome.release.stepped_back
    assert any("back to 50 %" in event.text for event in outcome.release.events)


def test_losses_of_both_versions_step_back_from_100_percent_at_once_and_mean_nothing_before() -> None:
    # Given traffic that loses requests at 25 % and at 100 %, and a candidate that is no worse than stable
    bench = Bench()
    for seconds in (90, 200):
        bench.clock.after(seconds, lambda: setattr(bench.clock, "lost_everywhere_at", bench.clock.time))

    outcome = bench.controller().shift()

    # Then it stepped back once, without waiting for metrics, and was promoted
    assert outcome.code is ExitCode.DONE
    assert outcome.release
    [back] = [event for event in outcome.release.events if "back to 50 %" in event.text]
    assert "clients lose" in back.text
    assert back.at - 1_800_000_000 == pytest.approx(200, abs=10)


def test_a_candidate_that_fails_at_100_percent_alone_is_rejected() -> None:
    # Given a candidate that breaks under all traffic, and only then
    bench = Bench()
    bench.aws.on_change = lambda: bench.aws.behaviour.update(
        {"2": Behaviour(errors=0.5 if bench.aws.weights["green"] == 100 else 0.0)}
    )

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert bench.all_on("1")
    assert outcome.release
    assert outcome.release.rejected
    assert outcome.release.stepped_back


def test_a_release_that_takes_longer_than_its_deadline_goes_back_and_is_not_rejected() -> None:
    bench = Bench(plan=replace(PLAN, deadline_seconds=150))

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert "not promoted within 150 s" in outcome.text
    assert bench.clock.time - 1_800_000_000 == pytest.approx(150, abs=10)
    assert outcome.release
    assert not outcome.release.rejected


@pytest.mark.parametrize(
    ("metric", "behaviour"),
    [(CLIENT_ERRORS, Behaviour(client_errors=1.0)), (APPROVALS, Behaviour(declined=0.2))],
    ids=["answers 4xx", "declines twice as many"],
)
def test_a_candidate_is_judged_by_the_metrics_of_the_settings(metric: MetricSettings, behaviour: Behaviour) -> None:
    # Given a candidate without an error of a server
    bench = Bench(plan=replace(PLAN, metrics=(metric,)))
    bench.aws.requests_per_second = 30
    bench.aws.behaviour["2"] = behaviour

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert metric.name in outcome.text
    # And the record tells the counts
    assert outcome.release
    assert Release.from_json(outcome.release.to_json()) == outcome.release


def test_a_metric_that_is_only_observed_decides_nothing() -> None:
    bench = Bench(plan=replace(PLAN, metrics=(replace(CLIENT_ERRORS, mode="observe"),)))
    bench.aws.requests_per_second = 30
    bench.aws.behaviour["2"] = Behaviour(client_errors=1.0)

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.DONE
    assert outcome.release
    texts = [finding.text for finding in outcome.release.analysis_runs[0].findings]
    assert any("4xx answers" in text and "observed: fail" in text for text in texts)


def test_a_metric_of_the_whole_can_hold_a_release_but_not_reject_it() -> None:
    bench = Bench(plan=replace(PLAN, metrics=(replace(CLIENT_ERRORS, of="whole", margin=0.05),)))
    bench.aws.behaviour = {"1": Behaviour(client_errors=0.3), "2": Behaviour(client_errors=0.3)}

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert "inconclusive" in outcome.text
    assert outcome.release
    assert not outcome.release.rejected


def test_a_plan_is_the_same_after_it_was_stored() -> None:
    bench = Bench(plan=replace(Plan.of(PROD.release, {}), on_failure="pause", deadline_seconds=9000))
    bench.aws.requests_per_second = 30

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.DONE
    assert outcome.release
    assert Release.from_json(outcome.release.to_json()).plan == bench.plan
