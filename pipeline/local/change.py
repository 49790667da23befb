"""The change that a person approves in a promotion of this machine."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.change import Side, beside, told
from pipeline.git import GitError, git
from pipeline.local.run import Run, Stage, all_runs


def change_of(run: Run, stage: Stage, repository: Path) -> Iterator[str]:
    """The change from what ``stage`` runs to ``run``, line by line. ``repository``: it knows the commits."""
    before = next((old for old in reversed(all_runs(run.folder.parent)) if _went_through(old, stage)), None)
    facts = [f"assembly {run.assembly_digest}"] if run.assembly_digest else []
    facts += [f"change set of {stage.name}: {step.detail}" for step in stage.steps if step.kind == "prepare"]
    commits = _commits(before.revision, run.revision, repository) if before else ()
    yield ""
    yield from told(stage.name, _side(before) if before else None, _side(run), facts=facts, commits=commits)
    for earlier in run.stages[: run.stages.index(stage)]:
        for step in earlier.steps:
            if step.kind == "commands" and step.detail:
                yield f"  {earlier.name} {step.name}: {step.detail}"
        gate = run.folder / "reports" / earlier.environment / "gate.json"
        yield from (f"  {line}" for line in beside(earlier.name, gate))


def _side(run: Run) -> Side:
    return Side(revision=run.revision, subject=run.subject, source=run.source, assembly=run.assembly)


def _went_through(run: Run, stage: Stage) -> bool:
    """Whether every step of the stage succeeded in ``run``."""
    same = [each for each in run.stages if each.environment == stage.environment]
    return bool(same) and all(step.status == "succeeded" for step in same[0].steps)


def _commits(old: str, new: str, repository: Path) -> Iterator[str]:
    try:
        log = git("log", "--format=%h %an: %s", "--end-of-options", f"{old}..{new}", folder=repository).splitlines()
    except GitError:  # a promotion without git, or a commit that is gone
        return
    yield from log or ["no commit is new: this goes back to an older one"]
