"""The stacks of one synthesis."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.assembly import all_stacks
from pipeline.review import NotCompared

Resource = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Stack:
    """One template, with the facts that the assembly states about it."""

    name: str
    """The stack's name in CloudFormation."""
    path: str
    """The construct's path, such as ``Dev/Platform``. The paths of all its resources begin with it."""
    termination_protection: bool
    template: dict[str, Any]

    @property
    def environment(self) -> str:
        """The stage in lower case, or the path of a stack outside the stages."""
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
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotCompared(f"the cloud assembly {assembly} can't be read: {type(error).__name__}: {error}") from error
    if not stacks:
        raise NotCompared(f"the cloud assembly {assembly} has no stack")
    return stacks


def pairs(base: Mapping[str, Stack], head: Mapping[str, Stack]) -> Iterator[tuple[Stack | None, Stack | None]]:
    """Each stack of base with the one of head that a deployment puts in its place, or ``None``.

    CloudFormation knows a stack by its name. So a stack with another name is a new one, and a stack whose construct
    moves is still the same. Where several have the same name, in several accounts, the path decides.
    """
    left = dict(base)
    same = {path: left.pop(path) for path, stack in head.items() if path in base and base[path].name == stack.name}
    for path, stack in head.items():
        moved = next((each for each in left.values() if path not in same and each.name == stack.name), None)
        yield same.get(path) or (left.pop(moved.path) if moved else None), stack
    yield from ((stack, None) for stack in left.values())


def _stacks(assembly: Path) -> Iterator[Stack]:
    for artifact in all_stacks(assembly):
        template = artifact.template()
        if not all("Type" in resource for resource in template["Resources"].values()):
            raise ValueError(f"{artifact.template_file.name} is no template")
        yield Stack(
            name=artifact.name,
            path=artifact.path,
            termination_protection=artifact.termination_protection,
            template=template,
        )
