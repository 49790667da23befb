"""The record of a release: enough for another process to continue it, or undo it, after a crash."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from names import Function
from pipeline.release.analysis import AnalysisRun, AnalysisSummary, AnalysisVerdict, Finding
from pipeline.release.plan import Plan
from pipeline.release.samples import Sample
from pipeline.release.stored import known, stored
from pipeline.release.traffic import Traffic, Versions, shifted, steady


class Phase(StrEnum):
    PENDING = "pending"
    SHIFTING = "shifting"
    BAKING = "baking"
    PAUSED = "paused"
    PROMOTING = "promoting"
    PROMOTED = "promoted"
    ROLLING_BACK = "rolling-back"
    ROLLED_BACK = "rolled-back"


class EventKind(StrEnum):
    """The meaning of an event to the program. Its text is for people."""

    PROGRESS = "progress"
    HOLD = "hold"
    """The bake is over and the analysis is inconclusive: the step is held for more data."""
    APPROVAL = "approval"
    """The step is done, and waits for a person."""
    IGNORED = "ignored"
    """An operator asked for something that the phase does not allow."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event of a release."""

    at: float
    """Seconds since the epoch."""
    phase: Phase
    weight: int
    """The candidate's planned percent of traffic."""
    text: str
    notify: bool = True
    """Whether the people on duty get a message."""
    kind: EventKind = EventKind.PROGRESS
    request_id: str | None = None
    """The operator's request that led to this event, if one did."""
    asked_by: str | None = None
    """Who made this request: IAM identity, user and machine."""
    reason: str | None = None
    """Why."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """One attempt to replace the stable versions by a candidate."""

    environment: str
    release_id: str
    """Within an environment, ids sort by time."""
    stable: Versions
    candidate: Versions
    plan: Plan
    started_by: str
    commit: str | None = None
    """The commit of the candidate."""
    stable_commit: str | None = None
    undoes: bool = False
    """The candidate is an earlier version: what was stable before the release that is undone."""
    green_after: str | None = None
    """The version to which alias green of processing returns at the end, if the release moves that alias."""
    phase: Phase = Phase.PENDING
    step: int = 0
    since: float
    """When the current phase began, seconds since the epoch."""
    revision: int = 0
    """Counts the writes; the store refuses a write that does not follow the last one."""
    cause: str | None = None
    """Why it was rolled back."""
    rejected: bool = False
    """The candidate itself is bad. Only `retry` or an override shifts it again."""
    opens: tuple[Function, ...] = ()
    """The functions whose stable version is closed: it answers 503, because no release of them was ever promoted."""
    stepped_back: bool = False
    """It went from 100 % back to the step before, to be compared with stable. It does so once."""
    skips_bakes: bool = False
    """An operator asked to promote at once: bakes and analysis are skipped, alarms are not."""
    ignored_alarms: tuple[str, ...] = ()
    """Alarms that rang at the start and were overridden; of an undo, also those that count the version it leaves."""
    override: str | None = None
    """Why a guard was overridden."""
    handled: str | None = None
    """The last request of an operator that was obeyed."""
    paused_until: float | None = None
    """When a pause ends in a rollback, unless someone resumes."""
    build_ends: float | None = None
    """When the pipeline's build that drives it is ended by CodeBuild."""
    defect: str | None = None
    """The traceback of the exception in the controller itself that ended the release."""
    analysis_runs: tuple[AnalysisRun, ...] = ()
    """The last analysis of each step. It decided the step."""
    analysis_summaries: tuple[AnalysisSummary, ...] = ()
    """All analyses, in brief: an item of DynamoDB holds 400 KB at most."""
    events: tuple[Event, ...] = ()

    @property
    def finished(self) -> bool:
        return self.phase in (Phase.PROMOTED, Phase.ROLLED_BACK)

    @property
    def is_first(self) -> bool:
        """Whether it opens the environment. Its stable version serves nobody, so there are no small steps, and there is
        nothing to compare with."""
        return set(self.candidate) <= {*self.opens}

    @property
    def leaves_bad_version(self) -> bool:
        """Traffic goes back to a version that was stable. Then its calls wait for nothing, neither store nor alarm, and
        are tried until they are true."""
        return self.phase is Phase.ROLLING_BACK or (self.undoes and self.phase is Phase.PROMOTING)

    @property
    def pause_ends(self) -> float:
        """When a paused release goes back."""
        return self.paused_until or self.since + self.plan.pause_seconds

    @property
    def bake_ends(self) -> float:
        """When the step has been watched for its time."""
        return self.since + self.plan.bake_of(self.weight)

    @property
    def deadline(self) -> float:
        """When the release goes back if it is not promoted."""
        seconds = self.plan.deadline_seconds
        return math.inf if seconds is None or not self.events else self.events[0].at + seconds

    @property
    def hold_ends(self) -> float:
        """When a step without a verdict goes back."""
        return self.bake_ends + self.plan.hold_seconds

    @property
    def weight(self) -> int:
        """The candidate's planned percent of traffic now."""
        match self.phase:
            case Phase.PENDING | Phase.ROLLING_BACK | Phase.ROLLED_BACK:
                return 0
            case Phase.PROMOTING | Phase.PROMOTED:
                return 100
            case _:
                return self.plan.weights[self.step]

    @property
    def traffic(self) -> Traffic:
        """The traffic that this record asks for."""
        match self.phase:
            case Phase.PENDING | Phase.ROLLING_BACK | Phase.ROLLED_BACK:
                return steady(self.stable, green=self.green_after)
            case Phase.PROMOTING | Phase.PROMOTED:
                return steady(self.candidate, green=self.green_after)
            case _:
                return shifted(self.stable, self.candidate, self.weight)

    def to(self, phase: Phase, at: float, text: str, *, notify: bool = True, **changes: Any) -> "Release":
        """This release in ``phase`` since ``at``, with the reason in its story."""
        return replace(self, phase=phase, since=at, **changes).note(at, text, notify=notify)

    def note(self, at: float, text: str, **more: Any) -> "Release":
        """This release with one more event; ``more``: its other fields."""
        event = Event(at=at, phase=self.phase, weight=self.weight, text=text, **more)
        return replace(self, events=(*self.events, event))

    def analysed(self, run: AnalysisRun) -> "Release":
        """This release with one more analysis; of a step, the record keeps the last in full."""
        before = (other for other in self.analysis_runs if other.weight != run.weight)
        return replace(
            self, analysis_runs=(*before, run), analysis_summaries=(*self.analysis_summaries, AnalysisSummary.of(run))
        )

    def written(self) -> "Release":
        """This release as its next write stores it."""
        return replace(self, revision=self.revision + 1)

    def to_json(self) -> str:
        return json.dumps(self, default=stored, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Release":
        """Read the output of ``to_json`` of this or another version of the controller.

        Raises ``ValueError``, ``KeyError`` or ``TypeError`` for anything else.
        """
        raw = json.loads(text)
        return known(
            cls,
            raw
            | {
                "stable": _versions(raw["stable"]),
                "candidate": _versions(raw["candidate"]),
                "plan": Plan.from_dict(raw["plan"]),
                "phase": Phase(raw["phase"]),
                "ignored_alarms": tuple(raw.get("ignored_alarms", ())),
                "opens": tuple(map(Function, raw.get("opens", ()))),
                "looks": tuple(_analysis_run(run) for run in raw.get("looks", ())),
                "glances": tuple(_analysis_summary(summary) for summary in raw.get("glances", ())),
                "events": tuple(_event(event) for event in raw["events"]),
            },
        )


def _versions(raw: Mapping[str, str]) -> dict[Function, str]:
    return {Function(name): version for name, version in raw.items()}


def _analysis_run(raw: dict[str, Any]) -> AnalysisRun:
    samples = {
        colour: {Function(name): _sample(sample) for name, sample in raw[colour].items()}
        for colour in ("stable", "candidate")
    }
    findings = tuple(known(Finding, f | {"verdict": AnalysisVerdict(f["verdict"])}) for f in raw["findings"])
    return known(AnalysisRun, raw | samples | {"findings": findings})


def _sample(raw: dict[str, Any]) -> Sample:
    shares = {name: (some, of) for name, (some, of) in raw.get("shares", {}).items()}
    return known(Sample, raw | {"latencies": tuple(raw["latencies"]), "shares": shares})


def _event(raw: dict[str, Any]) -> Event:
    # Records that were written before events had a kind.
    kind = EventKind(raw.get("kind", EventKind.PROGRESS))
    return known(Event, raw | {"phase": Phase(raw["phase"]), "kind": kind})


def _analysis_summary(raw: dict[str, Any]) -> AnalysisSummary:
    return known(AnalysisSummary, raw | {"p90": tuple(raw["p90"]), "errors": tuple(raw["errors"])})
