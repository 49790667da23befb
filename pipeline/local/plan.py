"""The local engine: writes the promotion path as a plan, ``plan.json`` in the cloud assembly, for this machine.

The plan names the same templates and commands that AWS CodePipeline uses. Its shape (paths are relative to the
assembly's directory; every list is in execution order; the steps of ``change_set`` stand between the change set of
the stack and its execution)::

    {"version": 1, "stages": [
        {"name", "environment", "pre": [STEP], "stacks": [STACK], "post": [STEP]}]}
    STACK = {"name", "template", "assets", "change_set": [STEP]}
    STEP  = {"name", "kind": "commands" | "approval", "commands", "install_commands",
             "env", "env_from_outputs": {VARIABLE: {"stack", "output"}}}
"""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, TypeVar

import jsii
from aws_cdk import App, pipelines

PLAN_FILE = "plan.json"
PLAN_VERSION = 1

Node = TypeVar("Node")


class LocalPlan(pipelines.PipelineBase):
    """A pipeline engine that writes the plan file."""

    def __init__(self, app: App, id: str, *, synth: pipelines.IFileSetProducer) -> None:
        super().__init__(app, id, synth=synth)
        self._assembly = Path(app.outdir)

    @jsii.member(jsii_name="doBuildPipeline")
    def _do_build_pipeline(self) -> None:
        deployments = [deployment for wave in self.waves for deployment in wave.stages]
        stacks = [stack for deployment in deployments for stack in deployment.stacks]
        plan = {"version": PLAN_VERSION, "stages": [_stage(each, stacks, self._assembly) for each in deployments]}
        (self._assembly / PLAN_FILE).write_text(json.dumps(plan, indent=2) + "\n")


def _stage(
    deployment: pipelines.StageDeployment, producers: Sequence[pipelines.StackDeployment], assembly: Path
) -> dict[str, Any]:
    stacks = _in_order(deployment.stacks, lambda stack: stack.stack_artifact_id, lambda stack: stack.stack_dependencies)
    return {
        "name": deployment.stage_name,
        "environment": deployment.stage_name.lower(),
        "account": stacks[0].account,
        "region": stacks[0].region,
        "pre": _steps(deployment.pre, producers),
        "stacks": [_stack(stack, producers, assembly) for stack in stacks],
        "post": _steps(deployment.post, producers),
    }


def _stack(
    stack: pipelines.StackDeployment, producers: Sequence[pipelines.StackDeployment], assembly: Path
) -> dict[str, Any]:
    if stack.template_asset is None:
        raise ValueError(f"stack {stack.stack_name} publishes no template: it needs the default stack synthesizer")
    return {
        "name": stack.stack_name,
        "template": os.path.relpath(stack.absolute_template_path, assembly),
        "assets": os.path.relpath(stack.template_asset.asset_manifest_path, assembly),
        "change_set": _steps(stack.change_set, producers),
    }


def _steps(steps: Sequence[pipelines.Step], producers: Sequence[pipelines.StackDeployment]) -> list[dict[str, Any]]:
    return [_step(step, producers) for step in _in_order(steps, lambda step: step.id, lambda step: step.dependencies)]


def _step(step: pipelines.Step, producers: Sequence[pipelines.StackDeployment]) -> dict[str, Any]:
    common: dict[str, Any] = {
        "name": step.id,
        "commands": [],
        "install_commands": [],
        "env": {},
        "env_from_outputs": {},
    }
    match step:
        case pipelines.ManualApprovalStep():
            return common | {"kind": "approval"}
        case pipelines.ShellStep():
            return common | {
                "kind": "commands",
                "commands": step.commands,
                "install_commands": step.install_commands,
                "env": dict(step.env),
                "env_from_outputs": {
                    variable: {
                        "stack": next(stack.stack_name for stack in producers if output.is_produced_by(stack)),
                        "output": output.output_name,
                    }
                    for variable, output in step.env_from_cfn_outputs.items()
                },
            }
    raise TypeError(f"step {step.id!r}: the local engine runs commands and approvals, not {type(step).__name__}")


def _in_order(
    nodes: Sequence[Node], name: Callable[[Node], str], dependencies: Callable[[Node], Iterable[Node]]
) -> list[Node]:
    """``nodes`` sorted so that each follows its dependencies. Dependencies outside ``nodes`` are ignored."""
    by_name = {name(node): node for node in nodes}
    graph = {key: [name(each) for each in dependencies(node) if name(each) in by_name] for key, node in by_name.items()}
    return [by_name[key] for key in TopologicalSorter(graph).static_order()]
