"""Fargate workers for the load gate: they exist only if an environment asks, with the permissions that they need."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import assertions

from environments import DEV, PIPELINE
from names import Role
from pipeline.review.findings import REPORT
from pipeline.stack import PipelineStack
from pipeline_app import committed_context
from stages.platform_stage import PlatformStage
from tests.infrastructure.platform_template import PlatformTemplate, as_list, logical_id, text
from tests.infrastructure.promotion import one_environment, with_load_workers

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def loaded() -> PlatformTemplate:
    """Dev with ``load_workers=2``."""
    [file] = with_load_workers().template_files()
    return PlatformTemplate(file, "dev")


def own(template: PlatformTemplate, *types: str) -> list[dict[str, Any]]:
    """The properties of the load generator's resources of these types."""
    found = template.resources(*types).items()
    return [resource["Properties"] for id, resource in found if id.startswith("LoadGenerator")]


def test_without_workers_nothing_of_it_exists(platform: PlatformTemplate) -> None:
    assert not [id for id in platform.resources() if "LoadGenerator" in id]
    assert not [kind for kind in (r["Type"] for r in platform.resources().values()) if kind.startswith("AWS::ECS")]
    assert not {"LoadTasks", "LoadRunnerRoleArn"} & set(platform.outputs)


def test_with_workers_nothing_else_changes(loaded: PlatformTemplate) -> None:
    # Given dev as it is, and with workers
    [file] = one_environment("dev").template_files()
    without = PlatformTemplate(file, "dev")
    # Then every other resource is unchanged, except the emptying of buckets and the policy of the access logs
    differing = {id for id, resource in without.resources().items() if loaded.resources()[id] != resource}
    kinds = sorted((without.resources()[id]["Type"], id.rstrip("0123456789ABCDEF")) for id in differing)
    assert kinds == [
        ("AWS::IAM::ManagedPolicy", "StorageEmptierPolicy"),
        ("AWS::S3::BucketPolicy", "StorageAccessLogsPolicy"),
    ]


def test_tasks_are_pinned_and_can_write_to_one_folder_only(loaded: PlatformTemplate) -> None:
    definition = loaded.only("AWS::ECS::TaskDefinition")
    [container] = definition["ContainerDefinitions"]
    assert container["Image"].startswith("public.ecr.aws/docker/library/python:3.13")
    assert "@sha256:" in container["Image"]
    assert container["ReadonlyRootFilesystem"] is True
    [mount] = container["MountPoints"]
    assert mount["ContainerPath"] == container["WorkingDirectory"]
    assert (definition["RequiresCompatibilities"], definition["NetworkMode"]) == (["FARGATE"], "awsvpc")


def test_only_workers_reach_the_gate(loaded: PlatformTemplate) -> None:
    [group] = [id for id in loaded.resources("AWS::EC2::SecurityGroup") if id.startswith("LoadGenerator")]
    itself = {"Fn::GetAtt": [group, "GroupId"]}
    for kind, other in (("Ingress", "SourceSecurityGroupId"), ("Egress", "DestinationSecurityGroupId")):
        [rule] = own(loaded, f"AWS::EC2::SecurityGroup{kind}")
        assert (rule["GroupId"], rule[other], rule["FromPort"], rule["ToPort"]) == (itself, itself, 5557, 5557)
    [properties] = own(loaded, "AWS::EC2::SecurityGroup")
    [egress] = properties["SecurityGroupEgress"]
    assert (egress["FromPort"], egress["ToPort"]) == (443, 443)
    assert "SecurityGroupIngress" not in properties


def test_the_output_says_how_to_run_a_task(loaded: PlatformTemplate) -> None:
    # Given the output, with any name where it refers to a resource
    parts = loaded.outputs["LoadTasks"]["Fn::Join"][1]
    place = json.loads("".join(each if isinstance(each, str) else logical_id(each) for each in parts))
    # Then tasks run on Fargate in private subnets, without a public address
    assert place["run"]["launchType"] == "FARGATE"
    network = place["run"]["networkConfiguration"]["awsvpcConfiguration"]
    assert network["assignPublicIp"] == "DISABLED"
    assert len(network["subnets"]) == 3
    assert all("privateSubnet" in subnet for subnet in network["subnets"])
    # And their logs are in the group that it names
    [container] = loaded.only("AWS::ECS::TaskDefinition")["ContainerDefinitions"]
    options = container["LogConfiguration"]["Options"]
    assert place["container"] == container["Name"]
    assert place["logPrefix"] == f"{options['awslogs-stream-prefix']}/{container['Name']}"
    assert place["logGroup"] == options["awslogs-group"]["Ref"]


ALLOWED = {
    "Starter": {"logs:CreateLogStream", "logs:PutLogEvents"},
    "Worker": {
        "cloudformation:DescribeStacks",
        "dynamodb:GetItem",
        "execute-api:Invoke",
        "kms:Decrypt",
        "kms:GenerateDataKey",
        "s3:PutObject",
    },
    "Runner": {
        "cloudformation:DescribeStacks",
        "ecs:DescribeTasks",
        "ecs:RunTask",
        "ecs:StopTask",
        "iam:PassRole",
        "kms:Decrypt",
        "kms:GenerateDataKey",
        "logs:GetLogEvents",
        "s3:GetObject",
        "s3:PutObject",
    },
}


@pytest.mark.parametrize("role", ALLOWED)
def test_each_role_has_exactly_its_permissions(loaded: PlatformTemplate, role: str) -> None:
    prefix = f"LoadGenerator{role}Policy"
    statements = [statement for policy, statement in loaded.statements() if policy.startswith(prefix)]
    assert {action for each in statements for action in as_list(each["Action"])} == ALLOWED[role]
    assert "*" not in [resource for each in statements for resource in as_list(each["Resource"])]


def test_tasks_call_the_candidate_alone_and_write_reports_alone(loaded: PlatformTemplate) -> None:
    resources = {
        action: text(statement["Resource"])
        for policy, statement in loaded.statements()
        if policy.startswith("LoadGeneratorWorkerPolicy")
        for action in as_list(statement["Action"])
    }
    assert '"/candidate/POST/*"' in resources["execute-api:Invoke"]
    assert '"/reports/*"' in resources["s3:PutObject"]


def test_the_runner_passes_the_two_roles_of_tasks_to_ecs_alone(loaded: PlatformTemplate) -> None:
    [passing] = [s for _, s in loaded.statements() if "iam:PassRole" in as_list(s["Action"])]
    definition = loaded.only("AWS::ECS::TaskDefinition")
    assert passing["Resource"] == [definition["ExecutionRoleArn"], definition["TaskRoleArn"]]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    [running] = [s for _, s in loaded.statements() if "ecs:RunTask" in as_list(s["Action"])]
    assert loaded.resources()[logical_id(running["Resource"])]["Type"] == "AWS::ECS::TaskDefinition"


def test_code_and_reports_expire_after_a_day(loaded: PlatformTemplate) -> None:
    [bucket] = own(loaded, "AWS::S3::Bucket")
    [rule] = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] == rule["NoncurrentVersionExpiration"]["NoncurrentDays"] == 1
    emptied = [logical_id(each["BucketName"]) for each in loaded.properties("Custom::EmptyBucket")]
    assert len(emptied) == len(loaded.resources("AWS::S3::Bucket"))


def test_the_step_runs_the_workers_under_the_runners_role(loaded: PlatformTemplate) -> None:
    # Given a pipeline to dev with workers
    app = cdk.App(context=committed_context(), builtin_cloud_formation_validation=False)
    dev = replace(DEV, load_workers=2)
    platforms = {dev: PlatformStage(app, "Dev", environment=dev)}
    stack = PipelineStack(app, "pipeline", settings=PIPELINE, platforms=platforms)
    template = assertions.Template.from_stack(stack).to_json()
    # Then its step runs the gate with them, has enough time, and may assume only that role
    properties = [each["Properties"] for each in template["Resources"].values()]
    [project] = [each for each in properties if each.get("Name") == "payment-load-gate-dev"]
    commands = json.loads(project["Source"]["BuildSpec"])["phases"]["build"]["commands"]
    [command] = commands
    assert command.startswith("python -m loadtest.fargate --env dev --workers 2 || {")  # then keeps what failed
    assert project["TimeoutInMinutes"] * 60 > 900 + 600 + dev.gate.max_seconds
    role = loaded.named("AWS::IAM::Role", RoleName=Role.LOAD_RUNNER.of("dev"))
    assert logical_id(loaded.outputs["LoadRunnerRoleArn"]).startswith("LoadGeneratorRunnerRole"), role
    attached = {"Ref": project["ServiceRole"]["Fn::GetAtt"][0]}
    policies = [each for each in properties if attached in each.get("Roles", [])]
    assumable = [
        text(statement["Resource"])
        for policy in policies
        for statement in policy["PolicyDocument"]["Statement"]
        if "sts:AssumeRole" in as_list(statement["Action"])
    ]
    assert len(assumable) == 1
    assert assumable[0].count(":role/") == 1
    assert f":role/{Role.LOAD_RUNNER.of('dev')}" in assumable[0]


def test_every_finding_about_it_is_acknowledged() -> None:
    assembly = with_load_workers()
    assert not any(each["violations"] for each in assembly.read(REPORT)["pluginReports"])
    tools = Path(sys.executable).parent
    for command in (
        [sys.executable, "-m", "pipeline.compliance.checkov", assembly.folder],
        [tools / "cfn-lint", "--non-zero-exit-code", "warning", *map(str, assembly.template_files())],
    ):
        environ = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
