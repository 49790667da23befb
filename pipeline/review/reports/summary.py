"""A comparison summed up for people: headings, verdict, headlines and groups. Markdown and HTML share it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from pipeline.review import acknowledgements
from pipeline.review.comparison import Comparison
from pipeline.review.costs.estimate import LEFT_OUT, REGION, Cost, oldest_price
from pipeline.review.findings import Finding
from pipeline.review.templates.changes import Section
from pipeline.review.templates.difference import Detail
from pipeline.review.templates.entries import ANY, Entry

FINDINGS = {
    "new": "New findings: fix them, or acknowledge them one by one",
    "newly acknowledged": "Newly acknowledged findings: do the reasons hold?",
    "fixed": "Findings that are gone",
}
"""Headings of the findings that a reviewer is shown, by part (``Findings.parts``)."""
ACKNOWLEDGEMENTS = "Acknowledgements: do reasons, owners and dates hold?"
CHANGES = {
    Section.SECURITY: "IAM and security",
    Section.STATEFUL: "Stateful resources: replaced, deleted or less protected",
    Section.REPLACEMENT: "Other replacements",
    Section.REST: "Everything else",
}


AT_ONCE = {
    "models and routes of the API": (
        "AWS::ApiGateway::Model",
        "AWS::ApiGateway::Method",
        "AWS::ApiGateway::RequestValidator",
    ),
    "gateway responses": ("AWS::ApiGateway::GatewayResponse",),
    "stages of the API": ("AWS::ApiGateway::Stage",),
    "firewall": ("AWS::WAFv2::WebACL", "AWS::WAFv2::WebACLAssociation"),
    "load balancer": (
        "AWS::ElasticLoadBalancingV2::TargetGroup",
        "AWS::ElasticLoadBalancingV2::Listener",
        "AWS::ElasticLoadBalancingV2::ListenerRule",
        "AWS::ElasticLoadBalancingV2::LoadBalancer",
    ),
    "parameters": ("AWS::SSM::Parameter",),
    "secrets": ("AWS::SecretsManager::Secret", "AWS::SecretsManager::RotationSchedule"),
    "schema of the database": ("Custom::DatabaseSchema",),
}
"""What has no versions, so that it changes under the stable version as soon as it is deployed: types of resources, by
what docs/release.md ("What a shift does not cover") calls them. IAM and what holds data have headlines of their own."""


@dataclass(frozen=True)
class Group:
    """One finding at one construct, in all environments that have it."""

    finding: Finding
    construct: str
    environments: tuple[str, ...]

    @property
    def place(self) -> str:
        return f"{self.finding.file}:{self.finding.line}" if self.finding.file else ""


def group(findings: Iterable[Finding], environments: Iterable[str]) -> list[Group]:
    """Findings that differ only in their environment, together. A stack that is none of ``environments`` stays in the
    construct's path."""
    known = list(environments)
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        construct = finding.construct.partition("/")[2] if finding.environment in known else finding.construct
        groups.setdefault((construct, finding.rule, finding.reason or ""), []).append(finding)
    return [
        Group(members[0], construct, tuple(name for name in known if name in {each.environment for each in members}))
        for (construct, _, _), members in sorted(groups.items())
    ]


def environments(comparison: Comparison) -> list[str]:
    return [cost.environment for cost in comparison.costs]


def verdict(comparison: Comparison) -> str:
    new = len(comparison.findings.new)
    return "no new findings" if not new else f"{new} new finding{'s' if new > 1 else ''}"


def state(comparison: Comparison) -> str:
    """``fail``; or ``warn`` if it passes and a headline is a warning; or ``pass``."""
    if not comparison.passes:
        return "fail"
    return "warn" if any(loud for _, loud in headlines(comparison)) else "pass"


def headlines(comparison: Comparison) -> list[tuple[str, bool]]:
    """The first facts for a reviewer besides the verdict, and whether each is a warning."""
    of = {section: [each for each in comparison.changes if each.section == section] for section in Section}
    alarming = sum(entry.alarming for entry in of[Section.SECURITY])
    said = _of_acknowledgements(comparison.acknowledgements)
    if comparison.rules:
        said.append((f"rules that decide payments change: {', '.join(comparison.rules)}", True))
    if stateful := of[Section.STATEFUL]:
        said.append((f"{_count(len(stateful), 'change')} to stateful resources or what protects them", True))
    if replaced := of[Section.REPLACEMENT]:
        said.append((_count(len(replaced), "other replacement"), False))
    if security := of[Section.SECURITY]:
        wide = f", {alarming} far-reaching" if alarming else ""
        said.append((f"{_count(len(security), 'IAM or security change')}{wide}", bool(alarming)))
    types = {entry.type for entry in comparison.changes}
    if at_once := [what for what, of_type in AT_ONCE.items() if types & {*of_type}]:
        said.append((f"customers meet this before gate and shift: {', '.join(at_once)}", True))
    if not comparison.changes:
        said.append(("the templates are the same", False))
    return [*said, (cost_headline(comparison.costs), False)]


def _of_acknowledgements(of: acknowledgements.Acknowledgements) -> list[tuple[str, bool]]:
    if of.fault:
        return [(f"acknowledgements were not compared: {of.fault}", True)]
    counts = {action: of.count(action) for action in acknowledgements.ACTIONS}
    said = ", ".join(f"{number} {action}" for action, number in counts.items() if number)
    if past := of.expired(date.today()):
        said += f", {past} past the date of their review"
    accepts = bool(counts[acknowledgements.ADDED] or counts[acknowledgements.CHANGED])
    return [(f"acknowledgements: {said}", accepts)] if said else []


def terms(change: acknowledgements.Change) -> list[Detail]:
    """The terms that changed; of an acknowledgement that came or went, all of them."""
    before, after = change.before, change.after
    if before and after:
        sides = (
            ("reason", before.reason, after.reason),
            ("owner", before.owner, after.owner),
            ("until", before.expires, after.expires),
        )
        return [Detail("!", f"{name}: {old} → {new}") for name, old, new in sides if old != new]
    if before:
        return [Detail("-", _on(before))]
    return [Detail("+", _on(after))] if after else []


def _on(terms: acknowledgements.Terms) -> str:
    return f"{terms.reason} ({terms.owner}, until {terms.expires})"


def cost_headline(costs: Iterable[Cost]) -> str:
    change = sum(cost.difference for cost in costs)
    return (
        f"standing costs {money(change, signed=True)} USD a month" if round(change, 2) else "standing costs unchanged"
    )


def cost_notes(costs: Iterable[Cost]) -> list[str]:
    """Where the prices are from, how old they are, and what they leave out."""
    notes = [f"{cost.environment}: no price known for {'; '.join(cost.unpriced)}" for cost in costs if cost.unpriced]
    return [
        *notes,
        f"List prices of {REGION} from pipeline/review/costs/prices.toml, the oldest of {oldest_price()}; "
        f"prices may have changed. Left out: {LEFT_OUT}.",
    ]


def money(usd: float, *, signed: bool = False) -> str:
    """``usd`` with two decimals. It has no dollar sign: GitHub takes text between two of them for mathematics."""
    sign = "-" if round(usd, 2) < 0 else "+" if signed and round(usd, 2) else ""
    return f"{sign}{abs(usd):,.2f}"


def title(entry: Entry) -> str:
    """The type of resource, after the number of constructs if there are several."""
    count = f"{len(entry.constructs)} " if len(entry.constructs) > 1 else ""
    return f"{count}{entry.type}"


def where(entry: Entry) -> str:
    return ", ".join(entry.environments)


def legend(comparison: Comparison) -> str:
    several = any(ANY in text for entry in comparison.changes for text in _texts(entry))
    return f"{ANY} stands for the environment's name." if several else ""


def _texts(entry: Entry) -> Iterable[str]:
    return (*entry.constructs, *(detail.text for detail in entry.details))


def _count(number: int, of: str) -> str:
    return f"{number} {of}{'' if number == 1 else 's'}"
