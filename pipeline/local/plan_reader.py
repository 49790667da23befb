"""Reads ``plan.json`` of a synthesised cloud assembly. :mod:`pipeline.local.plan` writes it and states its shape."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from localcloud.files import read_object
from pipeline.local.errors import StepFailed
from pipeline.local.run import Kind, Stage, Step


class PlanReader:
    """The plan of one cloud assembly. Stages, steps and stacks are the plan's own JSON objects.

    Each method raises ``StepFailed`` when the file is gone, spoilt, or lacks what a run's record names.
    """

    def __init__(self, assembly: Path) -> None:
        self.file = assembly / "plan.json"

    def stages(self) -> list[dict[str, Any]]:
        """The planned stages in order."""
        with self._legible():
            return list(read_object(self.file)["stages"])

    def stage(self, stage: Stage) -> dict[str, Any]:
        with self._legible():
            return dict({each["name"]: each for each in self.stages()}[stage.name])

    def step(self, stage: Stage, step: Step) -> dict[str, Any]:
        planned = self.stage(stage)
        with self._legible():
            return dict({each["name"]: each for each in planned["pre"] + planned["post"]}[step.name])

    def stack(self, stage: Stage, step: Step) -> dict[str, Any]:
        """The stack that a deploy step deploys."""
        planned = self.stage(stage)
        with self._legible():
            return _stacks_by_step(planned)[step.name]

    @contextmanager
    def _legible(self) -> Iterator[None]:
        try:
            yield
        except (KeyError, OSError, TypeError, ValueError) as error:
            raise StepFailed(f"the plan {self.file} is of another version ({error!r}): promote again") from error


def run_stage(planned: dict[str, Any]) -> Stage:
    """A planned stage as a stage of a run: approvals, start of the local cloud, deployments, checks."""
    name = planned["name"]
    return Stage(
        name=name,
        environment=planned["environment"],
        steps=[
            *(run_step(name, each["name"], each["kind"]) for each in planned["pre"]),
            run_step(name, "Local cloud", "cloud"),
            *(run_step(name, step, "deploy") for step in _stacks_by_step(planned)),
            *(run_step(name, each["name"], each["kind"]) for each in planned["post"]),
        ],
    )


def run_step(stage: str, name: str, kind: Kind) -> Step:
    slug = f"{stage}-{name}".lower().replace(" ", "-")
    return Step(name=name, kind=kind, log=f"logs/{slug}.log")


def _stacks_by_step(planned: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The stacks of a planned stage, by the name of the step that deploys each."""
    stacks = planned["stacks"]
    return {"Deploy" if len(stacks) == 1 else f"Deploy {stack['name']}": stack for stack in stacks}
