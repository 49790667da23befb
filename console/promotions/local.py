"""Promotions of this machine: the run folders of ``pipeline.local``."""

import os
from collections.abc import Sequence
from pathlib import Path

from console import text
from console.actions import Actions
from console.promotions.model import Commit, Decision, Log, NotFound, Promotion, Stage, Step, Verdict
from console.promotions.reviews import Reviews
from console.reading import Reading
from pipeline.local.run import Run
from pipeline.local.run import Step as RunStep
from pipeline.local.state import State

LATEST = 50
LOG_TAIL_BYTES = 64_000
"""The part of a log that is shown at first, from its end."""
LOG_PART_BYTES = 256_000


class LocalPromotions:
    """The promotions in the folder ``.pipeline`` of ``state``."""

    def __init__(self, state: State, actions: Actions) -> None:
        self._state, self._actions = state, actions
        self._reviews = Reviews(state.folder / "console/comparisons", actions)
        self._read: dict[Path, tuple[tuple[int, int], Promotion]] = {}
        """Each record that was read, with the time and size of its file: an ended run is read once."""

    def reading(self) -> Reading[Sequence[Promotion]]:
        try:
            return Reading(value=self.latest())
        except OSError as error:
            return Reading(failure=str(error))

    def latest(self) -> Sequence[Promotion]:
        names = sorted((path.parent for path in self._state.runs.glob("*/run.json")), reverse=True)
        found = [each for folder in names[:LATEST] if (each := self._promotion(folder))]
        return sorted(found, key=lambda promotion: promotion.started, reverse=True)

    def log(self, promotion: str, step: str, offset: int | None) -> Log:
        run = self._run(promotion)
        wanted = next((each for stage in run.stages for each in stage.steps if each.id == step), None)
        if wanted is None:
            raise NotFound(f"promotion {promotion} has no step {step}")
        return read_log(run.folder / wanted.log, offset)

    def change(self, promotion: str) -> Sequence[str]:
        self._run(promotion)
        # In a process of its own: the comparison imports cfn-lint, which would cost this one 55 MB for good.
        return self._actions.output("console.promotions.change", promotion)

    def compare(self, base: str, head: str) -> Path:
        one, other = self._run(base), self._run(head)
        file = self._reviews.file(one.id, other.id)
        return file if file.exists() else self._reviews.write(file, one.folder, other.folder, one.revision[:12])

    def decide(self, promotion: str, step: str, decision: Decision, *, name: str, comment: str) -> str:
        promotion_of(self._run(promotion)).question(step)
        given = [f"--promotion={promotion}", f"--step={step}", f"--name={name}", f"--comment={comment}"]
        return self._actions.start("pipeline.local", decision, *given, target=f"promotion {promotion}", reason=comment)

    def _run(self, promotion: str) -> Run:
        folder = self._state.runs / promotion
        if folder.parent != self._state.runs or folder.name in ("", "..", "."):
            raise NotFound(f"there is no promotion {promotion}")
        try:
            return Run.load(folder)
        except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
            raise NotFound(f"promotion {promotion} can't be read: {error}") from error

    def _promotion(self, folder: Path) -> Promotion | None:
        """``None`` for a record that can't be read: of another version, or half removed."""
        try:
            file = (folder / "run.json").stat()
            key = (file.st_mtime_ns, file.st_size)
            known = self._read.get(folder)
            if known is None or known[0] != key:
                known = self._read[folder] = (key, promotion_of(Run.load(folder)))
        except (AttributeError, KeyError, OSError, TypeError, ValueError):
            return None
        promotion = known[1]
        return promotion if promotion.status != "running" else self._unless_killed(promotion)

    def _unless_killed(self, promotion: Promotion) -> Promotion:
        if self._state.is_locked():
            return promotion
        failure = "its process was killed: `make promote` or `make approve` cleans up"
        return Promotion(**{**vars(promotion), "status": "interrupted", "failure": failure})


def promotion_of(run: Run) -> Promotion:
    return Promotion(
        id=run.id,
        commit=Commit(revision=run.revision, subject=text.line(run.subject)),
        status=run.status,
        started=run.started,
        ended=run.ended if run.status != "waiting" else None,
        failure=text.paragraph(run.failure or ""),
        note=text.line(run.note or ""),
        stages=tuple(
            Stage(name=stage.name, environment=stage.environment, steps=tuple(map(_step, stage.steps)))
            for stage in run.stages
        ),
        verdicts=tuple(
            Verdict(
                step=str(each.get("step", "")),
                decision=str(each.get("decision", "")),
                by=_by(each),
                at=float(each.get("at") or 0.0),
                comment=text.paragraph(str(each.get("comment") or "")),
            )
            for each in run.approvals
        ),
    )


def _by(approval: dict[str, object]) -> str:
    """The user of the system, whom the kernel names, and the name that this person gave."""
    user, name = text.line(str(approval.get("by", ""))), text.line(str(approval.get("name") or ""))
    return f"{name} ({user})" if name and name != user else user


def _step(step: RunStep) -> Step:
    return Step(
        id=step.id,
        name=step.name,
        status=step.status,
        is_approval=step.kind == "approval",
        started=step.started,
        ended=step.ended if step.status not in ("waiting", "running") else None,
        detail=text.line(step.detail),
    )


def read_log(file: Path, offset: int | None) -> Log:
    """Whole lines only; a last line without its end waits for it."""
    try:
        with file.open("rb") as opened:
            size = os.fstat(opened.fileno()).st_size
            begin = max(0, size - LOG_TAIL_BYTES) if offset is None or offset > size else offset
            opened.seek(begin)
            raw = opened.read(LOG_PART_BYTES)
    except OSError:
        return Log(lines=(), offset=0)
    if offset is None and begin:  # begin with a whole line
        begin, raw = begin + raw.find(b"\n") + 1, raw[raw.find(b"\n") + 1 :]
    end = raw.rfind(b"\n") + 1 or (len(raw) if len(raw) == LOG_PART_BYTES else 0)
    lines = raw[:end].decode(errors="replace").splitlines()[-text.MOST_LINES :]
    return Log(lines=tuple(map(text.line, lines)), offset=begin + end, skipped=begin if offset is None else 0)
