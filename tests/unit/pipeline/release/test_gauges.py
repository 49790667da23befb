"""The controller's metrics: what people see of a release on the dashboard."""

from dataclasses import replace

import names
from pipeline.release.outcome import ExitCode
from pipeline.release.record import Phase
from tests.unit.pipeline.release.bench import PLAN, Bench
from tests.unit.pipeline.release.fake_aws import refused


def test_a_release_shows_its_steps_and_counts_once_by_its_outcome() -> None:
    bench = Bench()
    bench.controller().shift()
    assert bench.aws.metrics["ReleasesEnded promoted"] == [1]
    assert sorted(set(bench.aws.metrics["Step"])) == [0, 1, 2, 3, 4]

    bench = Bench()
    bench.clock.after(90, lambda: bench.aws.alarms.update({"api-errors": "ALARM"}))
    assert bench.controller().shift().code is ExitCode.ROLLED_BACK
    assert bench.aws.metrics["ReleasesEnded rolled-back"] == [1]
    assert "ReleasesEnded promoted" not in bench.aws.metrics
    assert bench.aws.metrics["Step"][-1] == 0


def test_the_dashboard_knows_each_way_in_which_a_release_ends() -> None:
    bench = Bench()
    bench.controller().shift()
    [release] = bench.controller().world.records.latest(1)
    assert {phase for phase in Phase if replace(release, phase=phase).finished} == set(names.RELEASE_OUTCOMES)


def test_a_held_step_shows_for_how_long_each_minute() -> None:
    # Given no requests, so that the analysis can't decide
    bench = Bench(plan=replace(PLAN, hold_seconds=300))
    bench.aws.requests_per_second = 0.0

    bench.controller().shift()

    held = [seconds for seconds in bench.aws.metrics["HeldSeconds"] if seconds]
    assert len(held) >= 4
    assert held == sorted(held)
    assert held[-1] <= bench.plan.hold_seconds


def test_failed_rounds_are_shown_while_they_fail() -> None:
    # Given a candidate that must go back, and a load balancer that refuses it for a while
    bench = Bench()
    began = bench.clock.time
    bench.clock.after(90, lambda: bench.aws.alarms.update({"api-errors": "ALARM"}))

    def disturb(operation: str, when: str) -> None:
        if operation == "ModifyListener" and when == "before" and began + 80 < bench.clock.time < began + 300:
            raise refused(operation)

    bench.aws.disturb = disturb

    bench.controller().shift()

    assert max(bench.aws.metrics["FailedRounds"]) >= 5
    assert bench.aws.metrics["FailedRounds"][-1] == 0
