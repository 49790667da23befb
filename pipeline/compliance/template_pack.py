"""A rule pack over synthesised templates, which are the input of CloudFormation and include property overrides.

cdk-nag's rules read constructs, which keep the former value of an overridden property. A rule in Python would also call
Node for each property that it reads. A template is read once.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jsii
from aws_cdk import (
    IPolicyValidationContext,
    IPolicyValidationPlugin,
    PolicyViolatingResource,
    PolicyViolation,
)
from aws_cdk import PolicyValidationPluginReport as Report

from pipeline.assembly import references


class Template:
    """The resources of a CloudFormation template."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.resources = [Resource(id, each, self) for id, each in document.get("Resources", {}).items()]

    def of(self, *kinds: str) -> "list[Resource]":
        return [each for each in self.resources if each.kind in kinds]


@dataclass(frozen=True, eq=False)
class Resource:
    """One resource of a template."""

    id: str
    body: dict[str, Any]
    template: Template
    read: list[str] = field(default_factory=list)
    """The paths of the properties that were asked for, in this order. A finding names those of its rule."""

    @property
    def kind(self) -> str:
        return str(self.body["Type"])

    @property
    def construct_path(self) -> str:
        return str(self.body.get("Metadata", {}).get("aws:cdk:path", self.id))

    def get(self, path: str) -> Any:
        """The property at a path such as ``A.B.0.C``; ``None`` when it does not exist."""
        self.read.append(path)
        found: Any = self.body.get("Properties", {})
        for part in path.split("."):
            if isinstance(found, list):
                found = found[int(part)] if int(part) < len(found) else None
            elif isinstance(found, dict):
                found = found.get(part)
            else:
                return None
        return found

    def items(self, path: str) -> list[Any]:
        """The property at ``path`` as a list. A missing property gives an empty list, a single value a list of one."""
        found = self.get(path)
        return found if isinstance(found, list) else [] if found is None else [found]

    @cached_property
    def names(self) -> frozenset[str]:
        """Logical ids of the resources that this one refers to."""
        return frozenset(references(self.body.get("Properties", {})))

    def referrers(self, *kinds: str) -> "list[Resource]":
        """The resources of these kinds that refer to this one."""
        return [each for each in self.template.of(*kinds) if self.id in each.names]


def text(value: Any) -> str:
    """A property as text, without the parts that are only known at deployment."""
    if isinstance(value, str):
        return value
    parts = value.get("Fn::Join", ["", []])[1] if isinstance(value, dict) else []
    return "".join(part for part in parts if isinstance(part, str))


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A condition on the resources of some kinds."""

    requirement: str
    name: str
    kinds: tuple[str, ...]
    fault: str
    """What is wrong where the condition does not hold, as one sentence."""
    holds: Callable[[Resource], bool]


@jsii.implements(IPolicyValidationPlugin)
class TemplatePack:
    """Rules as a validation plugin of CDK. Findings are named ``<pack>-<rule>``, as in cdk-nag."""

    def __init__(self, name: str, rules: Sequence[Rule]) -> None:
        self._name = name
        self._rules = rules
        self.found: set[tuple[str, str]] = set()

    @property
    def name(self) -> str:
        return self._name

    @property
    def version(self) -> str | None:
        return None

    @property
    def rule_ids(self) -> list[str] | None:
        return [self._id(rule) for rule in self._rules]

    def validate(self, context: IPolicyValidationContext) -> Report:
        violations = []
        for path in context.template_paths:
            template = Template(json.loads(Path(path).read_text()))
            for rule in self._rules:
                broken = {each: read for each in template.of(*rule.kinds) if (read := _broken(rule, each)) is not None}
                self.found.update((f"{self._name}::{self._id(rule)}", each.construct_path) for each in broken)
                if broken:
                    violations.append(self._violation(rule, broken, path))
        return Report(success=not violations, violations=violations)

    def _id(self, rule: Rule) -> str:
        return f"{self._name}-{rule.requirement}-{rule.name}"

    def _violation(self, rule: Rule, broken: Mapping[Resource, Sequence[str]], template: str) -> PolicyViolation:
        return PolicyViolation(
            rule_name=self._id(rule),
            description=f"{rule.fault} (requirement {rule.requirement})",
            severity="error",
            violating_resources=[
                PolicyViolatingResource(
                    construct_path=each.construct_path,
                    resource_logical_id=each.id,
                    template_path=template,
                    locations=[f"Properties.{path}" for path in read] or ["Properties"],
                )
                for each, read in broken.items()
            ],
        )


def _broken(rule: Rule, resource: Resource) -> list[str] | None:
    """``None`` if ``resource`` meets ``rule``; else the paths of its properties that the rule looked at."""
    before = len(resource.read)
    return None if rule.holds(resource) else list(dict.fromkeys(resource.read[before:]))
