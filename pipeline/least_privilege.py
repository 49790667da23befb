"""CDK grants the pipeline's roles families of actions (``s3:GetObject*``); here they become the actions that are used.

CodePipeline and CodeBuild read and write artifacts: the actions are those of "Manage the CodePipeline service role"
and "Allow CodeBuild to interact with other services" in their user guides. Build logs go to the pipeline's own log
group and test reports to report groups of the stack, so what CDK grants for groups of CodeBuild's own is left out.
"""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from aws_cdk import Stack
from aws_cdk import aws_iam as iam

EXACT = {
    "kms:GenerateDataKey*": ("kms:GenerateDataKey",),
    "kms:ReEncrypt*": ("kms:ReEncryptFrom", "kms:ReEncryptTo"),
    "s3:Abort*": ("s3:AbortMultipartUpload",),
    "s3:DeleteObject*": (),
    "s3:GetBucket*": ("s3:GetBucketAcl", "s3:GetBucketLocation", "s3:GetBucketVersioning"),
    "s3:GetObject*": ("s3:GetObject", "s3:GetObjectVersion"),
    "s3:List*": ("s3:ListBucket",),
}
LEFT_OUT = (":log-group:/aws/codebuild/", ":report-group/")


def narrow(stack: Stack) -> None:
    """Rewrite every role's inline policy of ``stack`` as a narrower managed one.

    Call it when the stack is complete; later grants would be lost.
    """
    for construct in stack.node.find_all():
        if isinstance(construct, iam.CfnPolicy):
            statements = stack.resolve(construct.policy_document)["Statement"]
            policy = cast(iam.Policy, construct.node.scope)
            policy.node.try_remove_child(construct.node.id)
            iam.CfnManagedPolicy(
                policy,
                construct.node.id,
                policy_document={"Version": "2012-10-17", "Statement": list(_narrowed(statements))},
                roles=construct.roles,
            )


def _narrowed(statements: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for statement in statements:
        actions = [exact for action in _listed(statement["Action"]) for exact in EXACT.get(action, (action,))]
        resources = [each for each in _listed(statement["Resource"]) if not any(part in str(each) for part in LEFT_OUT)]
        if resources == ["*"] and all(action.startswith("codebuild:") for action in actions):
            continue  # builds are started under another role, which names its projects
        if actions and resources:
            yield statement | {"Action": actions, "Resource": resources}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
