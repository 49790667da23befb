"""Deployment windows: the times of the week, in UTC, at which a release may start."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES
_FORM = re.compile(rf"({'|'.join(DAYS)})(?:-({'|'.join(DAYS)}))? (\d\d):(\d\d)-(\d\d):(\d\d)")


@dataclass(frozen=True)
class Window:
    """The same hours on some days of the week. They may end on the next day; the days may go on over the week's end."""

    days: Sequence[int]
    """The days on which it opens, Monday as 0."""
    begin: int
    """Minutes after midnight."""
    minutes: int
    """How long it stays open, at most a day."""

    @classmethod
    def parse(cls, text: str) -> "Window":
        """``Mon-Fri 08:00-16:30``, ``Fri-Mon 22:00-02:00``, ``Sat 00:00-24:00``. Raises ``ValueError`` for another
        form; also for an offset from UTC, because the times are UTC."""
        form = _FORM.fullmatch(text)
        if form is None:
            raise ValueError(
                f'deployment window {text!r}: write it as "Mon-Fri 08:00-16:30", in UTC and without offset'
            )
        first, last = DAYS.index(form[1]), DAYS.index(form[2] or form[1])
        begin, end = 60 * int(form[3]) + int(form[4]), 60 * int(form[5]) + int(form[6])
        if max(int(form[4]), int(form[6])) > 59 or begin >= DAY_MINUTES or end > DAY_MINUTES or begin == end:
            raise ValueError(f"deployment window {text!r}: hours are 00:00 to 24:00, and begin and end differ")
        days = tuple((first + day) % 7 for day in range((last - first) % 7 + 1))
        return cls(days, begin, (end - begin) % DAY_MINUTES or DAY_MINUTES)

    def is_open(self, now: float) -> bool:
        """``now``: seconds since the epoch."""
        at = datetime.fromtimestamp(now, UTC)
        minute = at.weekday() * DAY_MINUTES + at.hour * 60 + at.minute
        return any((minute - day * DAY_MINUTES - self.begin) % WEEK_MINUTES < self.minutes for day in self.days)
