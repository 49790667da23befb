"""Promotions as the page shows them. Run folders and CodePipeline are two sources of this one model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Literal, Protocol

import names
from console.reading import Reading
from environments import PROMOTION_ORDER

Status = Literal["pending", "running", "waiting", "succeeded", "failed", "interrupted", "rejected", "superseded"]
Decision = Literal["approve", "reject"]


class NotFound(Exception):
    """There is no such promotion or step."""


class CannotDecide(Exception):
    """The decision can't be given now. The message says why."""


@dataclass(frozen=True, kw_only=True)
class Commit:
    revision: str
    subject: str

    @property
    def short(self) -> str:
        return self.revision[:10]


@dataclass(frozen=True, kw_only=True)
class Step:
    """Times are seconds since the epoch."""

    id: str
    """Unique within the promotion."""
    name: str
    status: Status
    is_approval: bool = False
    started: float | None = None
    ended: float | None = None
    detail: str = ""
    link: str | None = None
    """Where AWS shows it."""
    build: str | None = None
    """The build of CodeBuild that does it."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    name: str
    environment: str
    """Empty for a stage that builds."""
    steps: tuple[Step, ...]

    @property
    def changes_pipeline(self) -> bool:
        """Whether its approval lets a change of the pipeline itself take effect."""
        return self.name == names.PIPELINE_APPROVAL

    @property
    def status(self) -> Status:
        found = [step.status for step in self.steps]
        for status in _GRAVEST_FIRST:
            if status in found:
                return status
        done = found.count("succeeded")
        return "succeeded" if done == len(found) else "running" if done else "pending"

    @property
    def started(self) -> float | None:
        return min((step.started for step in self.steps if step.started), default=None)

    @property
    def ended(self) -> float | None:
        """``None`` while a step is still to be done."""
        ends = [step.ended for step in self.steps]
        return max((end for end in ends if end), default=None) if all(ends) else None


_GRAVEST_FIRST: tuple[Status, ...] = ("failed", "rejected", "interrupted", "waiting", "running", "superseded")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a person decided about an approval."""

    step: str
    decision: str
    by: str
    at: float
    comment: str = ""


@dataclass(frozen=True, kw_only=True)
class Promotion:
    id: str
    commit: Commit
    status: Status
    started: float
    ended: float | None = None
    failure: str = ""
    stages: tuple[Stage, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    note: str = ""

    @property
    def waits_for(self) -> tuple[Stage, Step] | None:
        """The approval that waits for a person, with its stage."""
        if self.status != "waiting":
            return None
        waiting = [(s, step) for s in self.stages for step in s.steps if step.is_approval and step.status == "waiting"]
        return next(iter(waiting), None)

    def question(self, step: str) -> tuple[Stage, Step]:
        """The approval that waits, with its stage, if it is the one with this id. Raises ``CannotDecide``."""
        waiting = self.waits_for
        if waiting is None:
            raise CannotDecide(f"promotion {self.id} does not wait for a decision any more: it is {self.status}")
        if waiting[1].id != step:
            raise CannotDecide(f"promotion {self.id} waits for {waiting[1].name} now, and the form is of another step")
        return waiting

    @property
    def path(self) -> Iterator[Stage]:
        """The stages as a person sees them: a question is a place of its own, before, in or after its stage."""
        for stage in self.stages:
            for is_approval, steps in groupby(stage.steps, lambda step: step.is_approval):
                name, environment = ("Approval", "") if is_approval else (stage.name, stage.environment)
                yield Stage(name=name, environment=environment, steps=tuple(steps))

    def step(self, id: str) -> Step:
        """Raises ``NotFound``."""
        for stage in self.stages:
            for step in stage.steps:
                if step.id == id:
                    return step
        raise NotFound(f"promotion {self.id} has no step {id}")

    @property
    def current_step(self) -> Step | None:
        """The step that somebody wants to see: the one under way or failed, else the last that was done."""
        steps = [step for stage in self.stages for step in stage.steps]
        under_way = [step for step in steps if step.status not in ("pending", "succeeded")]
        done = [step for step in steps if step.status == "succeeded" and not step.is_approval]
        return next(iter(under_way), done[-1] if done else None)


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """What an environment runs: the last commit that went through its stage."""

    environment: str
    commit: Commit | None = None
    since: float | None = None
    promotion: str = ""


@dataclass(frozen=True, kw_only=True)
class Log:
    """A part of a step's log. ``offset``: where the next part begins."""

    lines: tuple[str, ...]
    offset: int
    skipped: int = 0
    """Bytes before the part that are not shown."""


class Promotions(Protocol):
    """A source of promotions. Every method may raise an exception whose message says what does not answer."""

    def reading(self) -> Reading[Sequence[Promotion]]:
        """The last promotions, newest first, as far as they are known; with ``failure``, of which a part is old or
        missing. Raises nothing."""
        ...

    def latest(self) -> Sequence[Promotion]:
        """The last promotions, newest first."""
        ...

    def log(self, promotion: str, step: str, offset: int | None) -> Log:
        """The log from ``offset`` on; ``None``: its end. Raises ``NotFound``."""
        ...

    def change(self, promotion: str) -> Sequence[str]:
        """What an approval lets in, line by line: commits, effect, proof of the stages before."""
        ...

    def compare(self, base: str, head: str) -> Path:
        """The review of two promotions, as an HTML file. Raises ``NotFound``, with the reason if there is none."""
        ...

    def decide(self, promotion: str, step: str, decision: Decision, *, name: str, comment: str) -> str:
        """Decide the approval with the id ``step``; returns what was done. Raises ``CannotDecide``, also when another
        one waits."""
        ...


@dataclass(frozen=True, kw_only=True)
class History:
    """What follows from a list of promotions."""

    promotions: Sequence[Promotion]
    deployed: Sequence[Deployed] = field(default_factory=tuple)
    in_prod: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    """From when until when prod ran what a promotion brought, by its id; ``None`` for the one that it runs now."""


def history(promotions: Sequence[Promotion]) -> History:
    """``promotions``: newest first."""
    environments: list[str] = []
    for promotion in promotions:
        environments += [s.environment for s in promotion.stages if s.environment and s.environment not in environments]
    return History(
        promotions=promotions,
        deployed=tuple(_deployed(each, promotions) for each in environments),
        in_prod=_in_prod(promotions),
    )


def _in_prod(promotions: Sequence[Promotion]) -> Mapping[str, tuple[float, float | None]]:
    through = [(each, went_through(each, PROMOTION_ORDER[-1].name)) for each in promotions]
    came = sorted((stage.ended, each.id) for each, stage in through if stage and stage.ended)
    ends = [at for at, _ in came[1:]]
    return {id: (at, until) for (at, id), until in zip_longest(came, ends)}


def went_through(promotion: Promotion, environment: str) -> Stage | None:
    """The stage of ``environment``, if ``promotion`` has done all of it."""
    found = next((stage for stage in promotion.stages if stage.environment == environment), None)
    return found if found and all(step.status == "succeeded" for step in found.steps) else None


def _deployed(environment: str, promotions: Sequence[Promotion]) -> Deployed:
    through = [(each, stage) for each in promotions if (stage := went_through(each, environment))]
    if not through:
        return Deployed(environment=environment)
    last, stage = max(through, key=lambda pair: pair[1].ended or 0.0)
    return Deployed(environment=environment, commit=last.commit, since=stage.ended, promotion=last.id)
