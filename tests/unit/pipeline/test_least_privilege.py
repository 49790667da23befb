"""The roles of the pipeline keep the actions that they use, and lose the others that CDK grants."""

from typing import Any

import aws_cdk as cdk
from aws_cdk import assertions
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3

from pipeline.artifact_folders import Folders
from pipeline.least_privilege import narrow


def new_stack() -> cdk.Stack:
    return cdk.Stack(cdk.App(tree_metadata=False, builtin_cloud_formation_validation=False))


def narrowed(
    stack: cdk.Stack, bucket: s3.IBucket | None = None, folders: Folders | None = None
) -> list[dict[str, Any]]:
    bucket = bucket or s3.Bucket.from_bucket_name(stack, "Artifacts", "artifacts")
    folders = folders or Folders(reads={}, writes={})
    narrow(stack, key_alias="alias/artifacts", other_regions=[], artifacts=bucket, folders=folders)
    template = assertions.Template.from_stack(stack)
    assert not template.find_resources("AWS::IAM::Policy")
    policies = template.find_resources("AWS::IAM::ManagedPolicy").values()
    return [s for each in policies for s in each["Properties"]["PolicyDocument"]["Statement"]]


def test_families_of_actions_become_the_actions_that_are_used() -> None:
    # Given a role with CDK's grant of a bucket
    stack = new_stack()
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("codebuild.amazonaws.com"))
    s3.Bucket(stack, "Bucket").grant_read_write(role)
    # When its policy is narrowed
    actions = {action for statement in narrowed(stack) for action in statement["Action"]}
    # Then it reads and writes objects, and deletes none
    assert {"s3:GetObject", "s3:ListBucket", "s3:PutObject"} <= actions
    assert not [action for action in actions if "*" in action or "Delete" in action]


def test_a_build_reads_its_inputs_and_writes_its_output_and_nothing_else() -> None:
    # Given a build that reads one folder of a bucket and writes another one
    stack = new_stack()
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("codebuild.amazonaws.com"))
    bucket = s3.Bucket.from_bucket_name(stack, "Artifacts", "artifacts")
    bucket.grant_read_write(role)
    id = stack.get_logical_id(role.node.default_child)
    folders = Folders(reads={id: frozenset({"p/0Source/"})}, writes={id: frozenset({"p/1Synth/"})})
    # When its policy is narrowed
    found = {
        action: [each.split(":::")[1] for each in arns_of(statement)]
        for statement in narrowed(stack, bucket, folders)
        for action in statement["Action"]
    }
    # Then
    assert found["s3:GetObject"] == ["artifacts/p/0Source/*"]
    assert found["s3:PutObject"] == ["artifacts/p/1Synth/*"]
    assert found["s3:ListBucket"] == ["artifacts"]
    assert "artifacts/*" not in str(found)


def arns_of(statement: dict[str, Any]) -> list[str]:
    return ["".join(part for part in each["Fn::Join"][1] if isinstance(part, str)) for each in statement["Resource"]]


def test_a_build_writes_only_to_the_reports_and_logs_of_the_stack() -> None:
    # Given a build project as CDK makes it, and a report group for it
    stack = new_stack()
    project = codebuild.PipelineProject(stack, "Project")
    codebuild.ReportGroup(stack, "Reports").grant_write(project)
    # When its role's policy is narrowed
    [statement] = narrowed(stack)
    # Then it may write to that group, and to no group or log that CodeBuild would make
    assert set(statement["Action"]) == {f"codebuild:{a}" for a in ("CreateReport", "UpdateReport", "BatchPutTestCases")}
    assert [resource["Fn::GetAtt"][1] for resource in statement["Resource"]] == ["Arn"]


def test_a_statement_with_exact_actions_and_resources_is_unchanged() -> None:
    stack = new_stack()
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("codebuild.amazonaws.com"))
    role.add_to_policy(iam.PolicyStatement(actions=["sts:AssumeRole"], resources=["arn:aws:iam::1:role/release"]))
    assert narrowed(stack) == [
        {"Action": ["sts:AssumeRole"], "Effect": "Allow", "Resource": ["arn:aws:iam::1:role/release"]}
    ]
