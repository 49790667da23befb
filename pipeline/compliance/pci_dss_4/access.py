"""Requirements 6.5.1, 7.2.5 and 7.3.3: who may do what, and who approves a change."""

import re
from collections.abc import Iterator
from typing import Any

from pipeline.compliance.pci_dss_4.declaration import DOMAIN, rule
from pipeline.compliance.pci_dss_4.policies import (
    WILDCARDS,
    admits_anybody,
    allowing,
    as_list,
    covers,
)
from pipeline.compliance.resolution import text, unknown
from pipeline.compliance.template_pack import Resource

IDENTITIES = ("AWS::IAM::Role", "AWS::IAM::User", "AWS::IAM::Group")
POLICIES = (
    "AWS::IAM::Policy",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::RolePolicy",
    "AWS::IAM::UserPolicy",
    "AWS::IAM::GroupPolicy",
)
RESOURCE_POLICIES = {
    "AWS::ApiGateway::RestApi": "Policy",
    "AWS::Backup::BackupVault": "AccessPolicy",
    "AWS::ECR::Repository": "RepositoryPolicyText",
    "AWS::EFS::FileSystem": "FileSystemPolicy",
    "AWS::IAM::Role": "AssumeRolePolicyDocument",
    "AWS::KMS::Key": "KeyPolicy",
    "AWS::S3::BucketPolicy": "PolicyDocument",
    "AWS::SecretsManager::ResourcePolicy": "ResourcePolicy",
    "AWS::SNS::TopicPolicy": "PolicyDocument",
    "AWS::SNS::TopicInlinePolicy": "PolicyDocument",
    "AWS::SQS::QueuePolicy": "PolicyDocument",
    "AWS::SQS::QueueInlinePolicy": "PolicyDocument",
    DOMAIN: "AccessPolicies",
}
OPTIONAL = (
    "AWS::ApiGateway::RestApi",
    "AWS::Backup::BackupVault",
    "AWS::ECR::Repository",
    "AWS::EFS::FileSystem",
    DOMAIN,
)
PERMISSION = "AWS::Lambda::Permission"
PERMISSION_SET = "AWS::SSO::PermissionSet"
ADMINISTRATOR = re.compile(r"Administrator|PowerUser|FullAccess|IAMFull", re.IGNORECASE)


@rule("7.2.5", "NoWildcardActions", *POLICIES, *IDENTITIES, fault="A role is allowed actions by wildcard")
def no_wildcard_actions(policy: Resource) -> bool:
    return not any(_too_wide(each) for document in _documents(policy) for each in allowing(document))


@rule("7.2.5", "NoAdministrators", *IDENTITIES, PERMISSION_SET, fault="A role is given an administrator's policy")
def no_administrators(identity: Resource) -> bool:
    arns = [*identity.items("ManagedPolicyArns"), *identity.items("ManagedPolicies")]
    return not any(unknown(each) or ADMINISTRATOR.search(text(each)) for each in arns)


@rule("7.3.3", "NoAnonymousAccess", *RESOURCE_POLICIES, PERMISSION, fault="Anybody has access")
def no_anonymous_access(holder: Resource) -> bool:
    if holder.kind == PERMISSION:
        named = text(holder.get("Principal"))
        limited = [
            text(holder.get(name)).strip("*\0") or holder.get(name) for name in ("SourceAccount", "PrincipalOrgID")
        ]
        return bool(named) and (not WILDCARDS.search(named) or any(limited))
    document = holder.get(RESOURCE_POLICIES[holder.kind])
    if document is None and holder.kind in OPTIONAL:
        return True
    return not any(admits_anybody(each) for each in allowing(document))


@rule("6.5.1", "ApprovedChanges", "AWS::CodePipeline::Pipeline", fault="No person approves a change before production")
def approved_changes(pipeline: Resource) -> bool:
    actions = list(_actions(pipeline))
    approvals = [(stage, order) for stage, order, _, action in actions if _category(action) == "Approval"]
    changes = [(stage, order, production) for stage, order, production, action in actions if _changes(action)]
    to_production = [each for each in changes if each[2]] or changes
    if not to_production:
        return bool(approvals)
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
    """Whether an action changes an environment. A change set that is only made does not."""
    return (
        _category(action) == "Deploy" and (action.get("Configuration") or {}).get("ActionMode") != "CHANGE_SET_REPLACE"
    )


def _documents(policy: Resource) -> Iterator[Any]:
    if policy.kind in POLICIES:
        yield policy.get("PolicyDocument")
    for each in policy.items("Policies"):
        yield each.get("PolicyDocument")


def _too_wide(statement: dict[str, Any]) -> bool:
    """Whether a statement allows more than the actions that it lists, or hands any role to a service."""
    if "NotAction" in statement or "NotResource" in statement or not statement.get("Action"):
        return True
    if unknown(statement["Action"]) or any(WILDCARDS.search(text(each)) for each in as_list(statement["Action"])):
        return True
    passes = covers(statement["Action"], "iam:PassRole")
    return passes and any(
        unknown(each) or text(each).strip("*") in ("", "arn:aws:iam::") for each in as_list(statement.get("Resource"))
    )
