"""How a command ended, for people and for programs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

from pipeline.release.ports import Denied, Missing, OperatorRequest, RequestCommand, Unavailable, Unreadable
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
    DENIED = 8
    BROKEN = 9


RUNBOOKS = {
    ExitCode.ROLLED_BACK: "README",
    ExitCode.UNAVAILABLE: "aws-away",
    ExitCode.HELD: "held",
    ExitCode.REFUSED: "refused",
    ExitCode.UNCONFIRMED: "still-rolling-back",
    ExitCode.DEFECT: "defect",
    ExitCode.DENIED: "access-denied",
    ExitCode.BROKEN: "alarm-deleted",
}
"""The pages of ``docs/runbooks`` that say what to do."""


class Why(StrEnum):
    """The reason for which a command did not do what was asked, for programs. docs/exit-codes.md says what to do."""

    AWS = "aws"
    DENIED = "denied"
    NOT_DEPLOYED = "not-deployed"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    HELD = "held"
    DRIFT = "drift"
    WINDOW = "window"
    FROZEN = "frozen"
    ALARM = "alarm"
    REJECTED = "rejected"
    UNDER_WAY = "under-way"
    NOT_UNDER_WAY = "not-under-way"
    TOO_LATE = "too-late"
    TOO_LONG = "too-long"
    SUPERSEDED = "superseded"
    IGNORED = "ignored"
    NO_VERSION = "no-version"
    UNCHECKED = "unchecked"
    NOT_FROZEN = "not-frozen"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a command. The command line prints it."""

    code: ExitCode
    text: str
    why: tuple[Why, ...] = ()
    release: Release | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    """What a program wants to know besides: parts of the JSON."""


def runbook(outcome: Outcome, own: str | None = None) -> str | None:
    """The line that leads a person on, if there is anything left to do. ``own``: the program's own page, for all."""
    page = "record-unreadable" if Why.UNREADABLE in outcome.why else RUNBOOKS.get(outcome.code)
    page = page and (own or page)
    return page and f"what to do: docs/runbooks/{page}.md"


def done(text: str, release: Release | None = None, details: Mapping[str, Any] = {}) -> Outcome:
    return Outcome(code=ExitCode.DONE, text=text, release=release, details=details)


def refused(text: str, *why: Why, release: Release | None = None) -> Outcome:
    return Outcome(code=ExitCode.REFUSED, text=f"refused: {text}", why=why, release=release)


def failed(
    error: Unavailable,
    text: str | None = None,
    release: Release | None = None,
    details: Mapping[str, Any] = {},
) -> Outcome:
    """The outcome of a command that ``error`` kept from its work, or from knowing everything."""
    kinds: dict[type[Unavailable], tuple[ExitCode, Why]] = {
        Denied: (ExitCode.DENIED, Why.DENIED),
        Missing: (ExitCode.BROKEN, Why.MISSING),
        Unreadable: (ExitCode.BROKEN, Why.UNREADABLE),
    }
    code, why = kinds.get(type(error), (ExitCode.UNAVAILABLE, Why.AWS))
    hint = "; sign in again, or get the right: trying again does not help" if code is ExitCode.DENIED else ""
    text = f"{error}{hint}" if text is None else text
    return Outcome(code=code, text=text, why=(why,), release=release, details=details)


def ended(release: Release) -> Outcome:
    """The outcome of a release that is finished."""
    if release.phase is Phase.PROMOTED:
        return done(f"promoted: {name(release.candidate)} is stable", release)
    text = f"rolled back to {name(release.stable)}: {release.cause}"
    code = ExitCode.DEFECT if release.defect else ExitCode.ROLLED_BACK
    return Outcome(code=code, text=text, release=release)


def superseded(request: OperatorRequest, by: OperatorRequest, release: Release) -> Outcome:
    return refused(f"{request.command} is superseded by {by.command}, {by.by}", Why.SUPERSEDED, release=release)


def answered(request: OperatorRequest, release: Release, *, instead: OperatorRequest | None = None) -> Outcome:
    """The outcome of ``request``. ``instead``: the request that took its place before it was obeyed."""
    command, answer = request.command, next((e for e in release.events if e.request_id == request.request_id), None)
    if command == RequestCommand.ABORT:
        if release.phase is Phase.PROMOTED:
            return too_late(release)
        return done(f"all traffic is on {name(release.stable)}: {release.cause}", release)
    if answer is None and instead is not None:
        return superseded(request, instead, release)
    if answer is not None and answer.kind is EventKind.IGNORED:
        return refused(answer.text, Why.IGNORED, release=release)
    if release.phase is Phase.PROMOTED and command == RequestCommand.PAUSE and answer is None:
        return too_late(release)
    return ended(release) if release.finished else done(release.events[-1].text, release)


def too_late(release: Release) -> Outcome:
    text = f"too late, {name(release.candidate)} is promoted; {way_back(release)}"
    return refused(text, Why.TOO_LATE, release=release)


def way_back(promoted: Release) -> str:
    """The sentence that names the command by which a promoted release is undone."""
    if promoted.undoes:
        return f"`retry` brings {name(promoted.stable)} back"
    return f"`undo --now` goes back to {name(promoted.stable)} in seconds"
