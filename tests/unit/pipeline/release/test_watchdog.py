"""A release that nobody drives ends by itself, and traffic that no record explains is told about."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from names import Function
from pipeline.release.outcome import ExitCode
from pipeline.release.ports import Unavailable
from pipeline.release.record import Phase, Release
from tests.unit.pipeline.release.bench import Bench
from tests.unit.pipeline.release.fake_aws import PROCESSING, refused
from tests.unit.pipeline.release.test_crash import SHORT, Killed, kill_at

TWO_MINUTES = 120.0


def die_in(bench: Bench, phase: Phase, start: Callable[[Bench], object]) -> None:
    """Start a command whose process dies as soon as the record is in ``phase``."""
    dead = False

    def disturb(operation: str, when: str) -> None:
        nonlocal dead
        if dead:
            raise Killed
        recorded = any(key[0].isdigit() for key in bench.aws.table)
        if operation == "PutItem" and when == "after" and recorded and last(bench).phase is phase:
            dead = True
            raise Killed

    bench.aws.disturb = disturb
    with pytest.raises(Killed):
        start(bench)
    bench.aws.disturb = lambda operation, when: None


def last(bench: Bench) -> Release:
    """The last record, read without a call."""
    ids = [key for key in bench.aws.table if key[0].isdigit()]
    return Release.from_json(bench.aws.table[max(ids)]["document"]["S"])


def shift(bench: Bench) -> object:
    return bench.controller("the one who dies").shift()


def test_killed_between_any_two_calls_the_release_ends_within_two_minutes_and_nobody_does_anything() -> None:
    bench, call, rolled_back = Bench(plan=SHORT), 0, 0
    while kill_at(bench, call := call + 1):
        died, undecided = bench.clock.time, [key for key in bench.aws.table if key[0].isdigit()]
        # The unluckiest moment: the watchdog has just looked
        bench.clock.sleep(60)

        bench.watchdog().run()

        assert bench.clock.time - died <= TWO_MINUTES, f"killed at call {call}"
        if undecided:
            promoted = last(bench).phase is Phase.PROMOTED
            assert bench.all_on("2" if promoted else "1"), f"killed at call {call}"
            assert last(bench).finished
            rolled_back += not promoted
        bench = Bench(plan=SHORT)
    assert rolled_back > 40


def test_it_says_that_nobody_drove_the_release_and_rejects_no_candidate_for_that() -> None:
    bench = Bench()
    die_in(bench, Phase.BAKING, shift)
    messages = len(bench.aws.messages)

    bench.watchdog().run()

    assert last(bench).cause is not None
    assert "nobody has driven it since" in str(last(bench).cause)
    assert "nobody has driven it since" in bench.aws.messages[messages][1]
    # And the same candidate may be tried again
    assert bench.controller().shift().code is ExitCode.DONE


def test_a_release_whose_controller_lives_is_left_to_it() -> None:
    bench, said = Bench(), []
    watchdog = bench.watchdog()
    for second in range(30, 400, 60):
        bench.clock.after(second, lambda: said.append(_at_the_same_time(bench, watchdog.run)))

    outcome = bench.controller("ann").shift()

    assert outcome.code is ExitCode.DONE, outcome.text
    assert "is driven by ann" in said[0]
    assert max(bench.aws.metrics["LastRoundAge"]) < 30


def test_a_release_that_ends_while_its_lease_is_watched_stays_ended() -> None:
    bench = Bench()
    die_in(bench, Phase.BAKING, shift)
    ended = last(bench).to(Phase.ROLLED_BACK, bench.clock.time, "somebody was quicker")
    bench.clock.after(5, lambda: bench.controller("ann").world.records.save(ended))

    assert "ended meanwhile" in bench.watchdog().run()

    assert last(bench).events == ended.events


def _at_the_same_time(bench: Bench, run: Callable[[], str]) -> str:
    """Run while a controller sleeps. Its next renewal is played, because the fake clock has one thread."""
    lease = bench.aws.table["lease"]
    bench.clock.after(
        2, lambda: bench.aws.table.update(lease={**lease, "expires_at": {"N": f"{bench.clock.time + 30}"}})
    )
    return run()


def test_a_promotion_is_finished_and_a_roll_back_too() -> None:
    for phase, version in ((Phase.PROMOTING, "2"), (Phase.ROLLING_BACK, "1")):
        bench = Bench()
        if phase is Phase.ROLLING_BACK:
            bench.clock.after(90, lambda bench=bench: bench.aws.alarms.update({"api-errors": "ALARM"}))  # type: ignore[misc]
        die_in(bench, phase, shift)

        bench.watchdog().run()

        assert last(bench).finished
        assert bench.all_on(version), phase


def test_an_undo_is_finished_at_once_because_the_way_back_leads_to_the_bad_version() -> None:
    bench = Bench()
    bench.controller().shift()
    die_in(bench, Phase.BAKING, lambda bench: bench.controller("the one who dies").undo())
    assert not bench.all_on("1")

    bench.watchdog().run()

    assert bench.all_on("1")
    assert last(bench).phase is Phase.PROMOTED
    assert bench.aws.aliases[PROCESSING, "green"][0] == "2"


def paused(bench: Bench) -> None:
    """A release that is paused for 10 minutes, and whose controller has died."""
    bench.clock.after(30, lambda: bench.ask("pause", 600))
    die_in(bench, Phase.PAUSED, shift)


def test_a_pause_keeps_its_end_and_ends_in_time_when_its_controller_has_died() -> None:
    bench = Bench()
    paused(bench)
    ends, watchdog = last(bench).pause_ends, bench.watchdog()
    while bench.clock.time < ends - 60:
        assert "rests until" in watchdog.run()
        assert last(bench).phase is Phase.PAUSED
        bench.clock.sleep(60)
    bench.clock.sleep(60)

    watchdog.run()

    assert bench.all_on("1")
    assert bench.clock.time - ends <= TWO_MINUTES
    assert last(bench).cause == "paused for all its time, and nobody resumed it"
    assert max(bench.aws.metrics["LastRoundAge"]) < 60


def test_an_alarm_ends_a_pause_that_no_controller_watches() -> None:
    bench = Bench()
    paused(bench)
    bench.aws.alarms["api-errors"] = "ALARM"

    bench.watchdog().run()

    assert bench.all_on("1")
    assert last(bench).rejected


def test_a_resume_after_its_controller_died_wins_over_the_watchdog() -> None:
    bench = Bench()
    paused(bench)

    outcome = bench.controller("ann").resume()

    assert outcome.code is ExitCode.DONE, outcome.text
    assert bench.all_on("2")


def split(bench: Bench) -> None:
    bench.aws.weights = {"blue": 70, "green": 30}


def point_blue_elsewhere(bench: Bench) -> None:
    bench.aws.aliases[Function.VALIDATION.of("test"), "blue"] = ("7", {})


def delete_blue(bench: Bench) -> None:
    del bench.aws.aliases[PROCESSING, "blue"]


@pytest.mark.parametrize("somebody", [split, point_blue_elsewhere, delete_blue])
def test_traffic_that_no_record_explains_is_told_about_and_not_moved(somebody: Callable[[Bench], None]) -> None:
    # Given a release that is finished, and the watchdog finds nothing
    bench = Bench()
    bench.controller().shift()
    assert bench.watchdog().run() == "nothing to do"
    assert bench.aws.metrics["Drift"] == [0]
    # When somebody moves traffic by hand
    somebody(bench)
    before = (dict(bench.aws.weights), dict(bench.aws.aliases))
    text = bench.watchdog().run()
    # Then it says so, and moves nothing
    assert text.startswith("drift: ")
    assert bench.aws.metrics["Drift"] == [0, 1]
    assert (bench.aws.weights, bench.aws.aliases) == before


def test_a_stale_read_and_a_deployment_are_no_drift() -> None:
    bench = Bench()
    bench.controller().shift()
    bench.aws.deploy("3")
    split(bench)
    bench.clock.after(2, lambda: bench.aws.weights.update(blue=100, green=0))

    assert bench.watchdog().run() == "nothing to do"


def test_a_platform_without_a_release_has_no_drift() -> None:
    assert Bench().watchdog().run() == "nothing to do"


def test_a_run_that_could_not_look_is_not_counted_so_that_its_alarm_rings() -> None:
    bench = Bench()

    def disturb(operation: str, when: str) -> None:
        if operation == "GetAlias":
            raise refused(operation)

    bench.aws.disturb = disturb
    with pytest.raises(Unavailable):
        bench.watchdog().run()
    assert "WatchdogRuns" not in bench.aws.metrics

    bench.aws.disturb = lambda operation, when: None
    bench.watchdog().run()
    assert bench.aws.metrics["WatchdogRuns"] == [1]


def test_a_cut_over_that_nobody_drives_is_told_and_not_touched() -> None:
    # Given an environment without a release, and a cut-over whose controller has died
    bench, moving = Bench(), Bench()
    die_in(moving, Phase.BAKING, shift)
    before = len(last(moving).events)
    watchdog = replace(bench.watchdog(), cut_over=moving.controller("the watchdog").world.records)
    bench.clock.sleep(moving.clock.time - bench.clock.time + 200)

    assert watchdog.run() == "nothing to do"

    assert bench.aws.metrics["LastRoundAge"][-1] >= 200
    assert len(last(moving).events) == before


def test_the_age_of_the_last_round_is_told_before_the_release_is_ended() -> None:
    bench = Bench()
    die_in(bench, Phase.BAKING, shift)
    bench.clock.sleep(200)

    bench.watchdog().run()

    assert bench.aws.metrics["LastRoundAge"][-1] >= 200
