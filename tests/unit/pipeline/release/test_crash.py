"""A controller may be killed at any instruction; the next one ends the release properly."""

from dataclasses import replace

import pytest

from pipeline.release.commands import ExitCode
from pipeline.release.plan import Plan
from pipeline.release.ports import LeaseHeld, LeaseLost
from tests.unit.pipeline.release.bench import Bench

WRITES = ("PutItem", "DeleteItem", "ModifyListener", "UpdateAlias", "Publish")
SHORT = Plan(weights=(50, 100), bake_seconds=5, hold_seconds=60)


class Killed(BaseException):
    """kill -9: nothing of the process runs any more, not even its clean-up."""


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
    while kill_at(bench, call := call + 5):
        promoted = bench.all_on("2")

        outcome = bench.controller("the operator").rollback()

        assert outcome.code is ExitCode.DONE, f"killed at call {call}: {outcome.text}"
        assert bench.all_on("1") or promoted, f"killed at call {call}"
        bench = Bench(plan=SHORT)


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


def test_a_controller_that_slept_through_its_lease_touches_nothing_any_more() -> None:
    bench = Bench()
    calls_at_takeover: list[int] = []

    def take_over() -> None:
        bench.clock.time += 40
        bench.controller("bob").world.records.acquire()
        calls_at_takeover.append(len(bench.aws.calls))

    bench.clock.after(30, take_over)

    with pytest.raises(LeaseLost):
        bench.controller("ann").shift()

    later = bench.aws.calls[calls_at_takeover[0] :]
    assert "ModifyListener" not in later
    assert "UpdateAlias" not in later
