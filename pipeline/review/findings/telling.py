"""The findings of a failed synthesis as text: each rule once, with resource, property, value and line of the change."""

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from pipeline.assembly import all_stacks
from pipeline.compliance.acknowledgements import ENVIRONMENTS, PLACEHOLDER, PLATFORM, STALE_CHECK
from pipeline.compliance.template_pack import Resource, Template
from pipeline.review.findings.reading import Finding

_TELLING = {
    "AWS::EC2::SecurityGroup": ("SecurityGroupIngress", "SecurityGroupEgress"),
    "AWS::EC2::SecurityGroupIngress": ("CidrIp", "IpProtocol", "FromPort", "ToPort"),
    "AWS::EC2::SecurityGroupEgress": ("CidrIp", "IpProtocol", "FromPort", "ToPort"),
}
"""The properties of a resource that are shown when no rule names those that it looked at: cdk-nag's do not."""
_LONGEST_VALUE = 160
"""Characters."""


def tell(findings: Iterable[Finding], assembly: Path) -> str:
    """What is wrong in ``assembly``, and what to do; empty if each of the ``findings`` is acknowledged.

    Findings with the same rules, at the same construct of several environments, are told together.
    """
    resources = {
        each.construct_path: each for stack in all_stacks(assembly) for each in Template(stack.template()).resources
    }
    stale: list[Finding] = []
    faults: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.pack == STALE_CHECK:
            stale.append(finding)
        elif finding.reason is None:
            faults.setdefault(finding.construct, []).append(finding)
    texts = [_block(constructs, resources) for constructs in _blocks(faults)]
    texts += sorted({f"✘ {each.description}" for each in stale})
    if not texts:
        return ""
    number = f"{len(texts)} fault{'' if len(texts) == 1 else 's'}"
    return "\n\n".join([f"The synthesis failed: {number} in the constructs or acknowledgements.", *texts])


@dataclass(frozen=True, kw_only=True)
class _Construct:
    """A construct with findings, and the environments in which it has the same ones."""

    name: str
    """Its path, as the table of acknowledgements names it."""
    rules: tuple[str, ...]
    findings: Sequence[Finding]
    """Those of the first environment."""
    environments: list[str]
    """Empty for a construct outside the platforms."""


def _blocks(faults: Mapping[str, list[Finding]]) -> list[list[_Construct]]:
    """The constructs with the same rules in the same environments, together."""
    constructs: dict[tuple[str, tuple[str, ...]], _Construct] = {}
    for path, members in faults.items():
        stage, _, inside = path.partition("/")
        environment = stage.lower() if inside.startswith(f"{PLATFORM}/") else ""
        name = _general(inside, environment) if environment else path
        # A rule that says what it looked at comes first.
        first = sorted(members, key=lambda each: (not each.properties, each.rule))
        rules = tuple(_general(each.rule, environment) for each in first)
        new = _Construct(name=name, rules=rules, findings=first, environments=[])
        constructs.setdefault((name, rules), new).environments.extend([environment] if environment else [])
    blocks: dict[tuple[tuple[str, ...], frozenset[str]], list[_Construct]] = {}
    for each in constructs.values():
        blocks.setdefault((each.rules, frozenset(each.environments)), []).append(each)
    return list(blocks.values())


def _general(text: str, environment: str) -> str:
    """``text`` with the placeholder of the table where it names its environment."""
    return re.sub(rf"(?<![a-z]){re.escape(environment)}(?![a-z])", PLACEHOLDER, text) if environment else text


def _block(constructs: Sequence[_Construct], resources: Mapping[str, Resource]) -> str:
    first = constructs[0]
    known = [each for each in ENVIRONMENTS if each in first.environments]
    environments = [*known, *sorted(set(first.environments) - set(known))]
    where = f"  ({', '.join(environments)})" if environments else ""
    lines = [f"✘ {_fault(first.findings[0])}{where}"]
    for each in constructs:
        resource = resources.get(each.findings[0].construct)
        lines.append(f"    {f'{resource.kind} ' if resource else ''}{each.name}")
        lines += [f"      {name} = {value}" for name, value in _values(resource, each.findings)]
        lines += [f"      {place}" for place in dict.fromkeys(f"{f.file}:{f.line}" for f in each.findings if f.file)]
    lines += [f"    {rule}: {_fault(finding)}" for rule, finding in zip(first.rules, first.findings, strict=True)]
    options = [("--construct", each.name) for each in constructs] + [("--finding", rule) for rule in first.rules]
    if known and len(known) < len(ENVIRONMENTS):
        options += [("--env", each) for each in known]
    command = shlex.join(["python", "-m", "pipeline.compliance", "acknowledge", *chain.from_iterable(options)])
    return "\n".join([*lines, f"  Fix it, or accept it: {command}"])


def _fault(finding: Finding) -> str:
    """The description without the list of controls that rule packs append, and without the full stop."""
    return re.sub(r" - \(Control IDs.*| \(requirement .*", "", finding.description).rstrip(". ")


def _values(resource: Resource | None, findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """Properties and their values, as JSON."""
    if resource is None:
        return []
    named = [path for each in findings for path in each.properties]
    return [
        (path, _value(resource.get(path)))
        for path in dict.fromkeys(named or _TELLING.get(resource.kind, ()))
        if named or resource.get(path) is not None
    ]


def _value(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        value = [{name: part for name, part in each.items() if name != "Description"} for each in value]
    text = json.dumps(value, separators=(", ", ": "))
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]} …"
