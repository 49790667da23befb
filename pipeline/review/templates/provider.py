"""Facts about resource types from CloudFormation's provider schemas, which cfn-lint contains.

No update can change the ``createOnlyProperties`` of a schema: a new value makes a new resource.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from cfnlint.schema import PROVIDER_SCHEMA_MANAGER, ResourceNotFoundError

from environments import DEFAULT_REGION

PREFIX = "/properties/"
DATABASES_WITH_SNAPSHOT = ("AWS::RDS::DBCluster", "AWS::RDS::DBInstance")
"""Their ``DeletionPolicy`` is Snapshot unless the template says otherwise
(https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-attribute-deletionpolicy.html)."""


@dataclass(frozen=True)
class Provider:
    """The properties that one type can't change in place, as paths without the leading ``/properties/``."""

    create_only: tuple[str, ...]
    conditionally_create_only: tuple[str, ...]
    identifier: tuple[str, ...]
    known: bool


@cache
def provider(type: str) -> Provider:
    """The facts in cfn-lint's newest schema for ``type``. Without a schema, ``known`` is false."""
    try:
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(DEFAULT_REGION, type).schema
    except ResourceNotFoundError:
        schema = {}

    def paths(key: str) -> tuple[str, ...]:
        return tuple(each.removeprefix(PREFIX) for each in schema.get(key) or [])

    return Provider(
        create_only=paths("createOnlyProperties"),
        conditionally_create_only=paths("conditionalCreateOnlyProperties"),
        identifier=paths("primaryIdentifier"),
        known=bool(schema),
    )


@cache
def _stateful() -> frozenset[str]:
    content = files("cfnlint.data.AdditionalSpecs").joinpath("StatefulResources.json").read_text()
    return frozenset(json.loads(content)["ResourceTypes"])


def is_stateful(type: str) -> bool:
    """Whether data is lost with a resource of ``type``: cfn-lint's list for its rule I3011."""
    return type in _stateful()


def value(properties: dict[str, Any], pointer: str) -> Any:
    """The value at ``pointer``, or ``None``. For a list: the values at ``pointer`` in each of its elements."""
    found: Any = properties
    for part in pointer.split("/"):
        if isinstance(found, list):
            found = found if part == "*" else [each.get(part) for each in found if isinstance(each, dict)]
        else:
            found = found.get(part) if isinstance(found, dict) else None
    return found


def fate(resource: dict[str, Any], attribute: str) -> str:
    """What CloudFormation does with the old resource by its ``DeletionPolicy`` or ``UpdateReplacePolicy``."""
    snapshot = resource["Type"] in DATABASES_WITH_SNAPSHOT and "DBClusterIdentifier" not in resource.get(
        "Properties", {}
    )
    default = "Snapshot" if snapshot and attribute == "DeletionPolicy" else "Delete"
    return {
        "Delete": "its data is deleted",
        "Snapshot": "a snapshot of its data stays",
    }.get(resource.get(attribute, default), "the old one stays, outside the stack")
