"""What people are told of a release's last event: how serious it is, the next command, and where to look. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipeline.release.record import EventKind, Phase, Release
from pipeline.release.view import command, describe, name


class Severity(StrEnum):
    """In rising order."""

    INFO = "info"
    """It goes on by itself."""
    WARNING = "warning"
    """It waits, or a person has to decide."""
    ERROR = "error"
    """Traffic goes back, or has gone back, to the stable version."""

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


@dataclass(frozen=True, kw_only=True)
class Notice:
    """The last event of a release."""

    release: Release
    links: Mapping[str, str]
    """Addresses by what is there: ``dashboard``, ``report``."""

    @property
    def severity(self) -> Severity:
        event = self.release.events[-1]
        if event.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK):
            return Severity.ERROR
        waits = event.phase is Phase.PAUSED or event.kind is not EventKind.PROGRESS
        return Severity.WARNING if waits else Severity.INFO

    @property
    def headline(self) -> str:
        """One line of ASCII, as the subject of a mail has to be."""
        release = self.release
        return f"Payments {release.environment}: {release.phase}, {name(release.candidate)}"

    @property
    def next_command(self) -> str:
        """What a person may do now."""
        release, kind = self.release, self.release.events[-1].kind
        match release.phase:
            case Phase.PROMOTED:
                words, why = ("retry", "brings it back") if release.undoes else ("undo --now", "goes back in seconds")
            case Phase.ROLLED_BACK if release.rejected:
                words, why = "retry", "shifts the candidate again, if it is not at fault; else deploy a better one"
            case Phase.ROLLED_BACK:
                words, why = "shift", "tries again: the candidate is not rejected"
            case Phase.PAUSED:
                words, why = "resume", "goes on; `abort` takes it back"
            case Phase.BAKING if kind is EventKind.APPROVAL:
                words, why = "promote", "approves the step; `abort` takes it back"
            case Phase.ROLLING_BACK:
                words, why = "status", "shows where traffic is"
            case _:
                words, why = "watch", "shows it; `abort` takes it back"
        return f"`{command(release.environment, words)}` {why}"

    @property
    def text(self) -> str:
        """For a mail: what happened, what to do, where to look, and the story."""
        links = [f"{what.capitalize()}: {address}" for what, address in self.links.items()]
        event = self.release.events[-1]
        return "\n".join([event.text, "", f"Next: {self.next_command}", *links, "", *describe(self.release)])

    def document(self) -> dict[str, Any]:
        """The ``detail`` of the event on the bus, by which its rules choose."""
        release, event = self.release, self.release.events[-1]
        return {
            "environment": release.environment,
            "release_id": release.release_id,
            "phase": release.phase,
            "kind": event.kind,
            "severity": self.severity,
            "weight": event.weight,
            "text": event.text,
            "at": event.at,
            "stable": release.stable,
            "candidate": release.candidate,
            "commit": release.commit,
            "undoes": release.undoes,
            "cause": release.cause,
            "rejected": release.rejected,
            "asked_by": event.asked_by,
            "reason": event.reason,
            "next": self.next_command,
            "links": self.links,
        }
