"""How a command ended, for people and for programs."""

from dataclasses import dataclass
from enum import IntEnum

from pipeline.release.ports import OperatorRequest, RequestCommand
from pipeline.release.record import EventKind, Phase, Release
from pipeline.release.view import name


class ExitCode(IntEnum):
    DONE = 0
    ROLLED_BACK = 1
    USAGE = 2
    UNAVAILABLE = 3
    HELD = 4
    REFUSED = 5
    UNCONFIRMED = 6
    DEFECT = 7


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a command. The command line prints it."""

    code: ExitCode
    text: str
    release: Release | None = None


def done(text: str, release: Release | None = None) -> Outcome:
    return Outcome(code=ExitCode.DONE, text=text, release=release)


def refused(text: str, release: Release | None = None) -> Outcome:
    return Outcome(code=ExitCode.REFUSED, text=f"refused: {text}", release=release)


def ended(release: Release) -> Outcome:
    """The outcome of a release that is finished."""
    if release.phase is Phase.PROMOTED:
        return done(f"promoted: {name(release.candidate)} is stable", release)
    text = f"rolled back to {name(release.stable)}: {release.cause}"
    code = ExitCode.DEFECT if release.defect else ExitCode.ROLLED_BACK
    return Outcome(code=code, text=text, release=release)


def answered(request: OperatorRequest, release: Release, known: int) -> Outcome:
    """The outcome of ``request``. ``known``: the number of events that ``release`` had before the request."""
    since, command = release.events[known:], request.command
    never_paused = command == RequestCommand.PAUSE and all(event.phase is not Phase.PAUSED for event in since)
    if release.phase is Phase.PROMOTED and (command == RequestCommand.ABORT or never_paused):
        return refused(f"too late, {name(release.candidate)} is promoted; `undo` goes back", release)
    if command == RequestCommand.ABORT:
        return done(f"all traffic is on {name(release.stable)}: {release.cause}", release)
    if release.finished:
        return ended(release)
    ignored = (event for event in since if event.kind is EventKind.IGNORED and event.request_id == request.request_id)
    if event := next(ignored, None):
        return refused(event.text, release)
    return done(release.events[-1].text, release)
