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
            every = [*planned["pre"], *(each for of in planned["stacks"] for each in _asked(of)), *planned["post"]]
            return dict({each["name"]: each for each in every}[step.name])

    def stack(self, stage: Stage, step: Step) -> dict[str, Any]:
        """The stack that a step prepares or deploys."""
        planned = self.stage(stage)
        with self._legible():
            return dict({name: of for of in planned["stacks"] for name in _names(planned, of)}[step.name])

    @contextmanager
    def _legible(self) -> Iterator[None]:
        try:
            yield
        except (KeyError, OSError, TypeError, ValueError) as error:
            raise StepFailed(f"the plan {self.file} is of another version ({error!r}): promote again") from error


def run_stage(planned: dict[str, Any]) -> Stage:
    """A planned stage as a stage of a run: start of the local cloud, deployments, checks. Steps that stand between a
    change set and its execution divide the deployment in two."""
    name = planned["name"]
    steps = [*(run_step(name, each["name"], each["kind"]) for each in planned["pre"])]
    steps.append(run_step(name, "Local cloud", "cloud"))
    for stack in planned["stacks"]:
        prepare, deploy = _names(planned, stack)
        if asked := _asked(stack):
            steps.append(run_step(name, prepare, "prepare"))
            steps += (run_step(name, each["name"], each["kind"]) for each in asked)
        steps.append(run_step(name, deploy, "deploy"))
    steps += (run_step(name, each["name"], each["kind"]) for each in planned["post"])
    return Stage(name=name, environment=planned["environment"], steps=steps)


def run_step(stage: str, name: str, kind: Kind) -> Step:
    slug = f"{stage}-{name}".lower().replace(" ", "-")
    return Step(name=name, kind=kind, log=f"logs/{slug}.log")


def _asked(stack: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps between the stack's change set and its execution. Older plans have none."""
    return list(stack.get("change_set", ()))


def _names(planned: dict[str, Any], stack: dict[str, Any]) -> tuple[str, str]:
    """The names of the steps that prepare and deploy a stack of a planned stage."""
    which = "" if len(planned["stacks"]) == 1 else f" {stack['name']}"
    return f"Prepare{which}", f"Deploy{which}"
