"""The decision: a release's record and what is observed give its next record. Pure, so that tests can try everything.

The record says what traffic should be (``Release.traffic``); the controller writes it down first and then makes the
calls. A phase is left only when the traffic that it asks for has been read back. So a crash between any two
instructions leaves a record that says what was meant, and whoever comes next observes and goes on from there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.release.record import Phase, Release
from pipeline.release.traffic import Function, Traffic


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What one look at the world showed. ``None`` where it could not be read."""

    now: float
    traffic: Traffic | None = None
    alarms: Sequence[str] | None = None
    failures: int = 0
    """Looks or moves in a row that failed, this one included."""
    last_failure: str = ""
    interrupted: bool = False


def advance(release: Release, seen: Observation) -> Release:
    """The next record; the same object when nothing changes."""
    match release.phase:
        case Phase.ROLLING_BACK:
            return _finish(release, seen, Phase.ROLLED_BACK, "traffic is back on the stable version, read back")
        case Phase.PROMOTING:
            return _promoting(release, seen)
        case Phase.PENDING | Phase.SHIFTING | Phase.BAKING | Phase.PAUSED:
            return _reason_to_roll_back(release, seen) or _forward(release, seen)
        case Phase.PROMOTED | Phase.ROLLED_BACK:
            return release


def _forward(release: Release, seen: Observation) -> Release:
    if release.phase is Phase.PENDING:
        return release.to(Phase.SHIFTING, seen.now, f"shifting {release.plan.weights[0]} % to the candidate")
    if release.phase is Phase.SHIFTING:
        if not _as_recorded(release, seen):
            return release
        return release.to(Phase.BAKING, seen.now, f"{release.weight} % on the candidate, read back; baking")
    if release.phase is Phase.BAKING and seen.now - release.since >= release.plan.bake_seconds:
        return _next_step(release, seen)
    return release


def _next_step(release: Release, seen: Observation) -> Release:
    if seen.alarms is None or seen.traffic is None:
        return release
    step = release.step + 1
    if step < len(release.plan.weights):
        text = f"{release.weight} % is healthy; shifting {release.plan.weights[step]} %"
        return release.to(Phase.SHIFTING, seen.now, text, step=step)
    return release.to(Phase.PROMOTING, seen.now, f"{release.weight} % is healthy; blue becomes the candidate")


def _reason_to_roll_back(release: Release, seen: Observation) -> Release | None:
    if seen.interrupted:
        return roll_back(release, seen.now, "interrupted (Ctrl-C or SIGTERM)")
    if seen.alarms:
        return roll_back(release, seen.now, f"alarm: {', '.join(seen.alarms)}", rejected=True)
    if seen.failures >= release.plan.failures_allowed:
        return roll_back(release, seen.now, f"{seen.failures} failures in a row, the last: {seen.last_failure}")
    if drift := _drift(release, seen.traffic):
        return roll_back(release, seen.now, drift)
    return None


def _drift(release: Release, traffic: Traffic | None) -> str | None:
    """What someone else has changed during the release, if anything."""
    if traffic is None:
        return None
    if release.home is None and traffic.green != release.candidate[Function.PROCESSING]:
        return f"a deployment replaced the candidate by version {traffic.green} of the processing function"
    settled = release.phase in (Phase.BAKING, Phase.PAUSED) and not traffic.satisfies(release.traffic)
    undone = release.phase is Phase.SHIFTING and release.step > 0 and traffic.is_steady
    return "someone else moved traffic during the release" if settled or undone else None


def _promoting(release: Release, seen: Observation) -> Release:
    """All traffic is on the candidate already; an interruption waits for the second that this takes."""
    if seen.failures >= release.plan.failures_allowed:
        return roll_back(release, seen.now, f"the promotion failed {seen.failures} times: {seen.last_failure}")
    return _finish(release, seen, Phase.PROMOTED, "blue is the candidate, weights are blue 100 again, read back")


def _finish(release: Release, seen: Observation, phase: Phase, text: str) -> Release:
    return release.to(phase, seen.now, text) if _as_recorded(release, seen) else release


def _as_recorded(release: Release, seen: Observation) -> bool:
    return seen.traffic is not None and seen.traffic.satisfies(release.traffic)


def roll_back(release: Release, now: float, cause: str, *, rejected: bool = False) -> Release:
    """``release`` on its way back to the stable version."""
    return release.to(Phase.ROLLING_BACK, now, f"rolling back: {cause}", cause=cause, rejected=rejected)


def take_over(release: Release, now: float) -> Release:
    """``release`` in the hands of a new controller: a bake that nobody watched begins again."""
    return release.to(release.phase, now, f"taken over in phase {release.phase}")
