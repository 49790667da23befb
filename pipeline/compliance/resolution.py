"""What a template comes to: intrinsic functions resolved as far as anybody can before the deployment.

A template with conditions is several plain templates, its *worlds*: one for each way in which the conditions can turn
out. A rule must hold in each of them. What stays unknown in a world (a parameter, an import, a macro) stays an object,
never a string or a number, so a rule that asks for a value does not get one, and fails.

Source: CloudFormation user guide, "Intrinsic function reference" and "Pseudo parameters reference".
"""

import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

MOST_CONDITIONS = 6
"""More conditions than this make too many worlds. Then everything that depends on one is unknown."""
UNKNOWN: dict[str, str] = {"Fn::Unknown": "known at deployment only"}
LOOP = {"Type": "Fn::ForEach"}
"""Stands for the resources that a loop makes. No rule knows this kind, so it is a finding."""
NOTHING: Any = object()
"""The value of ``Ref: AWS::NoValue``: the property does not exist."""
OUTER = "../"
"""Begins the id of a resource of the parent's template, which a nested stack gets by a parameter."""
VARIABLE = re.compile(r"\$\{([^}]*)\}")
TRUE, FALSE = ("true", True), ("false", False)

World = dict[str, Any]


def worlds(document: Mapping[str, Any], parameters: Mapping[str, Any] | None = None) -> Iterator[World]:
    """The resources of each world of a template, by logical id, with resolved properties.

    ``parameters``: the values that the parent of a nested stack passes, resolved there.
    """
    conditions = sorted(_conditions(document))
    known: Mapping[str, Any] = {**_fixed(document), **(parameters or {})}
    many = len(conditions) > MOST_CONDITIONS
    if many:
        for exists in (True, False):
            yield _Resolver(document, known, {}).resources(exists=exists)
        return
    for choice in product((True, False), repeat=len(conditions)):
        yield _Resolver(document, known, dict(zip(conditions, choice, strict=True))).resources()


def flag(value: Any) -> bool | None:
    """A Boolean, which templates also write as text. ``None``: unknown, or not there."""
    text = value.lower() if isinstance(value, str) else value
    return True if text in TRUE else False if text in FALSE else None


def number(value: Any) -> int | None:
    """An integer, which templates also write as text. ``None``: unknown, or not there."""
    try:
        return None if isinstance(value, (bool, dict, list)) else int(value)
    except (TypeError, ValueError):
        return None


def text(value: Any) -> str:
    """A property as text, with ``\\0`` in the place of each part that is only known at deployment."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and "Fn::Join" in value:
        return "".join(part if isinstance(part, str) else "\0" for part in value["Fn::Join"][1])
    return "\0" if isinstance(value, dict) else str(value if value is not None else "")


def unknown(value: Any) -> bool:
    """Whether a part of ``value`` is neither known nor a reference to a resource or pseudo parameter."""
    if isinstance(value, dict):
        return "Fn::Unknown" in value or any(unknown(each) for each in value.values())
    return isinstance(value, list) and any(unknown(each) for each in value)


def outer(value: Any) -> Any:
    """``value``, as a nested stack sees it: each reference to a resource gets the prefix ``../``."""
    match value:
        case {"Ref": str(id)} if not id.startswith("AWS::"):
            return {"Ref": OUTER + id}
        case {"Fn::GetAtt": [str(id), *rest]}:
            return {"Fn::GetAtt": [OUTER + id, *rest]}
        case dict():
            return {name: outer(each) for name, each in value.items()}
        case list():
            return [outer(each) for each in value]
    return value


def _fixed(document: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that can have one value only."""
    parameters = document.get("Parameters", {})
    return {name: each["AllowedValues"][0] for name, each in parameters.items()
            if len(each.get("AllowedValues", [])) == 1}  # fmt: skip


def _conditions(value: Any, *, top: bool = True) -> set[str]:
    """The conditions on which the resources depend."""
    if top:
        resources = [each for each in value.get("Resources", {}).values() if isinstance(each, dict)]
        of_resources = {each["Condition"] for each in resources if isinstance(each.get("Condition"), str)}
        return of_resources | _conditions([each.get("Properties") for each in resources], top=False)
    match value:
        case {"Fn::If": [str(name), *branches]}:
            return {name} | _conditions(branches, top=False)
        case dict():
            return set().union(*(_conditions(each, top=False) for each in value.values()))
        case list():
            return set().union(*(_conditions(each, top=False) for each in value))
    return set()


class _Resolver:
    """Resolves the values of one world."""

    def __init__(
        self, document: Mapping[str, Any], parameters: Mapping[str, Any], conditions: Mapping[str, bool]
    ) -> None:
        self._document = document
        self._parameters = parameters
        self._conditions = conditions
        self._resources = document.get("Resources", {})

    def resources(self, *, exists: bool = True) -> World:
        """``exists``: whether a resource exists whose condition is not known."""
        bodies = {id: body if isinstance(body, dict) else LOOP for id, body in self._resources.items()}
        return {
            id: {**body, "Properties": self._properties(body.get("Properties"))}
            for id, body in bodies.items()
            if "Condition" not in body or self._conditions.get(body["Condition"], exists)
        }

    def _properties(self, value: Any) -> dict[str, Any]:
        found = self.value(value)
        return found if isinstance(found, dict) else {}

    def value(self, value: Any) -> Any:
        if isinstance(value, list):
            found = [self.value(each) for each in value]
            return [each for each in found if each is not NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(name, argument)] = value.items()
            if name in ("Ref", "Condition") or name.startswith("Fn::"):
                return self._function(name, argument)
        if any(name.startswith("Fn::") for name in value):
            return UNKNOWN  # a macro among the properties may change all of them
        found_items = {name: self.value(each) for name, each in value.items()}
        return {name: each for name, each in found_items.items() if each is not NOTHING}

    def _function(self, name: str, argument: Any) -> Any:
        try:
            return self._resolved(name, argument)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError):
            return UNKNOWN  # CloudFormation would refuse it, or nobody here knows the form

    def _resolved(self, name: str, argument: Any) -> Any:
        match name, argument:
            case "Ref", "AWS::NoValue":
                return NOTHING
            case "Ref", str(id):
                return self._reference(id, {"Ref": id})
            case "Condition", _:
                # Also a policy statement may have a condition as its only member.
                return {name: self.value(argument)}
            case "Fn::GetAtt", str(both):
                return self._reference(both.partition(".")[0], {"Fn::GetAtt": both.split(".", 1)})
            case "Fn::GetAtt", [str(id), *_]:
                return self._reference(id, {"Fn::GetAtt": argument})
        return self._computed(name, argument)

    def _computed(self, name: str, argument: Any) -> Any:
        match name, argument:
            case "Fn::If", [str(condition), yes, no]:
                return self.value(yes if self._conditions[condition] else no)
            case "Fn::Join", [str(separator), values]:
                return _joined(separator, self.value(values))
            case "Fn::Sub", [str(pattern), variables]:
                return self._substituted(pattern, self.value(variables))
            case "Fn::Sub", str(pattern):
                return self._substituted(pattern, {})
            case "Fn::Select", [index, values]:
                return self.value(values)[int(self.value(index))]
            case "Fn::Split", [str(separator), joined]:
                found = self.value(joined)
                return found.split(separator) if isinstance(found, str) else UNKNOWN
            case "Fn::FindInMap", [name, first, second, *_]:
                return self._document["Mappings"][self.value(name)][self.value(first)][self.value(second)]
        return UNKNOWN

    def _reference(self, id: str, reference: Any) -> Any:
        if id in self._parameters:
            return self._parameters[id]
        return reference if id in self._resources or id.startswith("AWS::") else UNKNOWN

    def _substituted(self, pattern: str, variables: Mapping[str, Any]) -> Any:
        parts: list[Any] = []
        end = 0
        for match in VARIABLE.finditer(pattern):
            parts.append(pattern[end : match.start()])
            name = match.group(1).strip()
            if name.startswith("!"):
                parts.append(f"${{{name[1:]}}}")
            elif name in variables:
                parts.append(variables[name])
            else:
                parts.append(self.value({"Fn::GetAtt": name} if "." in name else {"Ref": name}))
            end = match.end()
        return _joined("", [*parts, pattern[end:]])


def _joined(separator: str, values: Any) -> Any:
    """The text, or ``Fn::Join`` of its known and unknown parts with nothing between them."""
    parts: list[Any] = []
    for number_, value in enumerate(values):
        if number_:
            parts.append(separator)
        nested = isinstance(value, dict) and "Fn::Join" in value
        parts.extend(value["Fn::Join"][1] if nested else [value])
    merged: list[Any] = []
    for part in (_scalar(each) for each in parts):
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif part != "":
            merged.append(part)
    if len(merged) == 1:
        return merged[0]
    return {"Fn::Join": ["", merged]} if merged else ""


def _scalar(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    return value if isinstance(value, dict) else UNKNOWN
