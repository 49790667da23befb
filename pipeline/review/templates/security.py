"""Which properties of a resource concern security, and how the reports show their changes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.review.templates import policies
from pipeline.review.templates.difference import MISSING, Detail, Difference, Sign, spell

TYPES = re.compile(
    r"AWS::(IAM|WAFv2|KMS|Cognito|CertificateManager|SecretsManager)::|AWS::CodePipeline::Pipeline$"
    r"|AWS::EC2::(SecurityGroup|NetworkAcl)|AWS::Lambda::(Permission|Url)|.*Policy$"
)
"""Every change of these types is a security change, except names and tags. The pipeline holds the approvals."""
PROPERTIES = re.compile(
    r"Kms|KMS|SSE|Encrypt|Tls|TLS|Ssl|SSL|Certificate|Auth|Polic|Public|SecurityGroup|Principal|Role|Permission"
    r"|Scheme|Acl|ACL|AccessControl|ObjectLock|Versioning|Logging|AccessLog"
)
"""In other types, a path with one of these names makes a change a security change."""
COSMETIC = re.compile(r"^(Tags|Description|GroupDescription|AlarmDescription)\b")
RULES = {"SecurityGroupIngress": "ingress", "SecurityGroupEgress": "egress"}
RULE_TYPES = {"AWS::EC2::SecurityGroupIngress": "ingress", "AWS::EC2::SecurityGroupEgress": "egress"}
NO_PEER = {"IpProtocol", "FromPort", "ToPort", "GroupId", "Description"}
EXPOSING = re.compile(r"Publicly|MapPublicIp|AssociatePublicIp|Scheme")
"""Paths that are alarming when they are on. All others are alarming when they are off."""
CONTROLS = re.compile(r"^Rules\[|^Stages\[|Authori[sz]ation|Encrypt|SSE")
"""Paths whose removal is alarming: a rule of the firewall, an approval, authorisation, encryption."""
ON, OFF = {"true", "internet-facing"}, {"false", "none", "disabled", "suspended"}
EVERYONE = {"0.0.0.0/0", "::/0"}
PERMISSION = "AWS::Lambda::Permission"
ALWAYS_REPLACED = {*RULE_TYPES, PERMISSION}
"""Types that have no update: a changed rule is shown as one removed and one added, not as a replacement."""


@dataclass(frozen=True)
class Rule:
    """A security group's rule. ``direction`` is ``ingress`` or ``egress``. ``peers`` are the sources or targets."""

    direction: str
    traffic: str
    peers: tuple[str, ...]
    group: str

    @property
    def open_to_everyone(self) -> bool:
        return self.direction == "ingress" and bool(EVERYONE & {*self.peers})

    def __str__(self) -> str:
        if not self.traffic:
            return f"{self.direction} {self.peers[0]}"
        towards = "from" if self.direction == "ingress" else "to"
        return f"{self.direction} {self.traffic} {towards} {', '.join(self.peers) or '?'}{self.group}"


def is_security(type: str) -> bool:
    return bool(TYPES.match(type))


def bears(type: str, difference: Difference) -> bool:
    """Whether ``difference``, in a resource of ``type``, belongs among the security changes."""
    if COSMETIC.match(difference.path) or difference.only_hash:
        return False
    return is_security(type) or bool(PROPERTIES.search(difference.path))


def as_detail(difference: Difference) -> Detail:
    """``difference`` as a line. It is alarming if a control is off, removed or open afterwards."""
    after = "" if difference.after is MISSING else spell(difference.after).lower()
    exposing = bool(EXPOSING.search(difference.path))
    off = after in OFF or (difference.after is MISSING and bool(CONTROLS.search(difference.path)))
    return Detail(difference.sign, str(difference), alarming=after in ON if exposing else off)


def details(type: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Detail]:
    """Statements and rules that differ. A missing resource has no properties."""
    if type == PERMISSION:
        old, new = ([policies.permission(each)] if each else [] for each in (before, after))
        yield from policies.compare(old, new, policies.USUAL)
    if type in RULE_TYPES:
        old_rule, new_rule = (_rule(RULE_TYPES[type], each) if each else None for each in (before, after))
        if old_rule != new_rule:
            yield from (_rule_detail("-", each) for each in [old_rule] if each)
            yield from (_rule_detail("+", each) for each in [new_rule] if each)
    for name, direction in RULES.items():
        was, now = ({_rule(direction, each) for each in _list(side.get(name))} for side in (before, after))
        yield from (_rule_detail("-", each) for each in sorted(was - now, key=str))
        yield from (_rule_detail("+", each) for each in sorted(now - was, key=str))
    old_documents, new_documents = dict(policies.documents(before)), dict(policies.documents(after))
    for path in dict.fromkeys([*old_documents, *new_documents]):
        old_document, new_document = old_documents.get(path), new_documents.get(path)
        yield from policies.version(old_document, new_document, path)
        yield from policies.compare(policies.statements(old_document), policies.statements(new_document), path)


def rest(type: str, properties: dict[str, Any]) -> dict[str, Any]:
    """``properties`` without those that ``details`` reports."""
    if type == PERMISSION or type in RULE_TYPES:
        return {}
    kept = {key: value for key, value in properties.items() if key not in RULES or not isinstance(value, list)}
    remaining = policies.without_documents(kept)
    assert isinstance(remaining, dict)  # noqa: S101  (for the type checker)
    return remaining


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _rule_detail(sign: Sign, rule: Rule) -> Detail:
    alarming = sign == "+" and rule.open_to_everyone
    return Detail(sign, f"{rule}{' ← open to everyone' if alarming else ''}", alarming=alarming)


def _rule(direction: str, rule: Any) -> Rule:
    if not isinstance(rule, dict):
        return Rule(direction, "", (spell(rule),), "")
    protocol, low, high = (rule.get(key) for key in ("IpProtocol", "FromPort", "ToPort"))
    ports = "all ports" if low is None else f"{low}" if low == high else f"{low}-{high}"
    traffic = "all traffic" if str(protocol) == "-1" else f"{protocol} {ports}"
    peers = tuple(spell(each) for key, each in rule.items() if key not in NO_PEER)
    return Rule(direction, traffic, peers, f" at {rule['GroupId']}" if "GroupId" in rule else "")
