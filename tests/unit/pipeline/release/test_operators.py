"""The commands of operators during a release and after it."""

import copy

import pytest

from pipeline.release.outcome import ExitCode
from pipeline.release.record import Phase
from tests.unit.pipeline.release.bench import Bench
from tests.unit.pipeline.release.fake_aws import FUNCTIONS, PROCESSING, Behaviour, refused
from tests.unit.pipeline.release.test_crash import Killed, die


def promoted(bench: Bench) -> Bench:
    """Given version 1 was replaced by version 2."""
    assert bench.controller().shift().code is ExitCode.DONE
    bench.aws.calls.clear()
    return bench


def test_abort_brings_all_traffic_back_and_rejects_the_candidate() -> None:
    bench = Bench()
    bench.clock.after(90, lambda: bench.ask("abort"))

    aborted = bench.controller().shift()
    again = bench.controller().shift()

    assert aborted.code is ExitCode.ROLLED_BACK
    assert "abort, asked for by bob" in aborted.text
    assert again.code is ExitCode.REFUSED
    assert bench.all_on("1")


def test_retry_gives_a_rejected_candidate_another_chance() -> None:
    bench = Bench()
    bench.clock.after(90, lambda: bench.ask("abort"))
    bench.controller().shift()

    outcome = bench.controller().retry()

    assert outcome.code is ExitCode.DONE
    assert bench.all_on("2")


def test_promote_ends_the_bake_and_promote_now_all_bakes() -> None:
    bench = Bench()
    bench.clock.after(10, lambda: bench.ask("promote"))
    bench.clock.after(20, lambda: bench.ask("promote-now"))

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.DONE
    assert bench.all_on("2")
    assert bench.clock.time - 1_800_000_000 < 60


def test_promote_now_without_a_release_shifts_at_once_but_still_through_100_percent_on_green() -> None:
    bench = Bench()
    weights: list[int] = []
    bench.aws.on_change = lambda: weights.append(bench.aws.weights["green"])

    outcome = bench.controller().promote(now=True)

    assert outcome.code is ExitCode.DONE
    assert bench.all_on("2")
    assert weights[0] == 100


@pytest.mark.parametrize("command", ["pause", "resume", "abort", "promote"])
def test_requests_without_a_release_are_refused(command: str) -> None:
    outcome = getattr(Bench().controller(), command)()

    assert outcome.code is ExitCode.REFUSED


@pytest.mark.parametrize("now", [False, True])
def test_undo_restores_the_former_stable_version_and_the_deployed_alias_green(now: bool) -> None:
    bench = promoted(Bench())
    started = bench.clock.time

    outcome = bench.controller().undo(now=now)

    assert outcome.code is ExitCode.DONE
    assert bench.all_on("1")
    assert bench.aws.aliases[PROCESSING, "green"][0] == "2"
    assert (bench.clock.time - started < 60) is now


def hurried(bench: Bench, command: str) -> str:
    """Given a release whose candidate is to be stable at once, by `undo --now` or `promote --now`; its version."""
    if command == "undo":
        promoted(bench)
    return "1" if command == "undo" else "2"


def record_is_written(bench: Bench, operation: str, when: str) -> bool:
    """Whether this call is the one that records the shift, which has not moved anything yet."""
    last = max((key for key in bench.aws.table if key[0].isdigit()), default="")
    phase = bench.aws.table[last]["phase"]["S"] if last else None
    return (operation, when) == ("PutItem", "after") and phase in (Phase.SHIFTING, Phase.PROMOTING)


@pytest.mark.parametrize("command", ["undo", "promote"])
def test_a_hurried_release_whose_first_move_is_late_tries_again(command: str) -> None:
    bench = Bench()
    wanted = hurried(bench, command)
    calls: list[str] = []

    def disturb(operation: str, when: str) -> None:
        """The renewal of the lease before the first move is refused."""
        if calls == ["recorded"] and operation == "PutItem":
            calls.append("throttled")
            raise refused(operation)
        if not calls and record_is_written(bench, operation, when):
            calls.append("recorded")

    bench.aws.disturb = disturb

    outcome = getattr(bench.controller(), command)(now=True)

    assert calls == ["recorded", "throttled"]
    assert outcome.code is ExitCode.DONE
    assert bench.all_on(wanted)


@pytest.mark.parametrize("command", ["undo", "promote"])
def test_a_hurried_release_that_was_killed_before_its_first_move_is_finished(command: str) -> None:
    bench = Bench()
    wanted = hurried(bench, command)

    def disturb(operation: str, when: str) -> None:
        if record_is_written(bench, operation, when):
            bench.aws.disturb = die
            raise Killed

    bench.aws.disturb = disturb
    with pytest.raises(Killed):
        getattr(bench.controller(), command)(now=True)
    bench.aws.disturb = lambda operation, when: None

    bench.controller("the next").shift()

    assert bench.all_on(wanted)


def test_an_undone_candidate_is_not_shifted_again_by_the_pipeline() -> None:
    bench = promoted(Bench())
    bench.controller().undo(now=True)

    again = bench.controller().shift()
    anew = bench.controller().retry()

    assert again.code is ExitCode.REFUSED
    assert "undone" in again.text
    assert anew.code is ExitCode.DONE
    assert bench.all_on("2")


def test_a_deployment_during_an_undo_ends_it_at_once_and_keeps_its_alias() -> None:
    # Given an undo of version 2, and the deployment of a repaired version 3 after the first step
    bench = promoted(Bench())
    began = bench.clock.time
    bench.clock.after(90, lambda: bench.aws.deploy("3"))

    outcome = bench.controller().undo()

    # Then no traffic goes back to version 2
    assert outcome.code is ExitCode.DONE
    assert bench.all_on("1")
    assert bench.clock.time - began < 100
    assert bench.aws.aliases[PROCESSING, "green"][0] == "3"


def test_an_undo_that_fails_leaves_everything_as_before() -> None:
    bench = promoted(Bench())
    bench.clock.after(90, lambda: bench.aws.alarms.update({"candidate-latency": "ALARM"}))

    outcome = bench.controller().undo()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert bench.all_on("2")
    assert bench.aws.aliases[PROCESSING, "green"][0] == "2"


def test_undo_is_possible_while_an_alarm_rings_that_it_is_to_silence() -> None:
    bench = promoted(Bench())
    bench.aws.alarms["api-errors"] = "ALARM"

    outcome = bench.controller().undo()

    assert outcome.code is ExitCode.DONE
    assert bench.all_on("1")


def test_an_alarm_of_the_version_that_an_undo_leaves_does_not_stop_the_undo() -> None:
    # Given a stable version that begins to fail, whose errors count as the candidate's once blue is split
    bench = promoted(Bench())
    bench.aws.behaviour["2"] = Behaviour(errors=0.5)
    bench.aws.counts_the_deployed_in_blue = True
    bench.clock.after(90, lambda: bench.aws.alarms.update({"api-errors": "ALARM"}))

    outcome = bench.controller().undo()

    assert outcome.code is ExitCode.DONE
    assert bench.all_on("1")


def test_the_same_alarm_rolls_a_shift_back() -> None:
    bench = Bench()
    bench.aws.behaviour["2"] = Behaviour(errors=0.5)
    bench.aws.counts_the_deployed_in_blue = True

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert "alarm: candidate-errors" in outcome.text
    assert bench.all_on("1")


def test_undo_without_a_record_of_an_earlier_version_is_refused() -> None:
    outcome = Bench().controller().undo()

    assert outcome.code is ExitCode.REFUSED


def test_an_undo_that_is_refused_does_not_take_the_lease_of_the_controller_that_runs() -> None:
    # Given an operator whose clock is so far ahead that the lease seems to have ended
    bench = Bench()
    refusals: list[ExitCode] = []

    def undo() -> None:
        bench.clock.time += 40
        refusals.append(bench.controller("bob").undo().code)
        bench.clock.time -= 40

    bench.clock.after(90, undo)

    outcome = bench.controller("ann").shift()

    # Then the release goes on as if nobody had asked
    assert refusals == [ExitCode.REFUSED]
    assert outcome.code is ExitCode.DONE
    assert outcome.release
    assert not any("taken over" in event.text for event in outcome.release.events)


def test_the_next_deployment_is_shifted_after_a_rejected_one() -> None:
    bench = Bench()
    bench.clock.after(90, lambda: bench.ask("abort"))
    bench.controller().shift()
    bench.aws.deploy("3")

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.DONE
    assert bench.all_on("3")


def test_rollback_with_nothing_to_roll_back_says_so() -> None:
    outcome = Bench().controller().rollback()

    assert outcome.code is ExitCode.DONE
    assert "nothing to do" in outcome.text


def left_at_25_percent(bench: Bench) -> Bench:
    """Given a release whose controller died."""
    bench.clock.after(70, lambda: setattr(bench.aws, "disturb", die))
    with pytest.raises(Killed):
        bench.controller().shift()
    bench.aws.disturb = lambda operation, when: None
    assert bench.aws.weights["green"] == 25
    bench.aws.calls.clear()
    return bench


@pytest.mark.parametrize(
    ("command", "under_way"),
    [("shift", False), ("retry", False), ("undo", False), ("promote", True), ("rollback", True), ("abort", True)],
)
def test_a_dry_run_changes_nothing_at_all(command: str, under_way: bool) -> None:
    bench = promoted(Bench())
    bench.aws.deploy("3")
    if under_way:
        left_at_25_percent(bench)
    table = copy.deepcopy(bench.aws.table)

    outcome = getattr(bench.controller(dry_run=True), command)()

    assert outcome.code is ExitCode.DONE
    assert not {"PutItem", "DeleteItem", "ModifyListener", "UpdateAlias", "Publish"} & set(bench.aws.calls)
    assert bench.aws.table == table


def test_a_dry_run_lists_the_calls_of_each_step() -> None:
    outcome = Bench().controller(dry_run=True).shift()

    assert "10 %  listener → blue 90, green 10" in outcome.text
    assert "promote  processing alias blue → version 2" in outcome.text


def test_status_shows_the_traffic_of_each_version_and_why_the_release_waits() -> None:
    bench = Bench()
    shown: list[str] = []
    bench.clock.after(90, lambda: shown.append(bench.controller("bob").status().text))

    bench.controller().shift()

    assert "test: baking" in shown[0]
    assert "candidate  version 2     /validate 25 %  /fraud-check 25 %  /process 25 %" in shown[0]
    assert "✔ 10 %  ▶ 25 %  · 50 %  · 100 %" in shown[0]
    assert "baking, 30 s to go" in shown[0]


def test_status_names_the_controller_of_a_release_or_says_that_there_is_none() -> None:
    bench = left_at_25_percent(Bench())

    # Then it is believed alive until its lease ends
    assert "driven by  ann, since 2027-01-15 08:00:00 UTC" in bench.controller("bob").status().text
    bench.clock.time += 7200
    last = bench.controller("bob").status().text.splitlines()[-1]
    assert last.startswith("└─ now        nobody drives this (ann did until 2027-01-15 08:01:")
    assert last.endswith("run `shift` (goes on) or `abort`")


def test_history_lists_releases_newest_first() -> None:
    bench = promoted(Bench())
    bench.controller().undo(now=True)

    lines = bench.controller().history().text.splitlines()

    assert "undo " in lines[0]
    assert "shift" in lines[1]


def test_people_are_told_of_start_verdicts_and_end_and_the_weight_is_a_metric() -> None:
    bench = promoted(Bench())

    subjects = [subject for subject, _ in bench.aws.messages]

    assert [subject.split(": ")[1] for subject in subjects] == [
        "pending, version 2",
        *["shifting, version 2"] * 4,
        "promoting, version 2",
        "promoted, version 2",
    ]
    assert sorted(set(bench.aws.metrics["CandidateWeight"])) == [0, 10, 25, 50, 100]


def test_a_release_does_not_depend_on_being_announced() -> None:
    bench = Bench()

    def disturb(operation: str, when: str) -> None:
        if operation in ("Publish", "PutMetricData"):
            raise refused(operation)

    bench.aws.disturb = disturb

    assert bench.controller().shift().code is ExitCode.DONE


def test_a_function_with_one_version_in_both_colours_is_compared_and_undone_too() -> None:
    bench = Bench()
    bench.aws.aliases[FUNCTIONS[0], "green"] = ("1", {})
    assert bench.controller().shift().code is ExitCode.DONE

    outcome = bench.controller().undo(now=True)

    assert outcome.code is ExitCode.DONE
    assert bench.all_on("1")


def test_a_retry_by_hand_keeps_the_commit_of_the_candidate_not_of_the_checkout() -> None:
    bench = promoted(Bench())
    bench.commit = "bad5eed"
    bench.aws.deploy("3")
    bench.clock.after(10, lambda: bench.ask("abort"))
    bench.controller().shift()
    bench.commit = "an operator's checkout"

    release = bench.controller().retry().release

    assert release
    assert (release.stable_commit, release.commit) == ("c0ffee", "bad5eed")


def test_the_record_keeps_the_commits_of_both_versions() -> None:
    bench = promoted(Bench())
    bench.commit = "bad5eed"
    bench.aws.deploy("3")

    release = bench.controller().shift().release

    assert release
    assert release.phase is Phase.PROMOTED
    assert (release.stable_commit, release.commit) == ("c0ffee", "bad5eed")
