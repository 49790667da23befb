"""The stacks of one synthesis."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.review import NotCompared

ASSEMBLY, STACK = "cdk:cloud-assembly", "aws:cloudformation:stack"
Resource = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Stack:
    """One template, and what the assembly says of it."""

    name: str
    """In CloudFormation."""
    path: str
    """Of the construct, such as ``Dev/Platform``: all its resources' construct paths begin with it."""
    termination_protection: bool
    template: dict[str, Any]

    @property
    def environment(self) -> str:
        """What a reviewer calls it: the stage in lower case, or the path of a stack that stands outside the stages."""
        stage, slash, _ = self.path.partition("/")
        return stage.lower() if slash else stage

    @property
    def resources(self) -> dict[str, Resource]:
        resources: dict[str, Resource] = self.template.get("Resources", {})
        return resources


def read(assembly: Path) -> dict[str, Stack]:
    """The stacks in the folder ``assembly`` by their paths, nested assemblies first. Raises ``NotCompared``."""
    try:
        stacks = {stack.path: stack for stack in _stacks(assembly)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotCompared(f"the cloud assembly {assembly} can't be read: {type(error).__name__}: {error}") from error
    if not stacks:
        raise NotCompared(f"the cloud assembly {assembly} has no stack")
    return stacks


def _stacks(assembly: Path) -> Iterator[Stack]:
    artifacts = json.loads((assembly / "manifest.json").read_text())["artifacts"]
    for artifact in artifacts.values():
        if artifact["type"] == ASSEMBLY:
            yield from _stacks(assembly / artifact["properties"]["directoryName"])
    for id, artifact in artifacts.items():
        if artifact["type"] == STACK:
            properties = artifact["properties"]
            template = json.loads((assembly / properties["templateFile"]).read_text())
            if not all("Type" in resource for resource in template["Resources"].values()):
                raise ValueError(f"{properties['templateFile']} is no template")
            yield Stack(
                name=properties.get("stackName", id),
                path=artifact.get("displayName", id),
                termination_protection=properties.get("terminationProtection", False),
                template=template,
            )
