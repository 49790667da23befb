"""When a release may not start."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipeline.release.outcome import ExitCode, Why
from tests.unit.pipeline.release.bench import Bench
from tests.unit.pipeline.release.test_crash import Killed, die
from tests.unit.pipeline.release.test_exits import abandoned_at_25_percent
from tests.unit.pipeline.release.test_operators import promoted


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def closed() -> Bench:
    bench = Bench()
    bench.clock.time = at("2026-11-22 12:00")  # a Sunday
    bench.settings = replace(bench.settings, windows=("Mon-Fri 08:00-16:00",))
    return bench


def test_a_closed_window_refuses_and_an_override_is_recorded() -> None:
    bench = closed()

    refusal = bench.controller().shift()
    overridden = bench.controller(override="customer is down").shift()

    assert (refusal.code, refusal.why) == (ExitCode.REFUSED, (Why.WINDOW,))
    assert "window" in refusal.text
    assert overridden.code is ExitCode.DONE
    assert overridden.release
    assert overridden.release.override == "customer is down"
    assert "customer is down" in overridden.release.events[0].text


@pytest.mark.parametrize("by", ["window", "alarm", "operator"])
def test_a_release_that_nobody_drives_is_not_continued_while_nothing_may_start(by: str) -> None:
    # Given a controller that died at 25 %, and afterwards a closed window, a freeze alarm or a freeze
    bench = Bench()
    assert abandoned_at_25_percent(bench)
    close(bench, by)

    # Then an operator is refused, and the next pipeline takes the release back instead of going on
    resumed = bench.controller("bob").promote()
    outcome = bench.controller("the next pipeline").shift()

    assert (resumed.code, outcome.code) == (ExitCode.REFUSED, ExitCode.ROLLED_BACK)
    assert "`abort` takes it back" in resumed.text
    assert "not continued: " in outcome.text
    assert outcome.release
    assert not outcome.release.rejected
    assert bench.all_on("1")


@pytest.mark.parametrize("by", ["window", "alarm", "operator"])
def test_an_override_continues_it_all_the_same(by: str) -> None:
    bench = Bench()
    assert abandoned_at_25_percent(bench)
    close(bench, by)

    assert bench.controller("the next pipeline", override="repairs the incident").shift().code is ExitCode.DONE
    assert bench.all_on("2")


def test_an_undo_that_nobody_drives_is_continued_also_while_nothing_may_start() -> None:
    bench = promoted(Bench())
    bench.clock.after(70, lambda: setattr(bench.aws, "disturb", die))
    with pytest.raises(Killed):
        bench.controller("ann").undo()
    bench.aws.disturb = lambda operation, when: None
    close(bench, "operator")

    bench.controller("the next pipeline").shift()

    assert bench.all_on("1")


def close(bench: Bench, by: str) -> None:
    """From now on nothing may start."""
    match by:
        case "window":
            bench.settings = replace(bench.settings, windows=("Sun 00:00-00:01",))
        case "alarm":
            bench.settings = replace(bench.settings, freeze_alarms=("company-freeze",))
            bench.aws.alarms["company-freeze"] = "ALARM"
        case "operator":
            assert bench.controller("carol", reason="the year ends").freeze().code is ExitCode.DONE


def test_a_freeze_holds_until_it_is_ended_and_names_who_and_why() -> None:
    bench = Bench()

    frozen = bench.controller("carol", reason="the year ends").freeze()
    status, refusal = bench.controller().status(), bench.controller().shift()
    thawed = bench.controller("dave", reason="it has begun").unfreeze()

    assert frozen.text == "test is frozen: the year ends"
    assert "frozen     by carol since" in status.text
    assert refusal.code is ExitCode.REFUSED
    assert refusal.why == (Why.FROZEN,)
    assert "frozen by carol since 2027-01-15 08:00:00 UTC: the year ends; `unfreeze` ends it" in refusal.text
    assert "`--override REASON` starts it all the same" in refusal.text
    assert thawed.code is ExitCode.DONE
    assert bench.controller().shift().code is ExitCode.DONE


def test_a_freeze_stops_neither_undo_nor_rollback_and_leaves_the_running_release_to_people() -> None:
    bench = promoted(Bench())
    close(bench, "operator")
    assert bench.controller().undo().code is ExitCode.DONE
    bench.aws.weights = {"blue": 60, "green": 40}
    assert bench.controller().rollback().code is ExitCode.DONE

    bench, said = Bench(), list[str]()
    bench.clock.after(90, lambda: said.append(bench.controller("carol", reason="now").freeze().text))
    assert bench.controller().shift().code is ExitCode.DONE
    assert "is under way and goes on: `pause` or `abort` it" in said[0]


@pytest.mark.parametrize("command", ["freeze", "unfreeze"])
def test_a_freeze_needs_a_reason(command: str) -> None:
    with pytest.raises(ValueError, match="--reason"):
        getattr(Bench().controller(), command)()


def test_undo_does_not_wait_for_a_window() -> None:
    bench = closed()
    bench.controller(override="first").shift()

    assert bench.controller().undo().code is ExitCode.DONE
    assert bench.all_on("1")


def test_a_freeze_alarm_refuses() -> None:
    bench = Bench()
    bench.settings = replace(bench.settings, freeze_alarms=("company-freeze",))
    bench.aws.alarms["company-freeze"] = "ALARM"

    refusal = bench.controller().shift()

    assert refusal.code is ExitCode.REFUSED
    assert "company-freeze" in refusal.text
    assert bench.all_on("1")


def test_an_overridden_alarm_does_not_roll_back_but_another_one_does() -> None:
    bench = Bench()
    bench.aws.alarms["api-latency"] = "ALARM"
    bench.clock.after(100, lambda: bench.aws.alarms.update({"api-errors": "ALARM"}))

    outcome = bench.controller(override="this release repairs it").shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert "alarm: api-errors" in outcome.text
    assert bench.clock.time - 1_800_000_000 >= 100


def test_drift_cannot_be_overridden() -> None:
    bench = Bench()
    bench.aws.weights = {"blue": 0, "green": 100}

    refusal = bench.controller(override="I know").shift()
    assert (refusal.code, refusal.why) == (ExitCode.REFUSED, (Why.DRIFT,))
    assert bench.controller(override="I know").undo().code is ExitCode.REFUSED
