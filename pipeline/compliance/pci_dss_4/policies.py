"""What a policy document says: its statements, whom they admit and to what. Shared by several subjects.

Source: AWS IAM user guide, "IAM JSON policy element reference".
"""

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from pipeline.compliance.resolution import UNKNOWN, flag, text, unknown
from pipeline.compliance.template_pack import Resource

WILDCARDS = re.compile(r"[*?]")
LIMITING_KEYS = frozenset(
    [
        "aws:principalaccount",
        "aws:principalarn",
        "aws:principalorgid",
        "aws:principalorgpaths",
        "aws:sourceaccount",
        "aws:sourcearn",
        "aws:sourceorgid",
        "aws:sourcevpc",
        "aws:sourcevpce",
        "aws:sourceowner",
        "kms:calleraccount",
        "elasticfilesystem:accessedviamounttarget",
    ]
)
"""Condition keys that tell who calls. ``aws:SecureTransport`` and the like are true of anybody."""
LIMITING_OPERATORS = frozenset({"stringequals", "stringlike", "arnequals", "arnlike", "bool"})
"""Without ``IfExists``, ``ForAllValues`` and negation: those are true of a caller who does not send the key."""

DOCUMENT = re.compile(
    r"(\w*Resource|\w*Access|Key|FileSystem|Repository)?Policy|\w*Policy(Document|Text)|AccessPolicies"
)
"""Names of properties that hold a policy document, so that an unknown one is found there."""

Statement = dict[str, Any]


class NotReadable(ValueError):
    """A document that is not there, or only known at deployment."""


def documents(value: Any, name: str = "") -> Iterator[Any]:
    """Each policy document in ``value``, the property ``name``: at any depth, and also where it is text."""
    match value:
        case {"Fn::Unknown": _}:
            if DOCUMENT.fullmatch(name):
                yield value
        case str() | {"Fn::Join": _}:
            yield from documents(_parsed(value), name)
        case {"Statement": found} if _are_statements(found, value):
            yield value
        case dict():
            for key, each in value.items():
                yield from documents(each, key)
        case list():
            for each in value:
                yield from documents(each, name)


def _parsed(value: Any) -> Any:
    """What a text says as JSON, ``None`` if it is none. What is unknown in it may be anybody."""
    parts = value["Fn::Join"][1] if isinstance(value, dict) else [value]
    said = "".join("*" if unknown(each) else text(each) for each in parts)
    if not said.lstrip().startswith(("{", "[")):
        return UNKNOWN if unknown(value) else None
    try:
        return json.loads(said, strict=False)
    except ValueError:
        return UNKNOWN if unknown(value) or "Statement" in said else None


def _are_statements(found: Any, document: dict[str, Any]) -> bool:
    """Whether these are a policy's. A firewall's rules have a ``Statement``, too, but no effect in it."""
    each_of = as_list(found)
    if any(isinstance(each, dict) and "Effect" in each for each in each_of):
        return True
    return UNKNOWN in each_of and set(document) <= {"Version", "Id", "Statement"}


def statements(document: Any) -> list[Statement]:
    """The statements of a policy. Raises ``NotReadable``."""
    if isinstance(document, str):
        document = json.loads(document)
    if not isinstance(document, dict) or "Statement" not in document:
        raise NotReadable(document)
    found = document["Statement"]
    for each in found if isinstance(found, list) else [found]:
        if not isinstance(each, dict) or each.get("Effect") not in ("Allow", "Deny"):
            raise NotReadable(each)
    return found if isinstance(found, list) else [found]


def allowing(document: Any) -> list[Statement]:
    return [each for each in statements(document) if each["Effect"] == "Allow"]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def admits_anybody(statement: Statement) -> bool:
    """Whether a statement that allows admits principals that nobody named."""
    principal, condition = statement.get("Principal"), statement.get("Condition")
    if "NotPrincipal" in statement or unknown(principal):
        return True
    if isinstance(principal, dict) and any(map(_shared, as_list(principal.get("Federated")))):
        return not _names_subject(condition)
    return _anybody(principal) and not _limits(condition)


def _anybody(principal: Any) -> bool:
    match principal:
        case None:
            return True
        case dict():
            return any(bool(WILDCARDS.search(text(name))) for of in principal.values() for name in as_list(of))
    return any(bool(WILDCARDS.search(text(name))) for name in as_list(principal))


def _shared(provider: Any) -> bool:
    """Whether an identity provider may have users of other companies: all have, but one that speaks SAML."""
    return ":saml-provider/" not in text(provider)


def _names_subject(condition: Any) -> bool:
    """Whether a condition names whose user it is, such as a repository. Many repositories have the same audience."""
    return any(
        operator.lower() in ("stringequals", "stringlike")
        and key.lower().endswith((":sub", "cognito-identity.amazonaws.com:aud"))
        and all(not unknown(each) and _owner(each) for each in as_list(values))
        for operator, keys in (condition or {}).items()
        for key, values in keys.items()
    )


def _owner(subject: Any) -> bool:
    """Whether the owner stands before any wildcard: ``repo:owner/*``, and not ``repo:*`` or ``repo:owner*``."""
    before, wildcard, _ = re.split(r"([*?]|$)", text(subject), maxsplit=1)
    return "/" in before if wildcard else bool(before)


def _limits(condition: Any) -> bool:
    """Whether a condition is true of known callers only."""
    if not isinstance(condition, dict):
        return False
    return any(
        operator.lower() in LIMITING_OPERATORS and key.lower() in LIMITING_KEYS and _narrow(values)
        for operator, keys in condition.items()
        for key, values in keys.items()
    )


def _narrow(values: Any) -> bool:
    """Whether each value names an owner: an account, an organisation, a network, a bucket."""
    return bool(as_list(values)) and all(not unknown(each) and names_owner(text(each)) for each in as_list(values))


def names_owner(value: str) -> bool:
    """Whether an ARN or id says without a wildcard whose it is. An ARN says so by its account, if it has one."""
    parts = value.split(":", 5)
    owner = (parts[4] or parts[5]) if len(parts) == 6 else value
    first = owner.partition("/")[0]
    return bool(first) and not WILDCARDS.search(first)


def covers(patterns: Any, action: str) -> bool:
    """Whether one of the patterns of ``Action`` matches the action, or the pattern of actions."""
    return any(fnmatchcase(action.lower(), text(each).lower()) for each in as_list(patterns))


def refuses_plain_text(resource: Resource, kind: str, by: str, *actions: str, inside: bool = False) -> bool:
    """Whether a policy of this kind, attached by the property ``by``, denies all requests without TLS.

    ``actions``: what the deny must cover. ``inside``: it must cover the objects in the resource, too.
    """
    return any(
        _denies_plain_text(each, resource, actions, inside)
        for policy in resource.referrers(kind, by=by)
        for each in statements(policy.get("PolicyDocument"))
    )


def _denies_plain_text(statement: Statement, resource: Resource, actions: tuple[str, ...], inside: bool) -> bool:
    if statement["Effect"] != "Deny" or statement.get("Principal") not in ("*", {"AWS": "*"}, {"AWS": ["*"]}):
        return False
    match statement.get("Condition"):
        case {"Bool": {**keys}, **more} if not more and [str(key).lower() for key in keys] == ["aws:securetransport"]:
            values = [flag(each) for each in as_list(next(iter(keys.values())))]
        case _:
            return False
    if values != [False] or not all(covers(statement.get("Action"), each) for each in actions):
        return False
    covered = list(_covered(statement.get("Resource"), resource))
    return "itself" in covered and (not inside or "inside" in covered)


def _covered(patterns: Any, resource: Resource) -> Iterator[str]:
    for each in as_list(patterns):
        if each == "*":
            yield from ("itself", "inside")
        elif resource in resource.template.referred(each):
            parts = each.get("Fn::Join", ["", [each]])[1]
            if len(parts) == 1:
                yield "itself"
            elif parts[-1] == "/*" or parts[-1] == "*":
                yield from ("inside", "itself") if parts[-1] == "*" else ("inside",)
