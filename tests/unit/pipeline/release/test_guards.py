"""When a release may not start."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipeline.release.guards import is_open
from pipeline.release.outcome import ExitCode
from tests.unit.pipeline.release.bench import Bench


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("window", "moment", "expected"),
    [
        ("Mon-Fri 08:00-16:30", "2026-11-20 08:00", True),
        ("Mon-Fri 08:00-16:30", "2026-11-20 16:30", False),
        ("Mon-Fri 08:00-16:30", "2026-11-22 12:00", False),
        ("Sun 00:00-23:59", "2026-11-22 12:00", True),
    ],
)
def test_a_window_is_open_from_its_first_to_before_its_last_minute(window: str, moment: str, expected: bool) -> None:
    assert is_open(window, at(moment)) is expected


@pytest.mark.parametrize("window", ["always", "Mo-Fr 08:00-16:00", "Mon-Fri 8-16", ""])
def test_a_window_that_cannot_be_read_is_an_error_not_a_closed_or_open_window(window: str) -> None:
    with pytest.raises(ValueError, match="deployment window"):
        is_open(window, 0)


def closed() -> Bench:
    bench = Bench()
    bench.clock.time = at("2026-11-22 12:00")  # a Sunday
    bench.settings = replace(bench.settings, windows=("Mon-Fri 08:00-16:00",))
    return bench


def test_a_closed_window_refuses_and_an_override_is_recorded() -> None:
    bench = closed()

    refusal = bench.controller().shift()
    overridden = bench.controller(override="customer is down").shift()

    assert refusal.code is ExitCode.REFUSED
    assert "window" in refusal.text
    assert overridden.code is ExitCode.DONE
    assert overridden.release
    assert overridden.release.override == "customer is down"
    assert "customer is down" in overridden.release.events[0].text


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

    assert bench.controller(override="I know").shift().code is ExitCode.REFUSED
    assert bench.controller(override="I know").undo().code is ExitCode.REFUSED
