"""Requirements 6.5.1, 7.2.5, 7.3.3 and 8.4.2: who may do what, how people come in, and who approves a change."""

import re
from collections.abc import Iterator
from typing import Any

from pipeline.compliance.pci_dss_4.declaration import rule
from pipeline.compliance.pci_dss_4.policies import (
    WILDCARDS,
    admits_anybody,
    allowing,
    as_list,
    covers,
    documents,
    names_owner,
)
from pipeline.compliance.resolution import text, unknown
from pipeline.compliance.template_pack import EVERY_KIND, Resource

IDENTITIES = ("AWS::IAM::Role", "AWS::IAM::User", "AWS::IAM::Group")
POLICIES = (
    "AWS::IAM::Policy",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::RolePolicy",
    "AWS::IAM::UserPolicy",
    "AWS::IAM::GroupPolicy",
    "AWS::IoT::Policy",
)
ADMITTING_NOBODY = (*POLICIES, "AWS::EC2::VPCEndpoint")
"""The policies of identities, and of doors in a network: what they let pass, the resource behind still refuses."""
USER, ACCESS_KEY = "AWS::IAM::User", "AWS::IAM::AccessKey"
PERMISSION_SET = "AWS::SSO::PermissionSet"
WIDE_POLICY = re.compile(
    r"Administrator|PowerUser|Full_?Access|IAMFull|ReadWrite|ReadOnly|ViewOnly|SecurityAudit", re.IGNORECASE
)
"""AWS's policies about every resource of an account, also of those that only read: they read all data."""
ON_ONE_RESOURCE = (
    "iam:PassRole", "iam:PutRolePolicy", "iam:PutUserPolicy", "iam:PutGroupPolicy", "iam:AttachRolePolicy",
    "iam:AttachUserPolicy", "iam:AttachGroupPolicy", "iam:CreatePolicyVersion", "iam:SetDefaultPolicyVersion",
    "iam:UpdateAssumeRolePolicy", "iam:CreateAccessKey", "iam:CreateLoginProfile", "iam:UpdateLoginProfile",
    "iam:AddUserToGroup", "sts:AssumeRole", "lambda:UpdateFunctionCode", "secretsmanager:GetSecretValue",
    "kms:PutKeyPolicy", "s3:PutBucketPolicy",
)  # fmt: skip
"""Actions by which a role becomes another one, or reads every secret, where no resource is named."""
ANY_RESOURCE = re.compile(r"([\w-]+[/:])?[*?]*")
"""The last part of an ARN that names none: ``*``, ``role/*``, ``secret:*``."""


@rule("7.2.5", "NoWildcardActions", *POLICIES, *IDENTITIES, fault="A role is allowed actions by wildcard")
def no_wildcard_actions(policy: Resource) -> bool:
    return not any(_too_wide(each) for document in _documents(policy) for each in allowing(document))


@rule(
    "7.2.5",
    "NoAdministrators",
    *IDENTITIES,
    PERMISSION_SET,
    fault="A role is given a policy of AWS about all resources",
)
def no_administrators(identity: Resource) -> bool:
    arns = [*identity.items("ManagedPolicyArns"), *identity.items("ManagedPolicies")]
    return not any(unknown(each) or WIDE_POLICY.search(text(each)) for each in arns)


@rule("7.3.3", "NoAnonymousAccess", EVERY_KIND, fault="Anybody has access")
def no_anonymous_access(holder: Resource) -> bool:
    if holder.kind in ADMITTING_NOBODY:
        return True
    match holder.kind:
        case "AWS::Lambda::Permission" | "AWS::Lambda::LayerVersionPermission":
            return _names_caller(holder)
        case "AWS::Events::EventBusPolicy":
            condition = holder.get("Condition")
            given = {condition["Type"]: {condition["Key"]: condition["Value"]}} if condition else None
            plain = {"Effect": "Allow", "Principal": holder.get("Principal"), "Condition": given}
            return not admits_anybody(holder.get("Statement") or plain)
        case "AWS::CodeBuild::Project":
            return holder.get("Visibility") in (None, "PRIVATE")
    return not any(
        admits_anybody(each)
        for document in _documents_anywhere(holder)
        for each in allowing(document)
        if "Principal" in each or "NotPrincipal" in each  # a policy of an identity names nobody
    )


@rule(
    "8.4.2", "NoUserLogins", USER, ACCESS_KEY, fault="A user has a password or key here, beside the identity provider"
)
def no_user_logins(login: Resource) -> bool:
    # One factor is enough for both. The identity provider asks people for two, and knows when they leave.
    return login.kind == USER and login.get("LoginProfile") is None


@rule("6.5.1", "ApprovedChanges", "AWS::CodePipeline::Pipeline", fault="No person approves a change before production")
def approved_changes(pipeline: Resource) -> bool:
    actions = list(_actions(pipeline))
    approvals = [(stage, order) for stage, order, _, action in actions if _category(action) == "Approval"]
    changes = [(stage, order, production) for stage, order, production, action in actions if _changes(action)]
    # A build or a function may deploy, too. In production's stage, and without any deployment, it counts as one.
    works = [each[:3] for each in actions if _works(each[3])]
    to_production = [each for each in works if each[2]] or changes
    if not to_production:
        return bool(approvals) and (not works or min(approvals) < max(works)[:2])
    first = min((stage, order) for stage, order, _ in to_production)
    # After the approval nothing but production follows, so nobody approves what does not exist yet.
    before = [(stage, order) for stage, order, _ in changes if (stage, order) < first]
    return any(max(before, default=(-1, 0)) < each < first for each in approvals)


def _actions(pipeline: Resource) -> Iterator[tuple[int, int, bool, dict[str, Any]]]:
    """Each action, with the number of its stage, its order in it, and whether the stage is production's."""
    for number, stage in enumerate(pipeline.items("Stages")):
        for action in stage.get("Actions", []):
            yield number, int(action.get("RunOrder", 1)), "prod" in text(stage.get("Name")).lower(), action


def _category(action: dict[str, Any]) -> str:
    return text(action["ActionTypeId"]["Category"])


def _changes(action: dict[str, Any]) -> bool:
    """Whether an action deploys to an environment. A change set that is only made does not."""
    return _category(action) == "Deploy" and _works(action)


def _works(action: dict[str, Any]) -> bool:
    """Whether an action may change something."""
    prepares = (action.get("Configuration") or {}).get("ActionMode") == "CHANGE_SET_REPLACE"
    return _category(action) not in ("Source", "Approval") and not prepares


def _names_caller(permission: Resource) -> bool:
    """Whether a permission names who calls a function. A service calls for everybody, unless its resource is named."""
    principal = text(permission.get("Principal"))
    anybody = bool(WILDCARDS.search(principal)) or unknown(permission.get("Principal"))
    names = ("SourceAccount", "PrincipalOrgID", "OrganizationId", *(() if anybody else ("SourceArn",)))
    limits = [permission.get(name) for name in names]
    if any(each and not unknown(each) and names_owner(text(each)) for each in limits):
        return bool(principal)
    return bool(principal) and not anybody and ".amazonaws.com" not in principal


def _documents_anywhere(holder: Resource) -> Iterator[Any]:
    """Every policy document among the properties, so that a service with new resource policies is no hole."""
    properties = holder.body["Properties"]
    if "Fn::Unknown" in properties:
        yield properties
    for name, value in properties.items():
        for document in documents(value, name):
            holder.get(name)  # so that the finding names this property
            yield document


def _documents(policy: Resource) -> Iterator[Any]:
    if policy.kind in POLICIES:
        yield policy.get("PolicyDocument")
    for each in policy.items("Policies"):
        yield each.get("PolicyDocument")


def _too_wide(statement: dict[str, Any]) -> bool:
    """Whether a statement allows more than the actions that it lists, or becomes any role."""
    if "NotAction" in statement or "NotResource" in statement or not statement.get("Action"):
        return True
    if unknown(statement["Action"]) or any(WILDCARDS.search(text(each)) for each in as_list(statement["Action"])):
        return True
    reaches = any(covers(statement["Action"], each) for each in ON_ONE_RESOURCE)
    resources = as_list(statement.get("Resource"))
    anywhere = any(unknown(each) or _names_none(text(each)) for each in resources)
    return reaches and anywhere and not _only_tagged(statement.get("Condition"))


def _only_tagged(condition: Any) -> bool:
    """Whether a condition names the resources by a tag of theirs."""
    return any(
        operator.lower().endswith("stringequals")
        and not operator.lower().startswith("forall")
        and ":resourcetag/" in key.lower()
        for operator, keys in (condition or {}).items()
        for key in keys
    )


def _names_none(arn: str) -> bool:
    return ANY_RESOURCE.fullmatch(arn.split(":", 5)[-1]) is not None
