"""When a release may start or be taken over. Pure: each guard returns the reason for a refusal, or nothing."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipeline.release.outcome import Why
from pipeline.release.ports import Freeze
from pipeline.release.record import Phase, Release
from pipeline.release.traffic import Traffic, Versions, contains
from pipeline.release.view import name, when
from windows import Window

HISTORY = 50
"""The number of past releases that the guards and `history` read."""


class Refusal(NamedTuple):
    """A reason not to go on: for programs, and for people."""

    why: Why
    text: str


def closed(*, now: float, windows: Sequence[str], frozen_by: Sequence[str], freeze: Freeze | None) -> Iterator[Refusal]:
    """The reasons for which nothing moves forward now, whatever the candidate. They hold at a takeover too."""
    if freeze and freeze.frozen:
        yield Refusal(Why.FROZEN, f"frozen by {freeze.by} since {when(freeze.at)}: {freeze.reason}; `unfreeze` ends it")
    if frozen_by:
        yield Refusal(Why.FROZEN, f"frozen by alarm {', '.join(frozen_by)}")
    if windows and not any(Window.parse(window).is_open(now) for window in windows):
        yield Refusal(Why.WINDOW, f"outside of the deployment windows ({'; '.join(windows)}; UTC)")


def unfit(*, candidate: Versions, ringing: Sequence[str], history: Sequence[Release]) -> Iterator[Refusal]:
    """The reasons for which this candidate does not start now."""
    if ringing:
        yield Refusal(Why.ALARM, f"alarm before any traffic moved: {', '.join(ringing)}")
    if because := rejection(candidate, history):
        yield Refusal(Why.REJECTED, because)


def drift(traffic: Traffic) -> str | None:
    """The reason if no release explains the weights. It can't be overridden; ``rollback`` repairs the weights."""
    if traffic.is_steady:
        return None
    shares = {f.value: dict(alias.shares) for f, alias in traffic.blue.items() if alias.shares}
    return (
        f"drift: listener {traffic.listener}, alias shares {shares or 'none'}: not the steady "
        "state, and no release explains it. `rollback` puts all traffic on the stable version"
    )


def unexplained(traffic: Traffic, last: Release | None) -> str | None:
    """Why ``traffic`` is not where ``last``, the last release on record, left it."""
    if found := drift(traffic):
        return found
    if last is None or contains(traffic.stable, last.traffic.stable):
        return None
    return (
        f"drift: {name(traffic.stable)} is stable, but release {last.release_id} left {name(last.traffic.stable)}, and "
        "no release explains it. `undo --now --to VERSIONS` goes back; the next release puts it on record"
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
