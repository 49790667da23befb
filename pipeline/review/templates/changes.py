"""What happens to each resource when the templates of head are deployed over those of base."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pipeline.review.templates import security
from pipeline.review.templates.difference import Detail, Difference, differences, spell
from pipeline.review.templates.intrinsics import readable
from pipeline.review.templates.pairing import Pair, Pairing
from pipeline.review.templates.provider import fate, is_stateful
from pipeline.review.templates.replacement import Replacement, replacements
from pipeline.review.templates.stack import Resource, Stack, pairs

RETENTION = ("DeletionPolicy", "UpdateReplacePolicy")
KEEPS = ("Retain", "RetainExceptOnCreate", "Snapshot")
PROTECTIONS = ("DeletionProtection", "DeletionProtectionEnabled", "LoadBalancerAttributes[deletion_protection.enabled]")
CODE = ("Code.S3Key", "Content.S3Key")
"""Of functions and layers."""
STACK = "stack"
"""The type of a change to the stack itself, not to a resource."""


class Section(StrEnum):
    """The sections of a report, in their order."""

    SECURITY = "security"
    STATEFUL = "stateful"
    REPLACEMENT = "replacement"
    REST = "rest"


class Action(StrEnum):
    """What happens to a resource or a stack. The reports print the value."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    REPLACED = "replaced"
    MAY_BE_REPLACED = "may be replaced"
    DELETED = "deleted"
    """Together with its data."""
    LOSES_PROTECTION = "loses protection"
    HAS_ANOTHER_TYPE = "has another type"
    NEW_VERSION = "new version"
    NEW_CODE = "new code"
    ENVIRONMENT_ADDED = "environment added"
    ENVIRONMENT_REMOVED = "environment removed"

    @property
    def certain(self) -> bool:
        return self is not Action.MAY_BE_REPLACED


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change of one resource in one environment."""

    section: Section
    environment: str
    action: Action
    type: str
    construct: str
    """The construct's path below the stack."""
    details: tuple[Detail, ...] = ()


def compare(base: Mapping[str, Stack], head: Mapping[str, Stack]) -> list[Change]:
    """All changes, environment by environment."""
    found: list[Change] = []
    for before, after in pairs(base, head):
        if before and after:
            found += StackChanges(before, after).all()
        elif after:
            found.append(_stack_added(after))
        elif before:
            found.append(_stack_removed(before))
    return found


class StackChanges:
    """The changes of one stack that both sides have."""

    def __init__(self, base: Stack, head: Stack) -> None:
        self.base, self.head = base, head
        self.pairing = Pairing(base, head)
        self.replacements = replacements(self.pairing)

    def all(self) -> Iterator[Change]:
        yield from self._of_the_stack()
        for pair in self.pairing.pairs:
            if pair.renewed:
                yield self._change(Section.REST, Action.NEW_VERSION, pair.new_id, pair.new)
            elif replacement := self.replacements.get(pair.new_id):
                yield from self._replaced(pair, replacement)
            yield from self._changed(pair)
        for id, resource in self.pairing.removed.items():
            yield self._removed(id, resource)
        for id, resource in self.pairing.added.items():
            yield from self._added(id, resource)

    def _of_the_stack(self) -> Iterator[Change]:
        if self.base.termination_protection and not self.head.termination_protection:
            off = Detail("-", "termination protection", alarming=True)
            yield _of_stack(self.head, Section.STATEFUL, Action.LOSES_PROTECTION, self.head.name, [off])
        for part in sorted({*self.base.template, *self.head.template} - {"Resources"}):
            before = readable(self.base.template.get(part, {}), self.pairing.base_names)
            after = readable(self.head.template.get(part, {}), self.pairing.head_names)
            if details := [*map(_told, differences(before, after))]:
                yield _of_stack(self.head, Section.REST, Action.CHANGED, part, details)

    def _replaced(self, pair: Pair, replacement: Replacement) -> Iterator[Change]:
        section, details = Section.REPLACEMENT, [*replacement.causes]
        if is_stateful(pair.type):
            # For CloudFormation, a new logical id is a deletion and an addition. The deletion obeys the deployed
            # template, so the policy in base counts.
            end = fate(pair.old, "DeletionPolicy") if pair.renamed else fate(pair.new, "UpdateReplacePolicy")
            section = Section.STATEFUL
            details.append(Detail(" ", f"the new one is empty; {end}", alarming=True))
        if pair.renamed or pair.type not in security.ALWAYS_REPLACED:
            action = Action.REPLACED if replacement.certain else Action.MAY_BE_REPLACED
            yield self._change(section, action, pair.new_id, pair.new, details)

    def _changed(self, pair: Pair) -> Iterator[Change]:
        """The differences of a resource, each in its section."""
        before, after = self.pairing.before(pair.old), self.pairing.after(pair.new)
        others = list(differences(security.rest(pair.type, before), security.rest(pair.type, after)))
        off = [each for each in others if _protection_off(each)]
        code = [each for each in others if each.path in CODE and each.only_hash]
        serious = [each for each in others if each not in off and security.bears(pair.type, each)]
        remaining = [each for each in others if each not in (*off, *code, *serious)]
        replacement = self.replacements.get(pair.new_id)
        causes = replacement.causes if replacement else ()
        told = (
            (
                Section.SECURITY,
                Action.CHANGED,
                [*security.details(pair.type, before, after), *map(security.as_detail, serious)],
            ),
            (Section.STATEFUL, Action.LOSES_PROTECTION, [*_lost_retention(pair).values(), *map(_told, off)]),
            (
                Section.REST,
                Action.CHANGED,
                [each for each in (*map(_told, remaining), *_attributes(pair)) if each not in causes],
            ),
        )
        for section, action, details in told:
            if details:
                yield self._change(section, action, pair.new_id, pair.new, details)
        if code:
            yield self._change(Section.REST, Action.NEW_CODE, pair.new_id, pair.new)

    def _removed(self, id: str, resource: Resource) -> Change:
        type = resource["Type"]
        if is_stateful(type):
            end = Detail(" ", fate(resource, "DeletionPolicy"), alarming=True)
            return self._change(Section.STATEFUL, Action.DELETED, id, resource, [end])
        details = [*security.details(type, self.pairing.before(resource), {})]
        section = Section.SECURITY if details or security.is_security(type) else Section.REST
        return self._change(section, Action.REMOVED, id, resource, details)

    def _added(self, id: str, resource: Resource) -> Iterator[Change]:
        type, properties = resource["Type"], self.pairing.after(resource)
        if id in self.base.resources:
            # CloudFormation refuses to change the type of a logical id.
            was = Detail("!", f"type: {self.base.resources[id]['Type']} → {type}", alarming=True)
            yield self._change(Section.REPLACEMENT, Action.HAS_ANOTHER_TYPE, id, resource, [was])
        others = differences({}, security.rest(type, properties))
        serious = [security.as_detail(each) for each in others if security.bears(type, each)]
        if not security.is_security(type):
            # Of a new resource, only alarming properties are worth a line.
            serious = [each for each in serious if each.alarming]
        details = [*security.details(type, {}, properties), *serious]
        section = Section.SECURITY if details or security.is_security(type) else Section.REST
        yield self._change(section, Action.ADDED, id, resource, details)

    def _change(
        self, section: Section, action: Action, id: str, resource: Resource, details: Iterable[Detail] = ()
    ) -> Change:
        # The name comes from the template with this resource. `is` finds that template, because the same id may have
        # another type in the other one.
        names = self.pairing.base_names if resource is self.pairing.removed.get(id) else self.pairing.head_names
        return Change(
            section=section,
            environment=self.head.environment,
            action=action,
            type=resource["Type"],
            construct=names[id] + _function_name(resource),
            details=tuple(details),
        )


def _function_name(resource: Resource) -> str:
    name = resource.get("Properties", {}).get("FunctionName")
    return f" ({name})" if resource["Type"] == "AWS::Lambda::Function" and isinstance(name, str) else ""


def _told(difference: Difference) -> Detail:
    return Detail(difference.sign, str(difference))


def _protection_off(difference: Difference) -> bool:
    return difference.path.removesuffix(".Value") in PROTECTIONS and "true" in spell(difference.before).lower()


def _lost_retention(pair: Pair) -> dict[str, Detail]:
    """By attribute."""
    lost = {}
    for attribute in RETENTION:
        before, after = (side.get(attribute, "none") for side in (pair.old, pair.new))
        if before in KEEPS and after not in KEEPS:
            lost[attribute] = Detail("-", f"{attribute}: {before} → {after}", alarming=True)
    return lost


def _attributes(pair: Pair) -> Iterator[Detail]:
    """Attributes beside ``Properties`` that differ. ``_lost_retention`` reports a lost protection of data."""
    ignored = {"Type", "Properties", "Metadata", "DependsOn", *_lost_retention(pair)}
    before, after = ({key: each for key, each in side.items() if key not in ignored} for side in (pair.old, pair.new))
    yield from map(_told, differences(before, after))


def _stack_added(stack: Stack) -> Change:
    text = f"{len(stack.resources)} resources, {_stateful_count(stack)} of them stateful; nothing to compare them with"
    return _of_stack(stack, Section.SECURITY, Action.ENVIRONMENT_ADDED, stack.name, [Detail("+", text)])


def _stack_removed(stack: Stack) -> Change:
    text = (
        f"{len(stack.resources)} resources, {_stateful_count(stack)} of them stateful, are deployed no more; "
        "CDK Pipelines does not delete the stack: they run on until somebody does"
    )
    return _of_stack(
        stack, Section.STATEFUL, Action.ENVIRONMENT_REMOVED, stack.name, [Detail("-", text, alarming=True)]
    )


def _of_stack(stack: Stack, section: Section, action: Action, what: str, details: Iterable[Detail]) -> Change:
    return Change(
        section=section,
        environment=stack.environment,
        action=action,
        type=STACK,
        construct=what,
        details=tuple(details),
    )


def _stateful_count(stack: Stack) -> int:
    return sum(is_stateful(resource["Type"]) for resource in stack.resources.values())
