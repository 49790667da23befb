"""A rule pack over synthesised templates, which are the input of CloudFormation and include property overrides.

cdk-nag's rules read constructs, which keep the former value of an overridden property. A rule in Python would also call
Node for each property that it reads. A template is read once.

Rules see resolved templates (resolution.py), those of nested stacks too. A rule must hold in every world of a template.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
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

from pipeline.assembly import references, top_level_stacks
from pipeline.compliance.resolution import OUTER, outer, worlds

ANYWHERE = "aws://unknown-account/unknown-region"
"""The environment of a stack that names none, as a manifest has it."""
NESTED = "AWS::CloudFormation::Stack"
EVERY_KIND = "*"
"""In the place of a rule's kinds: the rule is about every resource."""


class Template:
    """The resources of a CloudFormation template. ``parent``: the template of the stack that this one is nested in.

    ``environment``: the stack's account and region.
    """

    def __init__(
        self, document: Mapping[str, Any], parent: "Template | None" = None, *, environment: str = ANYWHERE
    ) -> None:
        self.environment = environment
        self.resources = [Resource(id, each, self) for id, each in document.get("Resources", {}).items()]
        self._by_id = {each.id: each for each in self.resources}
        self._parent = parent
        self.unread: set[str] = set()
        """Logical ids of the nested stacks whose template is not there."""

    def of(self, *kinds: str) -> "list[Resource]":
        return [each for each in self.resources if each.kind in kinds or EVERY_KIND in kinds]

    def find(self, id: str) -> "Resource | None":
        """The resource with this logical id. ``../`` at its beginning: it is one of the parent's template."""
        if id.startswith(OUTER):
            return self._parent.find(id.removeprefix(OUTER)) if self._parent else None
        return self._by_id.get(id)

    def referred(self, value: Any) -> "list[Resource]":
        """The resources that ``value`` refers to."""
        return [found for id in references(value) if (found := self.find(id))]


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
        return str(self.body.get("Type"))

    @property
    def construct_path(self) -> str:
        return str(self.body.get("Metadata", {}).get("aws:cdk:path", self.id))

    def get(self, path: str) -> Any:
        """The property at a path such as ``A.B.0.C``; ``None`` when it does not exist.

        A property in something unknown is unknown.
        """
        self.read.append(path)
        found: Any = self.body.get("Properties", {})
        for part in path.split("."):
            if isinstance(found, dict) and "Fn::Unknown" in found:
                return found
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
        """Logical ids of the resources that this one refers to. A tag connects nothing, so tags do not count."""
        properties = self.body.get("Properties", {})
        return frozenset(references({name: each for name, each in properties.items() if name != "Tags"}))

    def referrers(self, *kinds: str, by: str = "") -> "list[Resource]":
        """The resources of these kinds that refer to this one: anywhere, or in the property at the path ``by``."""
        return [
            each
            for each in self.template.of(*kinds)
            if self.id in (frozenset(references(each.get(by))) if by else each.names)
        ]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A condition on the resources of some kinds."""

    requirement: str
    name: str
    kinds: tuple[str, ...]
    fault: str
    """What is wrong where the condition does not hold, as one sentence."""
    holds: Callable[[Resource], bool]


Finding = tuple[Rule, Resource, list[str]]
"""A broken rule, the resource, and the paths of its properties that the rule looked at."""


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
            file = Path(path)
            found = self.broken(json.loads(file.read_text()), file.parent, environment=_environment(file))
            self.found.update((self.long_id(rule), each.construct_path) for rule, each, _ in found)
            for rule in self._rules:
                if broken := {each: read for of, each, read in found if of is rule}:
                    violations.append(self._violation(rule, broken, path))
        return Report(success=not violations, violations=violations)

    def broken(self, document: Mapping[str, Any], folder: Path, *, environment: str = ANYWHERE) -> list[Finding]:
        """The findings in a template, each once. ``folder``: where its nested templates are."""
        found: dict[tuple[str, str], Finding] = {}
        for template in _templates(document, folder, environment):
            for rule in self._rules:
                for each in template.of(*rule.kinds):
                    if (read := _broken(rule, each)) is not None:
                        found.setdefault((self._id(rule), each.construct_path), (rule, each, read))
        return list(found.values())

    def long_id(self, rule: Rule) -> str:
        """The id of a finding, as acknowledgements name it."""
        return f"{self._name}::{self._id(rule)}"

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


def _environment(template: Path) -> str:
    """The environment of the stack that has this template, as the manifest beside it says."""
    stacks = top_level_stacks(template.parent)
    return next((each.environment for each in stacks if each.template_file == template), ANYWHERE)


def _broken(rule: Rule, resource: Resource) -> list[str] | None:
    """``None`` if ``resource`` meets ``rule``; else the paths of its properties that the rule looked at.

    A value of a form that the rule does not expect is a finding, because CloudFormation may still take it.
    """
    before = len(resource.read)
    try:
        holds = rule.holds(resource)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError):
        holds = False
    return None if holds else list(dict.fromkeys(resource.read[before:]))


def nested_file(stack: Resource, folder: Path) -> Path | None:
    """The template of a nested stack, which CDK writes beside its parent's in ``folder``. ``None``: it is not there."""
    name = stack.body.get("Metadata", {}).get("aws:asset:path")
    file = folder / Path(name).name if name else None
    return file if file and file.is_file() else None


def _nested_document(stack: Resource, folder: Path) -> dict[str, Any] | None:
    file = nested_file(stack, folder)
    try:
        found = json.loads(file.read_text()) if file else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _templates(
    document: Mapping[str, Any],
    folder: Path,
    environment: str,
    parameters: Mapping[str, Any] | None = None,
    parent: Template | None = None,
) -> Iterator[Template]:
    """Every world of a template, each followed by those of its nested stacks."""
    for resources in worlds(document, parameters):
        template = Template({"Resources": resources}, parent, environment=environment)
        nested = [(stack, _nested_document(stack, folder)) for stack in template.of(NESTED)]
        template.unread.update(stack.id for stack, found in nested if found is None)
        yield template
        for stack, found in nested:
            if found is not None:
                yield from _templates(found, folder, environment, outer(stack.get("Parameters") or {}), template)
