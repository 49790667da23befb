"""Narrow the policies of the pipeline's roles.

CDK grants families of actions, such as ``s3:GetObject*``, and all artifacts to every build.

CodePipeline and CodeBuild read and write artifacts. The actions they use are listed in "Manage the CodePipeline service
role" and "Allow CodeBuild to interact with other services" of their user guides. CDK also grants access to log groups
and report groups that CodeBuild would create. These grants are removed, because the stack has groups of its own.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3

from pipeline.artifact_folders import Folders

USED_ACTIONS = {
    "kms:GenerateDataKey*": ("kms:GenerateDataKey",),
    "kms:ReEncrypt*": ("kms:ReEncryptFrom", "kms:ReEncryptTo"),
    "s3:Abort*": ("s3:AbortMultipartUpload",),
    "s3:DeleteObject*": (),
    "s3:GetBucket*": ("s3:GetBucketAcl", "s3:GetBucketLocation", "s3:GetBucketVersioning"),
    "s3:GetObject*": ("s3:GetObject", "s3:GetObjectVersion"),
    "s3:List*": ("s3:ListBucket",),
}
UNUSED_RESOURCES = (":log-group:/aws/codebuild/", ":report-group/")
READS = frozenset({"s3:GetObject", "s3:GetObjectVersion"})
OF_BUCKETS = frozenset({"s3:GetBucketAcl", "s3:GetBucketLocation", "s3:GetBucketVersioning", "s3:ListBucket"})


def narrow(
    stack: Stack, *, key_alias: str, other_regions: Sequence[str], artifacts: s3.IBucket, folders: Folders
) -> None:
    """Replace every inline role policy of ``stack`` by a narrower managed policy.

    A role of a build, or of the source, gets its own ``folders`` in the place of all ``artifacts``. CodePipeline's own
    role keeps them all, because CodePipeline copies artifacts to other regions.

    CDK grants the use of a key in another region as the use of every key, because it knows no fixed ARN of that key.
    The narrower policy grants the keys that have the alias ``key_alias`` in ``other_regions``.

    Call it when the stack is complete, because later grants would be lost.
    """
    keys = [
        stack.format_arn(service="kms", region=region, resource="key", resource_name="*") for region in other_regions
    ]
    aliased = {"Resource": keys, "Condition": {"ForAnyValue:StringEquals": {"kms:ResourceAliases": [key_alias]}}}
    everything = stack.resolve(artifacts.arn_for_objects("*"))

    def within(statement: dict[str, Any], role: str) -> Iterator[dict[str, Any]]:
        if everything not in statement["Resource"] or role not in {*folders.reads, *folders.writes}:
            yield statement
            return
        rest = [each for each in statement["Resource"] if each != everything]
        actions = set(statement["Action"])
        for some, resources in (
            (actions & OF_BUCKETS, rest),
            (actions & READS, _objects(stack, artifacts, folders.reads.get(role, ()))),
            (actions - READS - OF_BUCKETS, _objects(stack, artifacts, folders.writes.get(role, ()))),
        ):
            if some and resources:
                yield statement | {"Action": sorted(some), "Resource": resources}

    for construct in stack.node.find_all():
        if isinstance(construct, iam.CfnPolicy):
            statements = stack.resolve(construct.policy_document)["Statement"]
            [role] = stack.resolve(construct.roles)
            narrowed = [part for each in _narrowed(statements, aliased) for part in within(each, role["Ref"])]
            policy = cast(iam.Policy, construct.node.scope)
            policy.node.try_remove_child(construct.node.id)
            iam.CfnManagedPolicy(
                policy,
                construct.node.id,
                policy_document={"Version": "2012-10-17", "Statement": narrowed},
                roles=construct.roles,
            )


def _objects(stack: Stack, bucket: s3.IBucket, folders: Iterable[str]) -> list[Any]:
    return [stack.resolve(bucket.arn_for_objects(f"{folder}*")) for folder in sorted(folders)]


def _narrowed(statements: Sequence[dict[str, Any]], aliased: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for statement in statements:
        actions = [used for action in _as_list(statement["Action"]) for used in USED_ACTIONS.get(action, (action,))]
        resources = [
            resource
            for resource in _as_list(statement["Resource"])
            if not any(part in str(resource) for part in UNUSED_RESOURCES)
        ]
        if resources == ["*"] and all(action.startswith("codebuild:") for action in actions):
            continue  # another role starts the builds, and its policy names the projects
        if "*" in resources and all(action.startswith("kms:") for action in actions):
            resources.remove("*")
            yield statement | {"Action": actions} | aliased
        if actions and resources:
            yield statement | {"Action": actions, "Resource": resources}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
