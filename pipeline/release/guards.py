"""When a release may start. Pure: each guard returns the reason for a refusal, or nothing."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time

from pipeline.release.record import Phase, Release
from pipeline.release.traffic import Traffic, Versions, contains

HISTORY = 50
"""The number of past releases that the guards and `history` read."""
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def refusals(
    *,
    now: float,
    candidate: Versions,
    ringing: Sequence[str],
    frozen_by: Sequence[str],
    windows: Sequence[str],
    history: Sequence[Release],
) -> Iterator[str]:
    """Every reason not to start now. An operator may override these, but never drift, which is a guard of its own."""
    if frozen_by:
        yield f"frozen by alarm {', '.join(frozen_by)}"
    if ringing:
        yield f"alarm before any traffic moved: {', '.join(ringing)}"
    if windows and not any(is_open(window, now) for window in windows):
        yield f"outside of the deployment windows ({'; '.join(windows)}; UTC)"
    if because := rejection(candidate, history):
        yield because


def drift(traffic: Traffic) -> str | None:
    """The reason if no release explains the weights. It can't be overridden; ``rollback`` repairs the weights."""
    if traffic.is_steady:
        return None
    shares = {f.value: dict(alias.shares) for f, alias in traffic.blue.items() if alias.shares}
    return (
        f"drift: listener {traffic.listener}, alias shares {shares or 'none'}: not the steady "
        "state, and no release explains it. `rollback` puts all traffic on the stable version"
    )


def rejection(candidate: Versions, history: Sequence[Release]) -> str | None:
    """The reason if the last release with ``candidate`` rejected it or undid it. ``history``: newest first."""
    for release in history:
        if contains(candidate, release.candidate):
            if release.phase is Phase.ROLLED_BACK and release.rejected:
                return f"this candidate was rolled back in {release.release_id}: {release.cause}. `retry` tries again"
            if release.phase is Phase.PROMOTED:
                return None
        if release.undoes and release.phase is Phase.PROMOTED and contains(candidate, release.stable):
            return f"this candidate was undone in {release.release_id}. `retry` brings it back"
    return None


def previous_stable(stable: Versions, history: Sequence[Release]) -> Release | None:
    """The release that made ``stable`` stable; its record names the version before. ``history``: newest first."""
    for release in history:
        if release.phase is Phase.PROMOTED and contains(stable, release.candidate) and not release.undoes:
            return release
    return None


def restored(stable: Versions, history: Sequence[Release]) -> Versions:
    """``stable``, with the functions that it lacks at their versions of the last finished release that has them."""
    for release in history:
        if release.finished:
            stable = {**release.traffic.stable, **stable}
    return stable


def is_open(window: str, now: float) -> bool:
    """Whether ``window`` ("Mon-Fri 08:00-16:30", in UTC) contains ``now``. Raises ``ValueError`` for another form."""
    try:
        days, hours = window.split()
        first, _, last = days.partition("-")
        begin, end = (time.fromisoformat(hour) for hour in hours.split("-"))
        open_days = range(DAYS.index(first), DAYS.index(last or first) + 1)
    except ValueError as error:
        raise ValueError(f'deployment window {window!r}: write it as "Mon-Fri 08:00-16:30"') from error
    at = datetime.fromtimestamp(now, UTC)
    return at.weekday() in open_days and begin <= at.time() < end
