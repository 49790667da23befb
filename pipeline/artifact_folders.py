"""Gives each artifact of the pipeline a folder of its own, and each folder one writer.

CodePipeline keeps an artifact under the first ten characters of its name. CDK names artifacts by their step, so those
of all environments share folders: `LoadGate_O`. A step of dev could then replace the reports from which prod's evidence
is made. So artifacts are named by the number of their stage and by their action here: `6LoadGate`.

Source: CodePipeline user guide, "Input and output artifacts".
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from aws_cdk import Stack, Token
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_codepipeline as codepipeline

from pipeline.artifacts import ARTIFACT_FOLDER

NAME_LENGTH = 10
"""The characters of an artifact's name that its folder has."""


@dataclass(frozen=True, kw_only=True)
class Folders:
    """The folders that roles read and write, by the logical id of the role. Keys of objects begin with a folder."""

    reads: Mapping[str, frozenset[str]]
    writes: Mapping[str, frozenset[str]]

    @property
    def writers(self) -> Mapping[str, str]:
        """The role of each folder."""
        return {folder: role for role, folders in self.writes.items() for folder in sorted(folders)}


def separate(pipeline: codepipeline.Pipeline) -> Folders:
    """Rename the artifacts of ``pipeline``, which must be complete. Raises ``ValueError`` if two get one folder."""
    stack, definition = Stack.of(pipeline), cast(codepipeline.CfnPipeline, pipeline.node.default_child)
    stages: list[dict[str, Any]] = stack.resolve(definition.stages)
    names = dict(_names(stages))
    if len({name[:NAME_LENGTH] for name in names.values()}) < len(names):
        raise ValueError(f"two artifacts get one folder: {', '.join(sorted(names.values()))}")
    stages = _renamed(stages, names)
    definition.stages = Token.as_any(stages)
    roles = {}
    for project in (each for each in stack.node.find_all() if isinstance(each, codebuild.CfnProject)):
        roles[stack.resolve(project.logical_id)] = stack.resolve(project.service_role)
        commands = stack.resolve(project.source)["buildSpec"]
        links = re.sub(r"(CODEBUILD_SRC_DIR_)(\w+)", lambda link: link[1] + names.get(link[2], link[2]), commands)
        if links != commands:
            project.add_property_override("Source.BuildSpec", links)
    return _folders(stages, roles)


def _names(stages: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for number, stage in enumerate(stages):
        for action in stage["actions"]:
            for artifact in action.get("outputArtifacts", ()):
                yield artifact["name"], f"{number}{re.sub('[^A-Za-z0-9]', '', action['name'])}"


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """``value`` with the new names: of artifacts, of primary sources, and in paths such as `Artifact::file`."""
    if isinstance(value, dict):
        return {name: _renamed(each, names) for name, each in value.items()}
    if isinstance(value, list):
        return [_renamed(each, names) for each in value]
    if isinstance(value, str):
        artifact, separator, file = value.partition("::")
        return names.get(artifact, artifact) + separator + file
    return value


def _folders(stages: list[dict[str, Any]], roles: Mapping[str, Any]) -> Folders:
    """``roles``: the service role of each build project."""
    found: dict[str, defaultdict[str, set[str]]] = {
        kind: defaultdict(set) for kind in ("inputArtifacts", "outputArtifacts")
    }
    for action in (action for stage in stages for action in stage["actions"]):
        project = action.get("configuration", {}).get("ProjectName", {})
        role = roles[project["Ref"]] if project else action.get("roleArn")
        if isinstance(role, dict) and "Fn::GetAtt" in role:  # other roles are of the environments' accounts
            for kind, folders in found.items():
                for artifact in action.get(kind, ()):
                    folders[role["Fn::GetAtt"][0]].add(f"{ARTIFACT_FOLDER}{artifact['name'][:NAME_LENGTH]}/")
    reads, writes = ({role: frozenset(folders) for role, folders in each.items()} for each in found.values())
    return Folders(reads=reads, writes=writes)
