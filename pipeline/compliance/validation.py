"""Rule packs as validation plugins of the app, and the check of the acknowledgements against their findings.

A finding without an acknowledgement fails the synthesis. An acknowledgement without a finding, or past its date, fails
it too. checkov.py handles the acknowledgements of checkov's findings.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from typing import Protocol

import jsii
from aws_cdk import (
    Acknowledgment,
    App,
    CfnResource,
    IPolicyValidationContext,
    IPolicyValidationPlugin,
    PolicyViolatingResource,
    PolicyViolation,
    Stack,
    Token,
    Validations,
)
from aws_cdk import PolicyValidationPluginReport as Report
from cdk_nag import AwsSolutionsChecks, NagPack, NIST80053R5Checks, PCIDSS321Checks
from constructs import IConstruct

from pipeline.compliance import pci_dss_4
from pipeline.compliance.acknowledgements import (
    CHECKOV,
    PLATFORM,
    STALE_CHECK,
    TABLE,
    TYPED_CHECK,
    Acknowledgement,
    Claim,
    StaleClaim,
    claims,
    stale,
)
from pipeline.compliance.template_pack import TemplatePack

GENERIC, IN_CODE = "Generic", "InCode"
OF_CDK = frozenset({"AWS::CDK::Metadata", "AWS::CloudFormation::CustomResource"})
PROVIDER = re.compile(r"/Custom::[A-Za-z0-9]+CustomResourceProvider/(Role|Handler)$")
"""Generic constructs of CDK itself. The own pack and checkov, which read templates, look at its providers."""
NAG_PACKS = (AwsSolutionsChecks, PCIDSS321Checks, NIST80053R5Checks)


class Findings(Protocol):
    """A pack that remembers its findings: long id and path of the construct."""

    found: set[tuple[str, str]]


def enforce(app: App, acknowledgements: Sequence[Acknowledgement], *, today: date) -> None:
    """Check ``app`` whenever it is synthesised. Call it last: acknowledgements look for the constructs they name."""
    tree = _Tree(app)
    top = [child.node.id for child in app.node.children]
    stages = [id for id in top if tree.find(f"{id}/{PLATFORM}")]
    claimed = claims(acknowledgements, top=top, stages=stages, exists=lambda path: tree.find(path) is not None)
    synthesis_claims = [each for each in claimed if each.pack != CHECKOV]
    packs: list[NagPlugin | TemplatePack] = [*(NagPlugin(each(app)) for each in NAG_PACKS), pci_dss_4.pack()]
    accepted: dict[str, list[Acknowledgment]] = defaultdict(list)
    for claim in synthesis_claims:
        reason = f"{claim.source.reason} ({claim.source.owner}, until {claim.source.expires})"
        accepted[claim.path].append(Acknowledgment(id=claim.finding, reason=reason))
    for path, findings in accepted.items():
        if construct := tree.find(path):
            Validations.of(construct).acknowledge(*findings)
    Validations.of(app).add_plugins(*packs, TypedResources(), StaleCheck(packs, synthesis_claims, today))


class _Tree:
    """Finds constructs by their path. It remembers each one, because a step down the tree is two calls to Node."""

    def __init__(self, app: IConstruct) -> None:
        self._found: dict[str, IConstruct | None] = {"": app}

    def find(self, path: str) -> IConstruct | None:
        if path not in self._found:
            above, _, id = path.rpartition("/")
            parent = self.find(above)
            self._found[path] = parent.node.try_find_child(id) if parent else None
        return self._found[path]


@jsii.implements(IPolicyValidationPlugin)
class NagPlugin:
    """A rule pack of cdk-nag that remembers its findings. A warning counts as an error.

    Some ids quote an ARN. Its account, region and partition are replaced by the placeholders that cdk-nag uses for
    unknown ones, so that an acknowledgement is independent of the account and region of a deployment.
    """

    def __init__(self, pack: NagPack) -> None:
        self._pack = pack
        self.found: set[tuple[str, str]] = set()

    @property
    def name(self) -> str:
        return self._pack.name

    @property
    def version(self) -> str | None:
        return self._pack.version

    @property
    def rule_ids(self) -> list[str] | None:
        return self._pack.rule_ids

    def validate(self, context: IPolicyValidationContext) -> Report:
        app, name = context.app_construct, self.name
        tree = _Tree(app)
        report = self._pack.validate_scope(app)
        resources: dict[tuple[str, str], list[PolicyViolatingResource]] = defaultdict(list)
        for violation in report.violations:
            for resource in violation.violating_resources:
                path = resource.construct_path or ""
                rule = _with_placeholders(violation.rule_name, path, tree)
                resources[rule, violation.description].append(resource)
                self.found.add((f"{name}::{rule}", path))
        return Report(
            success=report.success,
            violations=[
                PolicyViolation(rule_name=rule, description=what, severity="error", violating_resources=where)
                for (rule, what), where in resources.items()
            ],
        )


@jsii.implements(IPolicyValidationPlugin)
class TypedResources:
    """Finds resources of AWS's types that are made by the generic ``CfnResource``.

    cdk-nag's rules ask for the construct of a type, and do not see the generic one. No acknowledgement accepts such a
    resource, because nobody knows what the packs would have found in it.
    """

    @property
    def name(self) -> str:
        return TYPED_CHECK

    @property
    def version(self) -> str | None:
        return None

    @property
    def rule_ids(self) -> list[str] | None:
        return [GENERIC]

    def validate(self, context: IPolicyValidationContext) -> Report:
        every = context.app_construct.node.find_all()  # one call to Node, which names the type of each construct
        generic = [each for each in every if type(each) is CfnResource and each.cfn_resource_type.startswith("AWS::")]
        found = [
            each for each in generic if each.cfn_resource_type not in OF_CDK and not PROVIDER.search(each.node.path)
        ]
        return Report(success=not found, violations=[_generic(each) for each in found])


def _generic(resource: CfnResource) -> PolicyViolation:
    kind = resource.cfn_resource_type
    return PolicyViolation(
        rule_name=f"{GENERIC}[{kind}]",
        description=f"A generic construct makes {kind}, so cdk-nag does not see it: use the construct of this type",
        severity="fatal",
        violating_resources=[PolicyViolatingResource(construct_path=resource.node.path, locations=[])],
    )


def _with_placeholders(rule: str, path: str, tree: _Tree) -> str:
    if ":arn:" not in rule or not (construct := tree.find(path)):
        return rule
    stack = Stack.of(construct)
    for value, name in ((stack.region, "Region"), (stack.partition, "Partition")):
        if not Token.is_unresolved(value):
            rule = rule.replace(f":{value}:", f":<AWS::{name}>:")
    # It is also a part of the names of buckets.
    return rule if Token.is_unresolved(stack.account) else rule.replace(stack.account, "<AWS::AccountId>")


@jsii.implements(IPolicyValidationPlugin)
class StaleCheck:
    """Reports the acknowledgements whose finding is gone, whose date has passed or is too far away, and those that
    stand in code instead of in the table: they have no owner and no date."""

    def __init__(self, packs: Sequence[Findings], claims: Sequence[Claim], today: date) -> None:
        self._packs = packs
        self._claims = claims
        self._today = today

    @property
    def name(self) -> str:
        return STALE_CHECK

    @property
    def version(self) -> str | None:
        return None

    @property
    def rule_ids(self) -> list[str] | None:
        return ["Unused", "Expired", "Unbounded", IN_CODE]

    def validate(self, context: IPolicyValidationContext) -> Report:
        found = {finding for pack in self._packs for finding in pack.found}
        violations = [_violation(each) for each in stale(self._claims, found, self._today)]
        tree = _Tree(context.app_construct)
        for finding, path in sorted(found - {(each.finding, each.path) for each in self._claims}):
            if _accepted_in_code(tree, finding, path):
                violations.append(_in_code(finding, path))
        return Report(success=not violations, violations=violations)


def _accepted_in_code(tree: _Tree, finding: str, path: str) -> bool:
    """Whether CDK counts ``finding`` as acknowledged by its construct, or by one around it."""
    parts = path.split("/")
    around = (tree.find("/".join(parts[:length])) for length in range(len(parts) + 1))
    return any(
        entry.type == Validations.ACKNOWLEDGED_RULES_METADATA_KEY and finding in entry.data
        for construct in around
        if construct
        for entry in construct.node.metadata
    )


def _in_code(finding: str, path: str) -> PolicyViolation:
    return PolicyViolation(
        rule_name=f"{IN_CODE}[{finding}]",
        description=f"{finding} is accepted in code, without owner and date: only {TABLE.name} counts",
        severity="fatal",
        violating_resources=[PolicyViolatingResource(construct_path=path, locations=[])],
    )


def _violation(stale_claim: StaleClaim) -> PolicyViolation:
    return PolicyViolation(
        rule_name=f"{stale_claim.rule}[{stale_claim.claim.finding}]",  # one construct may have several
        description=stale_claim.description,
        severity="fatal",  # no acknowledgement can accept it
        violating_resources=[PolicyViolatingResource(construct_path=stale_claim.claim.path, locations=[])],
    )
