"""The record of a promotion: its steps, their states, and the folder of its files. Saved as ``run.json``."""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from localcloud.files import read_object

VERSION = 1

Status = Literal["pending", "running", "waiting", "succeeded", "failed", "interrupted", "rejected", "superseded"]
Kind = Literal["source", "synth", "cloud", "prepare", "deploy", "commands", "approval"]


@dataclass(kw_only=True)
class Step:
    """One step; times are seconds since the epoch, ``log`` is relative to the run's folder."""

    name: str
    kind: Kind
    log: str
    status: Status = "pending"
    started: float | None = None
    ended: float | None = None
    detail: str = ""
    process: dict[str, float] | None = None
    """The running process, as ``{"pid": …, "started": …}``. A later run ends it if this one is killed."""

    @property
    def id(self) -> str:
        """The name of its log: unique in a run, and it speaks, as ``prod-promotetoprod``."""
        return Path(self.log).stem

    @property
    def seconds(self) -> float:
        """How long the step took, or has taken until now. One that waits for a decision has not ended."""
        ended = self.ended if self.status != "waiting" else None
        return (ended or time.time()) - self.started if self.started else 0.0


@dataclass(kw_only=True)
class Stage:
    name: str
    environment: str
    """Empty for the stage that builds."""
    steps: list[Step]


@dataclass(kw_only=True)
class Run:
    """One promotion of one revision."""

    folder: Path
    revision: str = ""
    subject: str = ""
    note: str | None = None
    origin: dict[str, str] = field(default_factory=dict)
    """Who made the commit, says git, and who started the run: ``author``, ``committer``, ``signature``, ``started``."""
    assembly_digest: str | None = None
    """What the inspection named the assembly. ``None``: a run from before assemblies were inspected."""
    status: Status = "running"
    started: float = field(default_factory=time.time)
    ended: float | None = None
    stages: list[Stage] = field(default_factory=list)
    failure: str | None = None
    approvals: list[dict[str, Any]] = field(default_factory=list)
    """The decisions, one per approval: ``{"step", "decision", "by", "at"}``. A decision that was given before anybody
    could look (``APPROVE=yes``) has ``"beforehand": true``. ``"name"`` and ``"comment"`` are what the person said."""

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def source(self) -> Path:
        return self.folder / "source"

    @property
    def assembly(self) -> Path:
        return self.folder / "cdk.out"

    def open_steps(self) -> Iterator[tuple[Stage, Step]]:
        """The steps still to be done, in order."""
        for stage in list(self.stages):
            for step in stage.steps:
                if step.status != "succeeded":
                    yield stage, step

    def step(self, stage: str, step: str) -> Step:
        return next(s for g in self.stages if g.name == stage for s in g.steps if s.name == step)

    def end(self, status: Status, failure: str | None = None) -> None:
        self.status, self.failure, self.ended = status, failure, time.time()
        self.save()

    def save(self) -> None:
        """Write ``run.json`` atomically: a reader never sees half of it, not even after a crash."""
        record = {"version": VERSION, "id": self.id, **asdict(self), "folder": str(self.folder)}
        draft = self.folder / "run.json.new"
        draft.write_text(json.dumps(record, indent=2) + "\n")
        draft.replace(self.folder / "run.json")

    @classmethod
    def load(cls, folder: Path) -> "Run":
        """Raises ``ValueError`` for a record that is incomplete or of another version."""
        record = read_object(folder / "run.json")
        if record.get("version") != VERSION:
            raise ValueError(f"{folder / 'run.json'} is of another version")
        stages = [Stage(**{**s, "steps": [Step(**step) for step in s["steps"]]}) for s in record["stages"]]
        known = {k: v for k, v in record.items() if k not in ("version", "id", "folder", "stages")}
        run = cls(folder=folder, stages=stages, **known)
        if not (_is_whole(run) and all(_is_whole(step) for stage in stages for step in stage.steps)):
            raise ValueError(f"{folder / 'run.json'} is spoilt")
        return run


def _is_whole(part: Run | Step) -> bool:
    """Whether what was read can be sorted, shown and continued."""
    times = all(isinstance(time, int | float | None) for time in (part.started, part.ended))
    if isinstance(part, Run):
        return times and part.started is not None and part.status in get_args(Status)
    kinds = part.status in get_args(Status) and part.kind in get_args(Kind)
    return times and kinds and isinstance(part.process, dict | None)


def create(runs: Path) -> Run:
    """A new run in a folder of its own. The folder's name is the local time."""
    name = time.strftime("%Y%m%d-%H%M%S")
    folder, again = runs / name, 1
    while folder.exists():
        again += 1
        folder = runs / f"{name}-{again}"
    for part in (folder, folder / "logs", folder / "outputs", folder / "reports"):
        part.mkdir(parents=True)
    run = Run(folder=folder)
    run.save()
    return run


def all_runs(runs: Path) -> list[Run]:
    """Every run with a readable record, oldest first."""
    found = []
    for path in runs.glob("*/run.json"):
        with contextlib.suppress(AttributeError, KeyError, OSError, TypeError, ValueError):  # of another version
            found.append(Run.load(path.parent))
    return sorted(found, key=lambda run: run.started)
