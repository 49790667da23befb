"""A cloud assembly on disk: its stacks, their templates, and the references in a template.

Sources: the AWS CDK's cloud assembly specification, ``manifest.json``; CloudFormation user guide, "Intrinsic function
reference".
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ASSEMBLY, STACK = "cdk:cloud-assembly", "aws:cloudformation:stack"
PLACEHOLDER = re.compile(r"\$\{([^!}.]+)(\.[^}]+)?\}")
"""A reference in the text of ``Fn::Sub``: a logical id, perhaps with an attribute."""


@dataclass(frozen=True, kw_only=True)
class StackArtifact:
    """One stack, as the manifest describes it."""

    name: str
    """The stack's name in CloudFormation."""
    path: str
    """The construct's path, such as ``Dev/Platform``. The paths of all its resources begin with it."""
    template_file: Path
    termination_protection: bool
    environment: str
    """Account and region: ``aws://ACCOUNT/REGION``, each of which may be unknown."""

    def template(self) -> dict[str, Any]:
        """The template. Raises ``OSError`` or ``ValueError`` when there is none, or it is not JSON."""
        found: dict[str, Any] = json.loads(self.template_file.read_text())
        return found


def all_stacks(assembly: Path) -> Iterator[StackArtifact]:
    """The stacks of ``assembly``, those of nested assemblies (the stages) first. Raises as ``top_level_stacks``."""
    for artifact in _artifacts(assembly).values():
        if artifact["type"] == ASSEMBLY:
            yield from all_stacks(assembly / artifact["properties"]["directoryName"])
    yield from top_level_stacks(assembly)


def top_level_stacks(assembly: Path) -> Iterator[StackArtifact]:
    """The stacks of ``assembly`` outside its stages. Leftovers of an earlier synthesis are not included.

    Raises ``OSError``, ``ValueError`` or ``KeyError`` when the folder is no cloud assembly.
    """
    for id, artifact in _artifacts(assembly).items():
        if artifact["type"] == STACK:
            properties = artifact["properties"]
            yield StackArtifact(
                name=properties.get("stackName", id),
                path=artifact.get("displayName", id),
                template_file=assembly / properties["templateFile"],
                termination_protection=properties.get("terminationProtection", False),
                environment=artifact.get("environment", ""),
            )


def _artifacts(assembly: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((assembly / "manifest.json").read_text())["artifacts"]
    return found


def references(value: Any) -> Iterator[str]:
    """The logical ids that ``value`` refers to."""
    match value:
        case {"Ref": str(id)} | {"Fn::GetAtt": [str(id), *_]}:
            yield id
        case {"Fn::GetAtt": str(both)}:
            yield both.partition(".")[0]
        case {"Fn::Sub": [str(text), variables]}:
            yield from references({"Fn::Sub": text})
            yield from references(variables)
        case {"Fn::Sub": str(text)}:
            yield from (match.group(1) for match in PLACEHOLDER.finditer(text))
        case dict():
            for each in value.values():
                yield from references(each)
        case list():
            for each in value:
                yield from references(each)
