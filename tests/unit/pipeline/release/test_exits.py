"""The operators' ways out: an abort is never lost, and the emergency exits need only what they move."""

from collections.abc import Callable

import pytest

from names import Colour, Function
from pipeline.release.commands import Commands
from pipeline.release.outcome import ExitCode, Outcome
from pipeline.release.ports import Denied, Missing, Unavailable
from pipeline.release.record import Phase
from tests.unit.pipeline.release.bench import Bench
from tests.unit.pipeline.release.fake_aws import FUNCTIONS, PROCESSING, refused
from tests.unit.pipeline.release.test_crash import Killed, die
from tests.unit.pipeline.release.test_operators import promoted

TABLE = ("Query", "GetItem", "PutItem", "DeleteItem")
LAMBDA = ("GetAlias", "UpdateAlias", "CreateAlias", "GetFunctionConfiguration")
CLOUDWATCH = ("DescribeAlarms", "GetMetricData", "PutMetricData")
VERSION_1 = dict.fromkeys(Function, "1")


def fails(bench: Bench, *operations: str) -> None:
    """From now on AWS refuses these."""

    def disturb(operation: str, when: str) -> None:
        if operation in operations:
            raise refused(operation, "InternalServerError")

    bench.aws.disturb = disturb


def works(bench: Bench) -> None:
    bench.aws.disturb = lambda operation, when: None


def unreadable(bench: Bench, release_id: str | None = None) -> None:
    """The record, by default the last one, is from a version of the controller that knows another phase."""
    key = release_id or max(key for key in bench.aws.table if key[0].isdigit())
    item = bench.aws.table.setdefault(key, {"environment": {"S": "test"}, "release_id": {"S": key}})
    bench.aws.table[key] = item | {"document": {"S": '{"phase": "verifying"}'}}


# An abort is never lost


@pytest.mark.parametrize("later", ["promote-now", "pause", "resume", "promote"])
def test_nothing_that_is_asked_for_after_an_abort_takes_its_place(later: str) -> None:
    bench = Bench()
    bench.clock.after(90, lambda: bench.ask("abort"))
    bench.clock.after(90, lambda: bench.ask(later))

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert outcome.release
    assert outcome.release.rejected
    assert bench.all_on("1")


def test_who_asks_for_something_after_an_abort_is_told_at_once() -> None:
    bench, answers = Bench(), list[Outcome]()

    def ask() -> None:
        bench.ask("abort")
        answers.append(bench.controller("carol").pause())

    bench.clock.after(90, ask)
    bench.controller().shift()

    assert answers[0].code is ExitCode.REFUSED
    assert "pause is superseded by abort, asked for by bob" in answers[0].text


def test_who_is_overtaken_by_another_request_is_told() -> None:
    # Given a release that nobody drives, and a request that replaces another before that one is obeyed
    bench = Bench()
    assert abandoned_at_25_percent(bench)
    bench.clock.after(1, lambda: bench.ask("promote"))

    outcome = bench.controller("carol").pause(seconds=600)

    assert outcome.code is ExitCode.REFUSED
    assert "pause is superseded by promote, asked for by bob" in outcome.text


def abandoned_at_25_percent(bench: Bench) -> bool:
    bench.clock.after(70, lambda: setattr(bench.aws, "disturb", die))
    with pytest.raises(Killed):
        bench.controller("ann").shift()
    works(bench)
    return bench.aws.weights["green"] == 25


@pytest.mark.parametrize("seconds", [0, 5, 40, 115])
def test_an_abort_of_a_release_on_its_way_back_rejects_the_candidate(seconds: float) -> None:
    # Given a release that goes back because it was interrupted, while ELB refuses for two minutes
    bench = Bench()
    bench.clock.after(90, bench.clock.interrupt)
    bench.clock.after(90, lambda: fails(bench, "ModifyListener"))
    bench.clock.after(90 + seconds, lambda: bench.ask("abort"))
    bench.clock.after(210, lambda: works(bench))

    outcome = bench.controller().shift()

    assert outcome.release
    assert outcome.release.rejected
    assert any("interrupted" in event.text for event in outcome.release.events) is (seconds > 0)
    bench.clock.interrupted = False
    assert bench.controller().shift().code is ExitCode.REFUSED


def test_an_abort_that_waits_says_so_at_once_and_again() -> None:
    # Given a controller that was killed a moment ago
    bench = Bench()
    assert abandoned_at_25_percent(bench)
    bench.messages.clear()
    began, heard = bench.clock.time, list[float]()
    for second in range(1, 30):
        bench.clock.after(second, lambda: heard.append(len(bench.messages)))

    outcome = bench.controller("bob").abort()

    assert outcome.code is ExitCode.DONE
    assert bench.messages[0] == "  asked for abort; waiting for ann (its lease ends in 30 s, unless it renews it)"
    assert heard[0] == 1
    assert sum("waiting for ann" in line for line in bench.messages) == 6
    assert bench.clock.time - began < 40


# What is promoted already


def test_after_a_promotion_rollback_and_abort_name_the_undo() -> None:
    bench = promoted(Bench())

    rollback, abort = bench.controller().rollback(), bench.controller().abort()

    assert (rollback.code, abort.code) == (ExitCode.DONE, ExitCode.REFUSED)
    for outcome in (rollback, abort):
        assert "`undo --now` goes back to version 1 in seconds" in outcome.text


# The emergency exits


def test_an_undo_at_once_needs_no_cloudwatch_and_moves_the_aliases_blue_only() -> None:
    bench = promoted(Bench())
    fails(bench, *CLOUDWATCH)

    outcome = bench.controller().undo(now=True)

    assert outcome.code is ExitCode.DONE
    assert bench.all_on("1")
    assert "ModifyListener" not in bench.aws.calls
    assert "DescribeAlarms" not in bench.aws.calls


def test_an_undo_at_once_is_not_led_back_by_failing_calls() -> None:
    bench = promoted(Bench())
    fails(bench, "UpdateAlias")
    bench.clock.after(3600, lambda: works(bench))

    assert bench.controller().undo(now=True).code is ExitCode.DONE
    assert bench.all_on("1")


def test_an_undo_to_a_version_needs_elb_and_lambda_alone() -> None:
    bench = promoted(Bench())
    fails(bench, *TABLE, *CLOUDWATCH, "Publish")

    outcome = bench.controller().undo(now=True, to=VERSION_1)

    assert outcome.code is ExitCode.DONE
    assert bench.all_on("1")


def test_an_undo_to_a_version_leaves_other_functions_alone() -> None:
    bench = promoted(Bench())

    assert bench.controller().undo(now=True, to={Function.VALIDATION: "1"}).code is ExitCode.DONE

    assert bench.aws.stable() == ["1", *("2" for _ in FUNCTIONS[1:])]


@pytest.mark.parametrize("to", [None, VERSION_1], ids=["the previous one", "by name"])
def test_an_undo_to_a_version_that_is_gone_is_refused_before_anything_moves(to: dict[Function, str] | None) -> None:
    bench = promoted(Bench())
    bench.aws.deleted_versions.add((FUNCTIONS[0], "1"))

    outcome = bench.controller().undo(now=True, to=to)

    assert outcome.code is ExitCode.REFUSED
    assert "there is no version validation 1" in outcome.text
    assert ("`history` names" if to else "`undo --now --to VERSIONS` names") in outcome.text
    assert bench.all_on("2")


def test_without_the_table_the_exits_that_need_none_are_named() -> None:
    bench = promoted(Bench())
    fails(bench, *TABLE)

    with pytest.raises(Unavailable, match=r"`undo --now --to VERSIONS` needs ELB and Lambda alone"):
        bench.controller().undo(now=True)
    with pytest.raises(Unavailable, match=r"`rollback --force` needs ELB and Lambda alone"):
        bench.controller().rollback()


def test_a_forced_rollback_needs_elb_and_lambda_alone() -> None:
    bench = Bench()
    bench.aws.weights = {"blue": 40, "green": 60}
    bench.aws.aliases[FUNCTIONS[0], "blue"] = ("1", {"2": 0.6})
    fails(bench, *TABLE, *CLOUDWATCH, "Publish")

    outcome = bench.controller().rollback(force=True)

    assert outcome.code is ExitCode.DONE
    assert outcome.text == "all traffic is on version 1"
    assert bench.all_on("1")


def test_a_forced_rollback_moves_what_answers_and_says_what_is_unknown() -> None:
    bench = Bench()
    bench.aws.weights = {"blue": 40, "green": 60}
    fails(bench, *TABLE, *LAMBDA)

    outcome = bench.controller().rollback(force=True)

    assert outcome.code is ExitCode.UNCONFIRMED
    assert bench.aws.weights == {"blue": 100, "green": 0}
    assert "listener: blue 100, green 0" in outcome.text
    assert "validation alias blue: unknown" in outcome.text


def test_a_forced_rollback_with_no_answer_at_all_ends_with_the_reason() -> None:
    bench = Bench()

    def disturb(operation: str, when: str) -> None:
        raise refused(operation, "ExpiredTokenException")

    bench.aws.disturb = disturb

    with pytest.raises(Denied, match="ExpiredToken"):
        bench.controller().rollback(force=True)


def test_a_forced_rollback_of_a_release_that_nobody_drives_ends_it_and_rejects_its_candidate() -> None:
    bench = Bench()
    assert abandoned_at_25_percent(bench)
    moved: list[float] = []
    began = bench.clock.time
    bench.aws.on_change = lambda: moved.append(bench.clock.time)

    outcome = bench.controller("bob").rollback(force=True)

    # Then traffic does not wait for the dead one's lease, and the record follows
    assert outcome.code is ExitCode.DONE
    assert max(moved) == began
    last = bench.controller().world.records.last()
    assert last
    assert (last.phase, last.rejected) == (Phase.ROLLED_BACK, True)
    assert bench.all_on("1")


def test_a_forced_rollback_stops_the_controller_that_runs() -> None:
    bench, forced = Bench(), list[Outcome]()

    def force() -> None:
        bench.clock.interrupted = True  # so that this one does not wait for the other, which stands still meanwhile
        forced.append(bench.controller("bob").rollback(force=True))
        bench.clock.interrupted = False

    bench.clock.after(100, force)
    outcome = bench.controller("ann").shift()

    assert forced[0].code is ExitCode.DONE
    assert outcome.code is ExitCode.ROLLED_BACK
    assert outcome.release
    assert outcome.release.rejected
    assert bench.all_on("1")


def test_a_promotion_that_somebody_took_back_by_force_is_not_finished_by_the_next_command() -> None:
    # Given a controller that dies in the promotion, and a forced rollback without a table
    bench = Bench()
    bench.aws.on_change = lambda: setattr(bench.aws, "disturb", die if "2" in bench.aws.stable() else bench.aws.disturb)
    with pytest.raises(Killed):
        bench.controller("ann").shift()
    bench.aws.on_change = lambda: None
    works(bench)
    bench.aws.aliases.update({(f, "blue"): ("1", {}) for f in FUNCTIONS})
    bench.aws.weights = {"blue": 100, "green": 0}

    outcome = bench.controller("the next").shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert "someone else moved all traffic back to stable" in outcome.text
    assert bench.all_on("1")


def test_what_lambda_refuses_does_not_keep_the_listener_on_the_candidate() -> None:
    # Given a candidate with half of the traffic that rings an alarm, and a Lambda that answers nothing for an hour
    bench = Bench()
    bench.clock.after(130, lambda: fails(bench, *LAMBDA))
    bench.clock.after(130, lambda: bench.aws.alarms.update({"candidate-latency": "ALARM"}))
    seen: list[dict[str, int]] = []
    bench.clock.after(150, lambda: seen.append(dict(bench.aws.weights)))
    bench.clock.after(3700, lambda: works(bench))

    outcome = bench.controller().shift()

    assert seen == [{"blue": 100, "green": 0}]
    assert outcome.code is ExitCode.ROLLED_BACK
    assert bench.all_on("1")


# Records that can't be read


def every_command(commands: Commands) -> dict[str, Callable[[], Outcome]]:
    return {
        "rollback": commands.rollback,
        "status": commands.status,
        "history": commands.history,
        "undo --now --to": lambda: commands.undo(now=True, to=VERSION_1),
    }


@pytest.mark.parametrize("command", ["rollback", "history", "undo --now --to"])
def test_a_last_record_that_cannot_be_read_keeps_no_exit_shut(command: str) -> None:
    bench = promoted(Bench())
    unreadable(bench)
    bench.aws.weights = {"blue": 40, "green": 60}

    outcome = every_command(bench.controller())[command]()

    assert outcome.code is ExitCode.DONE
    if command != "history":
        assert bench.all_on("1" if command.startswith("undo") else "2")


def test_a_last_record_that_cannot_be_read_is_shown_and_refuses_a_shift_until_a_rollback() -> None:
    bench = promoted(Bench())
    unreadable(bench)
    bench.aws.deploy("3")

    status = bench.controller().status()
    with pytest.raises(Unavailable, match="cannot be read"):
        bench.controller().shift()
    assert bench.controller().rollback().code is ExitCode.DONE

    assert status.code is ExitCode.BROKEN
    assert "unknown    release record" in status.text
    assert "stable     version 2" in status.text
    assert bench.controller().shift().code is ExitCode.DONE


def test_an_old_record_that_cannot_be_read_blocks_nothing_and_is_listed() -> None:
    bench = promoted(Bench())
    unreadable(bench, "20200101T000000.000Z")
    bench.aws.deploy("3")

    assert bench.controller().shift().code is ExitCode.DONE
    assert bench.controller().undo(now=True).code is ExitCode.DONE
    assert bench.all_on("2")
    assert "20200101T000000.000Z cannot be read" in bench.controller().history().text.splitlines()[-1]


# Parts that are unknown or gone


@pytest.mark.parametrize(
    ("operation", "shown"),
    [
        ("DescribeListeners", "/process unknown"),
        ("DescribeAlarms", "alarms     unknown"),
        ("Query", "not all is known"),
    ],
)
def test_the_status_shows_what_is_known_and_what_is_not(operation: str, shown: str) -> None:
    bench = Bench()
    fails(bench, operation)

    outcome = bench.controller().status()

    assert outcome.code is ExitCode.UNAVAILABLE
    assert shown in outcome.text
    assert "stable     version 1" in outcome.text


def test_an_alias_blue_that_is_deleted_during_a_release_is_created_again_from_the_record() -> None:
    bench = Bench()
    bench.clock.after(130, lambda: bench.aws.aliases.pop((FUNCTIONS[0], Colour.STABLE)))

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert "GetAlias" in outcome.text
    assert bench.all_on("1")
    assert bench.clock.time - 1_800_000_000 < 140


def test_an_alias_blue_that_was_deleted_is_created_again_by_rollback() -> None:
    bench = promoted(Bench())
    del bench.aws.aliases[PROCESSING, "blue"]

    with pytest.raises(Missing, match="`rollback` creates an alias blue again"):
        bench.controller().shift()
    assert bench.controller().rollback().code is ExitCode.DONE

    assert bench.all_on("2")


def test_an_alias_blue_that_no_record_knows_is_created_by_name() -> None:
    bench = Bench()
    del bench.aws.aliases[FUNCTIONS[0], "blue"]

    refusal = bench.controller().rollback()

    assert refusal.code is ExitCode.REFUSED
    assert "`undo --now --to validation=VERSION` creates it" in refusal.text
    assert bench.controller().undo(now=True, to={Function.VALIDATION: "1"}).code is ExitCode.DONE
    assert bench.all_on("1")


# Bakes that an operator ends


@pytest.mark.parametrize("at", [(10,), (10, 20, 30), (75, 80)])
def test_ending_bakes_before_there_are_data_does_not_doom_the_release(at: tuple[float, ...]) -> None:
    # Given metrics that come two minutes late
    bench = Bench()
    bench.timing = type(bench.timing)(minute=60, delay=60.0)
    for seconds in at:
        bench.clock.after(seconds, lambda: bench.ask("promote"))

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.DONE, outcome.text
    assert bench.all_on("2")


def test_promote_now_waits_until_it_is_known_that_no_alarm_rings() -> None:
    # Given alarms that can't be read when an operator is in a hurry, and one of which rings
    bench = Bench()
    bench.clock.after(90, lambda: fails(bench, "DescribeAlarms"))
    bench.clock.after(90, lambda: bench.ask("promote-now"))
    bench.clock.after(95, lambda: bench.aws.alarms.update({"api-errors": "ALARM"}))
    most: list[int] = []
    bench.aws.on_change = lambda: most.append(bench.aws.weights["green"])

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert max(most) == 25
    assert bench.all_on("1")
