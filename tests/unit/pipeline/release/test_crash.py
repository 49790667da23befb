"""A controller may be killed at any instruction; the next one ends the release properly."""

from contextlib import suppress
from dataclasses import replace

import pytest

from pipeline.release.outcome import ExitCode
from pipeline.release.plan import Plan
from pipeline.release.ports import LeaseHeld, LeaseLost, Unavailable
from pipeline.release.record import Phase
from tests.unit.pipeline.release.bench import Bench
from tests.unit.pipeline.release.fake_aws import MOVES, refused

WRITES = ("PutItem", "DeleteItem", "Publish", *MOVES)
SHORT = Plan(weights=(50, 100), bake_seconds=5, hold_seconds=60)


class Killed(BaseException):
    """kill -9: nothing of the process runs any more, not even its clean-up."""


def die(operation: str, when: str) -> None:
    """A disturbance: the controller's process ends here."""
    raise Killed


def kill_at(bench: Bench, call: int) -> bool:
    """Shift until just before or just after the n-th write; whether it was reached. Leaves the lease behind.

    Reads change nothing: dying at one of them is dying after the write before it.
    """
    count = 0
    dead = False

    def disturb(operation: str, when: str) -> None:
        nonlocal count, dead
        if dead:
            raise Killed
        count += operation in WRITES
        if count >= call:
            dead = True
            raise Killed

    bench.aws.disturb = disturb
    try:
        bench.controller("the one who dies").shift()
    except Killed:
        return True
    finally:
        bench.aws.disturb = lambda operation, when: None
    return False


def test_killed_between_any_two_calls_the_next_controller_finishes_the_release() -> None:
    bench, call = Bench(plan=SHORT), 0
    while kill_at(bench, call := call + 1):
        outcome = bench.controller("the next").shift()

        assert outcome.code is ExitCode.DONE, f"killed at call {call}: {outcome.text}"
        assert bench.all_on("2"), f"killed at call {call}"
        bench = Bench(plan=SHORT)
    assert call > 60


def test_killed_between_any_two_calls_an_operator_can_roll_back() -> None:
    bench, call = Bench(plan=SHORT), 0
    while kill_at(bench, call := call + 1):
        last = next(iter(bench.controller().world.records.latest(1)), None)
        promoted = last is not None and last.phase is Phase.PROMOTED

        outcome = bench.controller("the operator").rollback()

        assert outcome.code is ExitCode.DONE, f"killed at call {call}: {outcome.text}"
        assert bench.all_on("2" if promoted else "1"), f"killed at call {call}"
        bench = Bench(plan=SHORT)
    assert call > 60


def test_a_second_controller_is_refused_and_told_who_holds_the_lease() -> None:
    bench = Bench()
    refusals: list[LeaseHeld] = []

    def second() -> None:
        with pytest.raises(LeaseHeld) as refusal:
            bench.controller("bob").world.records.acquire()
        refusals.append(refusal.value)

    bench.clock.after(90, second)

    outcome = bench.controller("ann").shift()

    assert outcome.code is ExitCode.DONE
    assert [refusal.holder for refusal in refusals] == ["ann"]


def test_a_record_that_someone_else_has_moved_on_is_not_overwritten() -> None:
    bench = Bench()
    release = bench.controller().shift().release
    assert release
    records = bench.controller().world.records
    records.save(release)

    with pytest.raises(LeaseLost):
        records.save(replace(release, cause="written from an old copy"))


def lose_answers(bench: Bench, first: int, count: int) -> bool:
    """Shift, while ``count`` writes to the store are applied without an answer, and each is followed by one that is
    refused and not applied; whether it came to the ``first``."""
    writes = 0

    def disturb(operation: str, when: str) -> None:
        nonlocal writes
        if operation != "PutItem":
            return
        writes += when == "before"
        since_first = writes - first
        if 0 <= since_first < 2 * count and (since_first % 2 == 0) is (when == "after"):
            raise refused(operation, "InternalServerError")

    bench.aws.disturb = disturb
    with suppress(Unavailable):  # before it begins
        bench.controller("ann").shift()
    bench.aws.disturb = lambda operation, when: None
    return writes >= first


@pytest.mark.parametrize("count", [1, 2])
def test_a_write_whose_answer_is_lost_does_not_end_the_controller(count: int) -> None:
    bench, first = Bench(plan=SHORT), 0
    while lose_answers(bench, first := first + 1, count):
        last = next(iter(bench.controller().world.records.latest(1)), None)
        if last is None or last.phase is Phase.PENDING:
            assert "ModifyListener" not in bench.aws.calls, f"lost from write {first} on"
            assert bench.all_on("1")
        else:
            assert last.finished, f"lost from write {first} on"
            assert bench.all_on("2"), f"lost from write {first} on"
        bench = Bench(plan=SHORT)
    assert first > 30


def test_a_controller_that_slept_through_its_lease_touches_nothing_any_more() -> None:
    bench = Bench()
    calls_at_takeover: list[int] = []

    def take_over() -> None:
        bench.clock.time += 40
        bob = bench.seize("bob")
        bench.clock.after(10, bob.renew)
        calls_at_takeover.append(len(bench.aws.calls))

    bench.clock.after(30, take_over)

    with pytest.raises(LeaseLost):
        bench.controller("ann").shift()

    later = bench.aws.calls[calls_at_takeover[0] :]
    assert "ModifyListener" not in later
    assert "UpdateAlias" not in later


def test_a_controller_whose_reads_are_slow_keeps_its_lease() -> None:
    # Given an AWS that takes 4 s for each call, so that a look takes longer than the lease
    bench = Bench()
    others: list[str] = []

    def disturb(operation: str, when: str) -> None:
        if when == "after" and operation in ("GetAlias", "DescribeListeners", "DescribeAlarms", "GetMetricData"):
            bench.clock.time += 4
            if bench.aws.weights["green"]:
                with pytest.raises(LeaseHeld):
                    bench.controller("bob").world.records.acquire()
                others.append("bob")

    bench.aws.disturb = disturb

    outcome = bench.controller("ann").shift()

    assert outcome.code is ExitCode.DONE
    assert len(others) > 40
    assert bench.all_on("2")


def take_the_lease_and_leave(bench: Bench) -> None:
    bench.clock.time += 40
    bench.seize("bob").give_up()


def test_a_controller_continues_after_another_took_its_lease_and_left() -> None:
    # Given a controller that is slow, and another one that takes its lease and leaves without driving
    bench = Bench()

    bench.clock.after(90, lambda: take_the_lease_and_leave(bench))

    outcome = bench.controller("ann").shift()

    # Then the step bakes again, and the release ends as it would have
    assert outcome.code is ExitCode.DONE
    assert outcome.release
    assert "taken over in phase baking" in [event.text for event in outcome.release.events]
    assert bench.all_on("2")


def test_a_controller_that_loses_its_lease_again_and_again_ends() -> None:
    # Given someone who takes and leaves the lease all the time
    bench = Bench()

    def again_and_again() -> None:
        take_the_lease_and_leave(bench)
        bench.clock.after(10, again_and_again)

    bench.clock.after(90, again_and_again)

    with pytest.raises(LeaseLost):
        bench.controller("ann").shift()


def hang(bench: Bench, call: int, when: str) -> bool:
    """Shift, and hang before or after the n-th write for longer than the lease; meanwhile someone aborts and is done.

    Whether it came to that.
    """
    count = 0

    def disturb(operation: str, at: str) -> None:
        nonlocal count
        count += operation in WRITES and at == when
        if count == call:
            bench.aws.disturb = lambda operation, when: None
            bench.clock.time += 40
            bench.controller("bob").rollback()
            assert bench.all_on("1") or bench.all_on("2")

    bench.aws.disturb = disturb
    with suppress(LeaseLost):
        bench.controller("ann").shift()
    return count >= call


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_controller_that_hung_while_another_finished_leaves_traffic_as_that_one_did(when: str) -> None:
    bench, call = Bench(plan=SHORT), 0
    while hang(bench, call := call + 1, when):
        last = next(iter(bench.controller().world.records.latest(1)), None)
        if last:
            assert bench.all_on("2" if last.phase is Phase.PROMOTED else "1"), f"hung {when} call {call}"
        assert bench.aws.weights == {"blue": 100, "green": 0}, f"hung {when} call {call}"
        bench = Bench(plan=SHORT)
    assert call > 30


def test_a_controller_that_hung_after_writing_its_record_makes_none_of_the_calls() -> None:
    # Given a controller that writes "shifting 25 %", and hangs; another one aborts and ends
    bench = Bench()
    moved: list[str] = []

    def disturb(operation: str, when: str) -> None:
        if operation != "PutItem" or when != "after" or bench.controller().world.records.latest(1)[0].weight != 25:
            return
        bench.aws.disturb = lambda operation, when: None
        bench.clock.time += 40
        bench.controller("bob").abort()
        bench.aws.on_change = lambda: moved.append(bench.aws.calls[-1])

    bench.clock.after(30, lambda: setattr(bench.aws, "disturb", disturb))

    with pytest.raises(LeaseLost):
        bench.controller("ann").shift()

    assert not moved
    assert bench.all_on("1")


def test_a_controller_that_hung_before_its_first_record_writes_none() -> None:
    # Given a controller that hangs before it begins, while another one promotes the candidate
    bench = Bench()

    def disturb(operation: str, when: str) -> None:
        if operation == "GetAlias" and when == "before":
            bench.aws.disturb = lambda operation, when: None
            bench.clock.time += 40
            assert bench.controller("bob").promote(now=True).code is ExitCode.DONE
            bench.aws.deploy("3")

    bench.aws.disturb = disturb

    with pytest.raises(LeaseLost):
        bench.controller("ann").shift()

    assert bench.controller().world.records.latest(1)[0].phase is Phase.PROMOTED
    assert bench.all_on("2")
