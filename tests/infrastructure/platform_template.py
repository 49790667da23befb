"""A synthesised template, with queries for the tests."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Resource = dict[str, Any]


class PlatformTemplate:
    """The CloudFormation template of the platform of ``environment``."""

    def __init__(self, path: Path, environment: str) -> None:
        self.environment = environment
        self.body: dict[str, Any] = json.loads(path.read_text())

    @property
    def outputs(self) -> dict[str, Any]:
        return {name: output["Value"] for name, output in self.body["Outputs"].items()}

    def resources(self, *types: str) -> dict[str, Resource]:
        """The resources of these types (of all types, when none is given) by logical id."""
        found = self.body["Resources"].items()
        return {id: resource for id, resource in found if not types or resource["Type"] in types}

    def properties(self, *types: str) -> list[Resource]:
        return [resource["Properties"] for resource in self.resources(*types).values()]

    def only(self, resource_type: str) -> Resource:
        """The properties of the one resource of this type."""
        [properties] = self.properties(resource_type)
        return properties

    def named(self, resource_type: str, **name: str) -> Resource:
        """The properties of the resource of this type whose property ``name`` has this value."""
        [(key, value)] = name.items()
        [found] = [properties for properties in self.properties(resource_type) if properties.get(key) == value]
        return found

    def schedule(self, function: str) -> tuple[str, Resource]:
        """The logical id of the schedule of the function with this name, and its resource."""
        [found] = [
            (id, rule)
            for id, rule in self.resources("AWS::Events::Rule").items()
            if rule["Properties"]["Description"] == f"Runs {function}"
        ]
        return found

    def statements(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every allowing statement of every identity policy, with its policy's logical id."""
        for id, resource in self.resources("AWS::IAM::ManagedPolicy", "AWS::IAM::Policy").items():
            for statement in resource["Properties"]["PolicyDocument"]["Statement"]:
                if statement["Effect"] == "Allow":
                    yield id, statement


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def logical_id(value: Any) -> str:
    """The logical id that a ``Ref`` or ``Fn::GetAtt`` refers to."""
    return str(value["Ref"]) if "Ref" in value else str(value["Fn::GetAtt"][0])


def text(value: Any) -> str:
    """A template value as text, with the parts of ``Fn::Join``, for searches."""
    return json.dumps(value)


def references(value: Any) -> set[str]:
    """The names of everything that a template value refers to."""
    if isinstance(value, list):
        return set().union(*map(references, value))
    if not isinstance(value, dict):
        return set()
    if "Ref" in value or "Fn::GetAtt" in value:
        return {logical_id(value)}
    return references(list(value.values()))
