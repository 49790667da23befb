"""The override of an environment's fraud rules: what it says, whom it touches, and its history."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3

import names
from lambdas.payments.rules import BadRules, Rules, in_force, version_of
from names import Colour, Function, Parameter
from pipeline.aws import PlatformOutputs
from stages.parameters import NO_OVERRIDE

MOST_REASON = 300
_MOST_BYTES = 4096
_HISTORY = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """The rules that one of the two versions of the functions ships."""

    colour: Colour
    functions: str
    """Its versions, such as ``12``, or ``validation 11, processing 12``."""
    rules: frozenset[str]
    """Versions of rules. Empty: the functions are older than these commands, and follow the whole parameter."""

    @property
    def role(self) -> str:
        return "stable" if self.colour is Colour.STABLE else "candidate"


class Parameters:
    """The parameter of the fraud rules of ``environment``."""

    def __init__(self, aws: boto3.Session, environment: str) -> None:
        self._aws = aws
        self._environment = environment
        self.name = Parameter.FRAUD_RULES.of(environment)
        self._ssm = aws.client("ssm")

    def read(self) -> tuple[str, int]:
        """The value and its number in the parameter's history."""
        found = self._ssm.get_parameter(Name=self.name)["Parameter"]
        return found["Value"], found["Version"]

    def write(self, value: str) -> int:
        """Returns the number of the new value."""
        number: int = self._ssm.put_parameter(Name=self.name, Value=value, Type="String", Overwrite=True)["Version"]
        return number

    def history(self) -> list[dict[str, Any]]:
        """The last values, newest first: ``number``, ``changed`` (UTC), ``user`` as AWS knows it, and ``value``."""
        pages = self._ssm.get_paginator("get_parameter_history").paginate(Name=self.name)
        found: list[dict[str, Any]] = [
            {
                "number": each["Version"],
                "changed": each["LastModifiedDate"].astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"),
                "user": each.get("LastModifiedUser", "unknown"),
                "value": each["Value"],
            }
            for page in pages
            for each in page["Parameters"]
        ]
        return sorted(found, key=lambda each: int(each["number"]), reverse=True)[:_HISTORY]

    def who(self) -> str:
        """The caller, as AWS knows it."""
        arn: str = self._aws.client("sts").get_caller_identity()["Arn"]
        return arn

    def deployed(self) -> list[Deployed]:
        """Stable, then candidate."""
        outputs = PlatformOutputs.read(names.stack(self._environment), self._aws)
        return [self._version(outputs, colour) for colour in Colour]

    def _version(self, outputs: PlatformOutputs, colour: Colour) -> Deployed:
        client = self._aws.client("lambda")
        versions: dict[Function, str] = {}
        rules: set[str] = set()
        for function in Function:
            name = outputs[function.name_output]
            version = client.get_alias(FunctionName=name, Name=colour)["FunctionVersion"]
            configuration = client.get_function_configuration(FunctionName=name, Qualifier=version)
            versions[function] = version
            variables = configuration.get("Environment", {}).get("Variables", {})
            rules |= {variables[name] for name in variables if name == names.RULES_VERSION}
        different = len(set(versions.values())) > 1
        shown = ", ".join(f"{f} {v}" for f, v in versions.items()) if different else next(iter(versions.values()))
        return Deployed(colour=colour, functions=shown, rules=frozenset(rules))


def override_of(value: str) -> dict[str, Any] | None:
    """``by``, ``at``, ``reason`` and ``replaces`` of the override in the parameter's value, if it has one."""
    try:
        document = json.loads(value)
    except ValueError:
        return None
    found = document.get("override") if isinstance(document, dict) else None
    return found if isinstance(found, dict) else None


def made(rules: Mapping[str, Any], replaces: frozenset[str], by: str, reason: str) -> str:
    """The parameter's value for an override by ``rules``. Raises ``ValueError`` when it is too long."""
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    override = {"replaces": sorted(replaces), "by": by, "at": at, "reason": reason}
    value = json.dumps({"override": override, **rules}, separators=(",", ":"))
    if (size := len(value.encode())) > _MOST_BYTES:
        raise ValueError(f"the override has {size:,} bytes; a parameter holds {_MOST_BYTES:,}")
    return value


def withdrawn(by: str, reason: str) -> str:
    """The parameter's value without an override. It replaces no rules, and says who withdrew the last one, and why."""
    return made(json.loads(NO_OVERRIDE), frozenset(), by, reason)


def effect(value: str, deployed: Deployed) -> str:
    """What a version does with the parameter's value, in a few words."""
    if not deployed.rules:
        return "older than overrides: follows the whole parameter"
    said = {_effect(value, shipped) for shipped in deployed.rules}
    return "; ".join(sorted(said))


def _effect(value: str, shipped: str) -> str:
    own = Rules(review_at=1, decline_at=1, values={}, version=f"shipped-{shipped}")
    try:
        rules = in_force(value, own)
    except BadRules as bad:
        return f"ships rules {shipped}, and follows its last good rules, because the parameter is wrong: {bad}"
    if rules is own:
        return f"ships rules {shipped}: follows them"
    return f"ships rules {shipped}: follows override {version_of(value)} instead"


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """The differences of two documents of rules, one a line."""
    old, new = _flat(before), _flat(after)
    for path in sorted(old.keys() | new.keys()):
        if old.get(path) != new.get(path):
            yield f"{path}: {old.get(path, 'off')} -> {new.get(path, 'off')}"


def _flat(document: Mapping[str, Any]) -> dict[str, int]:
    rules = document.get("rules", {})
    flat = {f"rules.{rule}.{field}": value for rule, values in rules.items() for field, value in values.items()}
    return flat | {name: value for name, value in document.items() if isinstance(value, int)}
