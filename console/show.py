"""What every template may use: times, durations, marks, and the frame's own values."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from console.actions import Actions
from reporting import render

TEMPLATES = Path(__file__).with_name("templates")
MARKS = {
    "pending": ("○", "to come"),
    "running": ("●", "running"),
    "waiting": ("◆", "waits for a person"),
    "succeeded": ("✓", "succeeded"),
    "failed": ("✗", "failed"),
    "interrupted": ("■", "interrupted"),
    "rejected": ("✗", "rejected"),
    "superseded": ("■", "superseded"),
}
"""Of each status: its sign, and its words for people who do not see the sign's colour."""
PAGES = tuple(
    (f"/{name.lower()}", name) for name in ("Promotion", "Release", "Gate", "Platform", "Payments", "Evidence")
)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What is around every page."""

    actions: Actions
    csrf: str
    source: str
    """Where the data come from: "this machine" or "AWS"."""

    def page(self, template: str, *, at: str, **values: object) -> str:
        """The page that ``template`` makes. ``at``: the address of its entry in the navigation."""
        return render(TEMPLATES / template, frame=self, at=at, pages=PAGES, **HELPERS, **values)


def part(template: str, **values: object) -> str:
    """A region of a page."""
    return render(TEMPLATES / template, **HELPERS, **values)


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def seconds(written: str) -> float | None:
    """The moment that others wrote as ISO 8601; ``None`` if it is none."""
    try:
        return datetime.fromisoformat(written).timestamp()
    except (OverflowError, TypeError, ValueError):
        return None


def clock(at: float) -> str:
    """Local time; with the date if that is not today's."""
    moment = datetime.fromtimestamp(at).astimezone()
    today = moment.date() == datetime.now().astimezone().date()
    return f"{moment:%H:%M:%S}" if today else f"{moment:%Y-%m-%d %H:%M}"


def duration(seconds: float) -> str:
    """As ``ticking`` of console.js writes it."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def took(part: Any) -> str:
    """The duration of something with ``started`` and ``ended`` that is over."""
    return duration(part.ended - part.started) if part.started and part.ended else ""


def static(name: str) -> str:
    """The address of a file. It is another one at each start, so a browser asks for a file once, and gets a new one."""
    return f"/static/{name}?{START}"


START = secrets.token_hex(4)
HELPERS: Mapping[str, Any] = {
    "iso": iso, "seconds": seconds, "clock": clock, "duration": duration,
    "took": took, "marks": MARKS, "now": time.time, "static": static,
}  # fmt: skip
