"""What is not what it seems: old answers, clocks that disagree, slow services, short outages, a wrong scale."""

import pytest

from pipeline.release.outcome import ExitCode, Outcome, Why
from pipeline.release.plan import bake_scale
from pipeline.release.ports import LeaseHeld
from tests.unit.pipeline.release.bench import Bench
from tests.unit.pipeline.release.fake_aws import FUNCTIONS, PROCESSING, refused
from tests.unit.pipeline.release.test_crash import Killed, die

LOCAL = {"AWS_ENDPOINT_URL": "https://127.0.0.1:4566"}


@pytest.mark.parametrize("part", ["listener", "alias blue", "alias green"])
@pytest.mark.parametrize("times", [1, 2])
def test_one_old_answer_is_nobody_who_moved_traffic_but_two_are(part: str, times: int) -> None:
    # Given answers from before, in the middle of a bake
    bench = Bench()
    right: list[tuple[dict[str, int], dict[tuple[str, str], tuple[str, dict[str, float]]]]] = []
    rounds = 0

    def older() -> None:
        right.append((dict(bench.aws.weights), dict(bench.aws.aliases)))
        match part:
            case "listener":
                bench.aws.weights = {"blue": 90, "green": 10}
            case "alias blue":
                bench.aws.aliases[FUNCTIONS[0], "blue"] = ("1", {"2": 0.1})
            case _:
                bench.aws.aliases[PROCESSING, "green"] = ("0", {})

    def disturb(called: str, when: str) -> None:
        nonlocal rounds
        late = bench.clock.time - 1_800_000_000 > 90
        if called == "DescribeListeners" and when == "before" and late and rounds < times:
            rounds += 1
            older()
        elif called == "DescribeAlarms" and right:  # after all of these were read
            bench.aws.weights, bench.aws.aliases = right.pop()

    bench.aws.disturb = disturb
    outcome = bench.controller().shift()

    assert rounds == times
    assert outcome.code is (ExitCode.DONE if times == 1 else ExitCode.ROLLED_BACK), outcome.text
    assert bench.all_on("2" if times == 1 else "1")


def test_one_old_answer_at_the_start_is_no_drift() -> None:
    bench = Bench()
    bench.aws.weights = {"blue": 90, "green": 10}
    bench.clock.after(1, lambda: bench.aws.weights.update(blue=100, green=0))

    assert bench.controller().shift().code is ExitCode.DONE


@pytest.mark.parametrize("skew", [10, 25, 31, 60, 600, 7200, -600])
def test_a_clock_that_is_wrong_takes_no_lease_from_a_controller_that_lives(skew: float) -> None:
    # Given another machine whose clock is ahead or behind, and which asks for half a minute
    bench, refusals = Bench(), 0
    records = bench.controller("bob").world.records
    assert hasattr(records, "_now")
    records._now = lambda: bench.clock.time + skew

    def ask() -> None:
        nonlocal refusals
        bench.clock.after(1, ask)
        with pytest.raises(LeaseHeld):
            records.acquire()
        refusals += 1

    bench.clock.after(30, ask)
    bench.clock.after(70, bench.clock.forget)

    outcome = bench.controller("ann").shift()

    assert refusals > 5
    assert outcome.code is ExitCode.DONE


def test_a_dead_lease_from_the_future_is_over_after_half_a_minute() -> None:
    # Given a controller whose clock is an hour ahead, killed at 25 %
    bench = Bench()
    bench.clock.after(70, lambda: setattr(bench.aws, "disturb", die))
    ahead = bench.controller("ann")
    assert hasattr(ahead.world.records, "_now")
    ahead.world.records._now = lambda: bench.clock.time + 3600
    with pytest.raises(Killed):
        ahead.shift()
    bench.aws.disturb = lambda operation, when: None
    began = bench.clock.time

    assert bench.controller("bob").rollback().code is ExitCode.DONE

    assert bench.all_on("1")
    assert bench.clock.time - began < 40


def test_slow_messages_do_not_cost_the_lease() -> None:
    # Given SNS and CloudWatch that answer after 25 s, and somebody who wants the lease all the time
    bench, asked = Bench(), 0
    records = bench.controller("bob").world.records

    def disturb(operation: str, when: str) -> None:
        nonlocal asked
        if operation in ("Publish", "PutMetricData") and when == "before":
            for _ in range(25):
                bench.clock.time += 1
                try:
                    records.acquire()
                except LeaseHeld:
                    asked += 1

    bench.aws.disturb = disturb

    outcome = bench.controller("ann").shift()

    assert outcome.code is ExitCode.DONE
    assert asked > 100


@pytest.mark.parametrize(
    "operation",
    ["GetMetricData", "DescribeAlarms", "GetAlias", "DescribeListeners", "PutItem", "GetItem", "ModifyListener"],
)
@pytest.mark.parametrize("seconds", [5, 10, 15, 20])
def test_a_short_outage_of_a_control_plane_ends_no_sound_release(operation: str, seconds: float) -> None:
    bench = Bench()

    def disturb(called: str, when: str) -> None:
        if called == operation and 58 <= bench.clock.time - 1_800_000_000 < 58 + seconds:
            raise refused(called)

    bench.aws.disturb = disturb

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.DONE, outcome.text
    assert bench.all_on("2")


@pytest.mark.parametrize("scale", ["0", "-1", "0.001", "2", "inf", "nan", "fast"])
def test_a_scale_that_makes_no_sense_is_refused(scale: str) -> None:
    with pytest.raises(ValueError, match=r"BAKE_SCALE|could not convert"):
        bake_scale({"BAKE_SCALE": scale} | LOCAL)


def test_a_scale_is_for_the_local_cloud_only() -> None:
    assert bake_scale({"BAKE_SCALE": str(1 / 60)} | LOCAL) == pytest.approx(1 / 60)
    assert bake_scale({}) == bake_scale({"BAKE_SCALE": "1"}) == 1
    with pytest.raises(ValueError, match="this is no local cloud"):
        bake_scale({"BAKE_SCALE": "0.5"})


def test_a_pause_that_outlives_the_build_which_drives_the_release_is_refused() -> None:
    # Given a build that ends twenty minutes after the start of the release, at 25 %
    bench, answers = Bench(), list[Outcome]()
    bench.build_ends = bench.clock.time + 1200

    def ask() -> None:
        bench.clock.interrupted = True  # so that the one who pauses does not wait
        answers.extend(bench.controller("bob").pause(seconds=seconds) for seconds in (7200, 900))
        bench.clock.interrupted = False

    bench.clock.after(90, ask)
    bench.clock.after(600, lambda: bench.ask("resume"))

    outcome = bench.controller().shift()

    # Then half an hour is too long, and fifteen minutes are not
    assert [(answer.code, answer.why) for answer in answers] == [
        (ExitCode.REFUSED, (Why.TOO_LONG,)),
        (ExitCode.HELD, (Why.HELD,)),
    ]
    assert "`--for 15m` is the longest" in answers[0].text
    assert outcome.code is ExitCode.DONE
