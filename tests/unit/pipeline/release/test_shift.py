"""Shifting, as an operator sees it."""

import pytest

from pipeline.release.outcome import ExitCode
from pipeline.release.record import Phase
from tests.unit.pipeline.release.bench import Bench
from tests.unit.pipeline.release.fake_aws import FUNCTIONS, PROCESSING, refused


def test_a_healthy_candidate_takes_all_routes_step_by_step_and_becomes_stable() -> None:
    bench = Bench()
    seen: list[float] = []

    def note() -> None:
        shares = [share.get("2", 0) for share in bench.aws.shares().values()]
        if len(set(shares)) == 1 and shares[0] not in seen:
            seen.append(shares[0])

    bench.aws.on_change = note

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.DONE
    assert seen == [pytest.approx(share) for share in (0.1, 0.25, 0.5, 1.0)]
    assert bench.all_on("2")
    assert bench.clock.time - 1_800_000_000 == pytest.approx(4 * 60, abs=1), "each step bakes for its time"


def test_no_version_but_stable_and_candidate_ever_gets_traffic_and_none_falls_back_during_the_promotion() -> None:
    bench = Bench()
    processing: list[float] = []

    def note() -> None:
        assert all(set(share) <= {"1", "2"} for share in bench.aws.shares().values())
        processing.append(bench.aws.shares()[PROCESSING].get("2", 0))

    bench.aws.on_change = note

    assert bench.controller().shift().code is ExitCode.DONE

    assert processing == sorted(processing), "the candidate's share of /process only ever rises"


def test_weights_do_not_return_to_blue_before_blue_is_the_candidate() -> None:
    bench = Bench()
    shares: list[float] = []
    bench.aws.on_change = lambda: shares.append(bench.aws.shares()[PROCESSING].get("2", 0))
    refusals = 0

    def disturb(operation: str, when: str) -> None:
        nonlocal refusals
        promoting = (
            operation == "UpdateAlias" and bench.controller().world.records.latest(1)[0].phase is Phase.PROMOTING
        )
        if promoting and when == "before" and refusals < 3:
            refusals += 1
            raise refused(operation)

    bench.aws.disturb = disturb

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.DONE
    assert refusals == 3
    assert shares == sorted(shares)


def test_nothing_to_do_when_the_candidate_is_stable() -> None:
    bench = Bench(stable="2", candidate="2")

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.DONE
    assert "nothing to do" in outcome.text
    assert "ModifyListener" not in bench.aws.calls
    assert "UpdateAlias" not in bench.aws.calls


def test_a_function_that_did_not_change_keeps_its_version() -> None:
    bench = Bench()
    bench.aws.aliases[FUNCTIONS[0], "green"] = ("1", {})

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.DONE
    assert bench.aws.shares() == {FUNCTIONS[0]: {"1": 1}} | {each: {"2": 1} for each in FUNCTIONS[1:]}


@pytest.mark.parametrize("seconds", [1, 65, 130, 200])
def test_an_alarm_at_any_step_brings_all_traffic_back(seconds: float) -> None:
    bench = Bench()
    bench.clock.after(seconds, lambda: bench.aws.alarms.update({"api-errors": "ALARM"}))

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert "api-errors" in outcome.text
    assert bench.all_on("1")
    subject, message = bench.aws.messages[-1]
    assert subject == "Payments test: rolled-back, version 2"
    assert "api-errors" in message


@pytest.mark.parametrize("seconds", [1, 65, 130, 200])
def test_an_interruption_at_any_step_leaves_no_half_shifted_traffic(seconds: float) -> None:
    bench = Bench()
    bench.clock.after(seconds, bench.clock.interrupt)

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert bench.all_on("1")


@pytest.mark.parametrize("seconds", [1, 65, 200])
def test_a_candidate_with_which_clients_lose_too_many_requests_goes_back_and_is_rejected(seconds: float) -> None:
    bench = Bench()
    bench.clock.after(seconds, lambda: setattr(bench.clock, "loses_requests", True))

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert "clients lost more requests than the error budget allows" in outcome.text
    assert bench.all_on("1")
    assert outcome.release
    assert outcome.release.rejected


def test_losses_before_any_traffic_moved_do_not_reject_the_candidate() -> None:
    bench = Bench()
    bench.clock.loses_requests = True

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert outcome.release
    assert not outcome.release.rejected


def test_an_undo_goes_on_while_the_version_that_it_leaves_loses_requests() -> None:
    bench = Bench()
    assert bench.controller().shift().code is ExitCode.DONE
    bench.clock.loses_requests = True

    assert bench.controller().undo().code is ExitCode.DONE

    assert bench.all_on("1")


def test_a_candidate_that_was_found_bad_is_not_shifted_again_but_an_interrupted_one_is() -> None:
    bench = Bench()
    bench.clock.after(10, bench.clock.interrupt)
    bench.controller().shift()
    bench.clock.interrupted = False
    bench.clock.after(10, lambda: bench.aws.alarms.update({"api-errors": "ALARM"}))
    alarmed = bench.controller().shift()
    bench.aws.alarms["api-errors"] = "OK"

    again = bench.controller().shift()

    assert alarmed.code is ExitCode.ROLLED_BACK
    assert again.code is ExitCode.REFUSED
    assert "was rolled back" in again.text
    assert bench.all_on("1")


def test_a_rollback_that_aws_refuses_is_tried_until_it_is_true() -> None:
    bench = Bench()
    bench.clock.after(130, bench.clock.interrupt)
    refusals = 0

    def disturb(operation: str, when: str) -> None:
        nonlocal refusals
        if bench.clock.interrupted and operation in ("ModifyListener", "UpdateAlias") and refusals < 50:
            refusals += 1
            raise refused(operation)

    bench.aws.disturb = disturb

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert bench.all_on("1")
    assert any("failed" in line for line in bench.messages), "it says that AWS refuses"


def test_calls_that_keep_failing_roll_the_release_back() -> None:
    bench = Bench()

    def disturb(operation: str, when: str) -> None:
        if operation == "UpdateAlias" and bench.aws.weights["green"] == 25:
            raise refused(operation)

    bench.aws.disturb = disturb
    bench.aws.on_change = lambda: None

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert bench.all_on("1")


def test_the_record_is_written_before_each_move() -> None:
    bench = Bench()
    recorded: list[tuple[Phase, int]] = []
    moved: list[tuple[Phase, int]] = []

    def note() -> None:
        last = bench.controller().world.records.latest(1)[0]
        recorded.append((last.phase, last.weight))
        most = max(share.get("2", 0) for share in bench.aws.shares().values())
        moved.append((Phase.PROMOTING if "2" in bench.aws.stable() else Phase.SHIFTING, round(100 * most)))

    bench.aws.on_change = note

    assert bench.controller().shift().code is ExitCode.DONE

    assert recorded == moved
    assert set(moved) == {*((Phase.SHIFTING, weight) for weight in bench.plan.weights), (Phase.PROMOTING, 100)}


def test_traffic_is_not_moved_when_the_record_cannot_be_written() -> None:
    bench = Bench()

    def disturb(operation: str, when: str) -> None:
        if operation == "PutItem" and when == "before" and len(bench.aws.table) > 1:
            raise refused(operation)

    bench.aws.disturb = disturb

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert bench.aws.weights == {"blue": 100, "green": 0}
    assert "ModifyListener" not in bench.aws.calls


def test_drift_is_refused_and_rollback_repairs_it() -> None:
    bench = Bench()
    bench.aws.weights = {"blue": 70, "green": 30}

    refusal = bench.controller().shift()
    repaired = bench.controller().rollback()

    assert refusal.code is ExitCode.REFUSED
    assert "drift" in refusal.text
    assert repaired.code is ExitCode.DONE
    assert bench.all_on("1")


def test_someone_who_moves_the_weights_during_a_bake_ends_the_release() -> None:
    bench = Bench()
    bench.clock.after(30, lambda: bench.aws.weights.update(blue=0, green=100))

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert "someone else" in outcome.text
    assert bench.all_on("1")


def test_a_deployment_during_a_release_ends_it_and_is_left_alone() -> None:
    bench = Bench()
    bench.clock.after(30, lambda: bench.aws.deploy("3"))

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert bench.all_on("1")
    assert bench.aws.aliases[PROCESSING, "green"][0] == "3"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_deployment_of_any_one_function_during_a_release_ends_it(function: str) -> None:
    bench = Bench()
    bench.clock.after(30, lambda: bench.aws.aliases.update({(function, "green"): ("3", {})}))

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert "a deployment replaced the candidate by version 3" in outcome.text
    assert bench.all_on("1")


def test_a_store_that_hangs_delays_a_rollback_by_one_call() -> None:
    # Given an alarm at 90 s, and a DynamoDB that hangs from then on
    bench = Bench()
    moved: list[float] = []

    def disturb(operation: str, when: str) -> None:
        if operation in ("PutItem", "GetItem", "Query") and bench.aws.alarms["api-errors"] == "ALARM":
            bench.clock.time += 8
            raise refused(operation)

    bench.aws.disturb = disturb
    bench.clock.after(90, lambda: bench.aws.alarms.update({"api-errors": "ALARM"}))
    bench.clock.after(90, lambda: setattr(bench.aws, "on_change", lambda: moved.append(bench.clock.time)))

    outcome = bench.controller().shift()

    # Then traffic is back after one time-out of the store, and the record comes later
    assert outcome.code is ExitCode.ROLLED_BACK
    assert bench.all_on("1")
    assert max(moved) - 1_800_000_000 == pytest.approx(90 + 8, abs=5)


def test_an_alarm_that_already_rings_is_refused_before_anything_moves() -> None:
    bench = Bench()
    bench.aws.alarms["api-latency"] = "ALARM"

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.REFUSED
    assert "api-latency" in outcome.text
    assert bench.all_on("1")
