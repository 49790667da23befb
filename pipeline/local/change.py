"""The change that a person approves: its commits, their effect, and the proof of the stages before."""

from collections.abc import Iterator
from pathlib import Path

from localcloud.files import read_object
from pipeline.git import GitError, git
from pipeline.local.run import Run, Stage, all_runs
from pipeline.review import NotCompared
from pipeline.review.comparison import compare
from pipeline.review.reports.summary import headlines, verdict
from pipeline.review.synthesis import read

COMMITS = 10
"""The number of commits that are listed. The line after them says how many more there are."""


def change_of(run: Run, stage: Stage, repository: Path) -> Iterator[str]:
    """The change from what ``stage`` runs to ``run``, line by line."""
    before = next((old for old in reversed(all_runs(run.folder.parent)) if _went_through(old, stage)), None)
    yield f"\nTo approve: {run.revision[:12]} {run.subject}"
    if run.assembly_digest:
        yield f"  assembly {run.assembly_digest}"
    for step in stage.steps:
        if step.kind == "prepare":
            yield f"  change set of {stage.name}: {step.detail}"
    if before is None:
        yield f"  {stage.name} has nothing to compare with: no promotion has gone through it yet"
    elif before.revision == run.revision:
        yield f"  {stage.name} runs this commit already"
    else:
        yield f"  {stage.name} runs {before.revision[:12]} {before.subject}. New since then:"
        yield from _commits(before.revision, run.revision, repository)
        yield f"  effect: {_effect(before, run)}"
    for earlier in run.stages[: run.stages.index(stage)]:
        for step in earlier.steps:
            if step.kind == "commands" and step.detail:
                yield f"  {earlier.name} {step.name}: {step.detail}"
        yield from _compared(run, earlier)


def _compared(run: Run, stage: Stage) -> Iterator[str]:
    """The p99 of each route beside that of the stage's last promoted release."""
    try:
        comparison = read_object(run.folder / "reports" / stage.environment / "gate.json")["comparison"]
        if comparison["release_id"] is None:
            yield f"  {stage.name} not compared with a promoted release: {comparison['reason']}"
            return
        routes = [
            f"{route} {each['now_ms']:.1f} ms{' SLOWER' * each['slower']} (was {each['before_ms']:.1f})"
            for route, each in comparison["routes"].items()
        ]
        yield f"  {stage.name} beside release {comparison['release_id']}: p99 {', '.join(routes)}"
    except (OSError, KeyError, TypeError, ValueError, AttributeError):  # no gate, or that of an older commit
        return


def _went_through(run: Run, stage: Stage) -> bool:
    """Whether every step of the stage succeeded in ``run``."""
    same = [each for each in run.stages if each.environment == stage.environment]
    return bool(same) and all(step.status == "succeeded" for step in same[0].steps)


def _commits(old: str, new: str, repository: Path) -> Iterator[str]:
    try:
        log = git("log", "--format=%h %an: %s", "--end-of-options", f"{old}..{new}", folder=repository).splitlines()
    except GitError:  # a promotion without git, or a commit that is gone
        return
    yield from (f"    {line}" for line in log[:COMMITS])
    if len(log) > COMMITS:
        yield f"    and {len(log) - COMMITS} more commits"
    if not log:
        yield "    no commit is new: this goes back to an older one"


def _effect(before: Run, after: Run) -> str:
    """Findings, changes of templates and costs, in one line."""
    try:
        comparison = compare(
            read("before", before.source, before.assembly), read("after", after.source, after.assembly), name="before"
        )
    except (NotCompared, OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        return f"not compared, because {error}"
    return "; ".join([verdict(comparison), *(text for text, _ in headlines(comparison))])
