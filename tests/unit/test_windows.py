"""The times of the week at which a release may start."""

from datetime import UTC, datetime

import pytest

from environments import ReleaseSettings
from windows import Window


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def open_minutes(window: str) -> int:
    """Of a week."""
    monday = at("2026-11-23 00:00")
    return sum(Window.parse(window).is_open(monday + 60 * minute) for minute in range(7 * 24 * 60))


@pytest.mark.parametrize(
    ("window", "moment", "expected"),
    [
        ("Mon-Fri 08:00-16:30", "2026-11-20 08:00", True),
        ("Mon-Fri 08:00-16:30", "2026-11-20 16:30", False),
        ("Mon-Fri 08:00-16:30", "2026-11-22 12:00", False),
        ("Sun 00:00-23:59", "2026-11-22 12:00", True),
        ("Fri 22:00-02:00", "2026-11-21 01:59", True),
        ("Fri 22:00-02:00", "2026-11-20 01:59", False),
        ("Sun 22:00-02:00", "2026-11-23 01:00", True),
        ("Fri-Mon 08:00-10:00", "2026-11-22 09:00", True),
        ("Fri-Mon 08:00-10:00", "2026-11-24 09:00", False),
        ("Sat 20:00-24:00", "2026-11-21 23:59", True),
    ],
)
def test_a_window_is_open_from_its_first_to_before_its_last_minute(window: str, moment: str, expected: bool) -> None:
    assert Window.parse(window).is_open(at(moment)) is expected


@pytest.mark.parametrize(
    ("window", "hours"),
    [
        ("Mon-Fri 08:00-16:30", 5 * 8.5),
        ("Mon-Fri 22:00-02:00", 5 * 4),
        ("Fri-Mon 08:00-10:00", 4 * 2),
        ("Sat-Sun 00:00-24:00", 48),
        ("Mon-Sun 12:00-11:00", 7 * 23),
        ("Sun-Sat 00:00-24:00", 7 * 24),
    ],
)
def test_a_window_is_open_for_its_hours_on_each_of_its_days(window: str, hours: float) -> None:
    assert open_minutes(window) == pytest.approx(60 * hours, abs=1)


@pytest.mark.parametrize(
    "window",
    ["always", "Mo-Fr 08:00-16:00", "Mon-Fri 8-16", "", "Mon-Fri 08:00+01:00-16:00+01:00", "Mon-Fri 08:00-16:00Z",
     "Mon-Fri 08:00-08:00", "Mon-Fri 24:00-02:00", "Mon-Fri 08:60-16:00", "Mon-Fri 08:00-24:01", "Mon-Fri 08:00-25:00"],
)  # fmt: skip
def test_a_window_that_cannot_be_read_is_refused_with_the_settings(window: str) -> None:
    with pytest.raises(ValueError, match="deployment window"):
        ReleaseSettings(windows=(window,))
