"""Small bases and heads for comparisons."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.review import templates
from pipeline.review.acknowledgements import Table
from pipeline.review.comparison import Comparison, compare
from pipeline.review.findings import Finding
from pipeline.review.synthesis import Synthesis
from pipeline.review.templates.entries import Entry
from pipeline.review.templates.stack import Stack

IAM5 = "AwsSolutions::AwsSolutions-IAM5[Resource::*]"
NOTHING = Table(terms={})
"""Acknowledged."""
Template = dict[str, dict[str, Any]]


def resource(
    type: str, properties: dict[str, Any] | None = None, *, path: str = "", **attributes: Any
) -> dict[str, Any]:
    """``path`` is the construct's path below the stack."""
    metadata = {"aws:cdk:path": f"Dev/Platform/{path}/Resource"} if path else {}
    return {"Type": type, "Properties": properties or {}, "Metadata": metadata, **attributes}


def stack(resources: Template, *, path: str = "Dev/Platform", protected: bool = False, **parts: Any) -> Stack:
    name = f"payment-platform-{path.partition('/')[0].lower()}"
    return Stack(name=name, path=path, termination_protection=protected, template={"Resources": resources, **parts})


def stacks(*of: Stack) -> dict[str, Stack]:
    return {each.path: each for each in of}


def changes(base: Template | Mapping[str, Stack], head: Template | Mapping[str, Stack]) -> list[Entry]:
    """The entries about the templates ``base`` and ``head``, or of one stack with these resources."""
    sides = [
        side if any(isinstance(each, Stack) for each in side.values()) else stacks(stack(dict(side)))
        for side in (base, head)
    ]
    return templates.condense(templates.compare(*sides))


def texts(entries: Sequence[Entry]) -> list[str]:
    """Each entry as one text: ``section action type constructs (environments)`` and its details."""
    return [
        "\n".join([_first_line(each), *(f"{detail.sign} {detail.text}" for detail in each.details)]) for each in entries
    ]


def _first_line(entry: Entry) -> str:
    constructs, environments = ", ".join(entry.constructs), ", ".join(entry.environments)
    return f"{entry.section}: {entry.action} {entry.type} {constructs} ({environments})"


def policy(*statements: dict[str, Any]) -> Template:
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    return {"P": resource("AWS::IAM::ManagedPolicy", {"PolicyDocument": document}, path="Api/Policy")}


def finding(construct: str, *, reason: str | None = None, line: int = 1, description: str = "Too much.") -> Finding:
    return Finding(
        rule=IAM5, construct=construct, description=description, reason=reason, file="stages/a.py", line=line
    )


def side(
    *,
    findings: Sequence[Finding] = (),
    stacks: Mapping[str, Stack],
    acknowledgements: Table = NOTHING,
    code: frozenset[str] = frozenset(),
    rules: Mapping[str, bytes] | None = None,
) -> Synthesis:
    return Synthesis(
        findings=tuple(findings), stacks=stacks, acknowledgements=acknowledgements, code=code, rules=rules or {}
    )


def comparison(
    *,
    base: Sequence[Finding] = (),
    head: Sequence[Finding] = (),
    before: Template | None = None,
    after: Template | None = None,
    acknowledged: tuple[Table, Table] = (NOTHING, NOTHING),
) -> Comparison:
    """A comparison from findings, resources of one stack, and both tables of acknowledgements."""
    return compare(
        side(findings=base, stacks=stacks(stack(before or {})), acknowledgements=acknowledged[0]),
        side(findings=head, stacks=stacks(stack(after or {})), acknowledgements=acknowledged[1]),
        name="main",
    )
