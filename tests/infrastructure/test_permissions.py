"""The statements of every policy in every template."""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from os.path import normpath
from pathlib import Path
from typing import Any

import boto3
import pytest

from stages import watchdog_bundle
from tests.infrastructure.promotion import promotion

ROOT = Path(__file__).resolve().parents[2]
POLICIES = ("AWS::IAM::ManagedPolicy", "AWS::IAM::Policy", "AWS::IAM::Role")
WITHOUT_RESOURCE = {
    "cloudwatch:DescribeAlarms": "CloudWatch describes composite alarms only to who may describe all",
    "cloudwatch:GetMetricData": "CloudWatch knows no resource for metrics",
    "cloudwatch:PutMetricData": "CloudWatch knows no resource for metrics; a condition names their namespace",
    "ec2:AssignPrivateIpAddresses": "Lambda in a VPC: the network interface does not exist yet",
    "ec2:CreateNetworkInterface": "Lambda in a VPC: the network interface does not exist yet",
    "ec2:DeleteNetworkInterface": "Lambda in a VPC: Lambda names the network interface",
    "ec2:DescribeNetworkInterfaces": "EC2 knows no resource for descriptions",
    "ec2:DescribeSecurityGroups": "EC2 knows no resource for descriptions",
    "ec2:DescribeSubnets": "EC2 knows no resource for descriptions",
    "ec2:UnassignPrivateIpAddresses": "Lambda in a VPC: Lambda names the network interface",
    "elasticloadbalancing:DescribeListeners": "Elastic Load Balancing knows no resource for descriptions",
    "elasticloadbalancing:DescribeLoadBalancers": "Elastic Load Balancing knows no resource for descriptions",
    "elasticloadbalancing:DescribeTargetGroups": "Elastic Load Balancing knows no resource for descriptions",
    "secretsmanager:GetRandomPassword": "A password that belongs to no secret yet",
    "xray:PutTelemetryRecords": "X-Ray knows no resource for traces",
    "xray:PutTraceSegments": "X-Ray knows no resource for traces",
}
"""Actions that IAM cannot limit to a resource ("Actions, resources, and condition keys for AWS services")."""
SELF_MUTATION = "payment-pipeline/Pipeline/UpdatePipeline/SelfMutation/Role/DefaultPolicy/Resource"
OF_CDK = {(SELF_MUTATION, "cloudformation:DescribeStacks"), (SELF_MUTATION, "s3:ListBucket")}
"""The actions of CDK's self-mutation on all resources, acknowledged for this role only."""


@dataclass(frozen=True)
class Grant:
    """One statement that allows something."""

    path: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    statement: dict[str, Any]


@cache
def grants() -> list[Grant]:
    return [grant for file in promotion().template_files() for grant in read(json.loads(file.read_text()))]


def read(template: dict[str, Any]) -> Iterator[Grant]:
    for resource in template["Resources"].values():
        if resource["Type"] in POLICIES:
            properties = resource["Properties"]
            documents = [each["PolicyDocument"] for each in [properties, *properties.get("Policies", [])]
                         if "PolicyDocument" in each]  # fmt: skip
            for statement in (each for document in documents for each in document["Statement"]):
                if statement["Effect"] == "Allow":
                    yield Grant(
                        path=resource["Metadata"]["aws:cdk:path"],
                        actions=tuple(listed(statement.get("Action", "*"))),
                        resources=tuple(json.dumps(each) for each in listed(statement.get("Resource", "*"))),
                        statement=statement,
                    )


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_no_policy_allows_actions_by_wildcard_or_by_exclusion() -> None:
    assert [grant for grant in grants() if any("*" in action for action in grant.actions)] == []
    assert [grant for grant in grants() if {"NotAction", "NotResource"} & set(grant.statement)] == []


def test_only_actions_without_resource_level_permissions_are_allowed_on_all_resources() -> None:
    everywhere = {(grant.path, action) for grant in grants() if '"*"' in grant.resources for action in grant.actions}
    assert {each for each in everywhere if each[1] not in WITHOUT_RESOURCE} == OF_CDK


def test_the_list_of_exceptions_has_no_unused_entry() -> None:
    used = {action for grant in grants() if '"*"' in grant.resources for action in grant.actions}
    assert set(WITHOUT_RESOURCE) <= used


def test_no_role_may_pass_or_change_roles() -> None:
    forbidden = ("iam:", "organizations:", "sts:AssumeRoleWith")
    assert [grant for grant in grants() if any(action.startswith(forbidden) for action in grant.actions)] == []


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
@pytest.mark.parametrize(
    ("function", "services"),
    [
        ("Validation", {"dynamodb", "ec2", "logs", "kms", "rds-db", "secretsmanager", "ssm", "xray"}),
        ("FraudDetection", {"dynamodb", "ec2", "logs", "kms", "secretsmanager", "ssm", "xray"}),
        ("../Sealing/Job", {"dynamodb", "ec2", "logs", "kms", "s3", "xray"}),
        ("../Sweeper/Sweeper", {"dynamodb", "ec2", "logs", "kms", "s3", "xray"}),
        ("Processing", {"dynamodb", "ec2", "logs", "kms", "s3", "secretsmanager", "ssm", "xray"}),
        ("Transactions", {"dynamodb", "ec2", "logs", "kms", "s3", "secretsmanager", "xray"}),
    ],
)
def test_a_function_may_use_only_the_services_that_it_needs(
    environment: str, function: str, services: set[str]
) -> None:
    path = normpath(f"{environment.capitalize()}/Platform/Compute/{function}") + "/"
    actions = {action for grant in grants() if grant.path.startswith(path) for action in grant.actions}
    assert actions, "the function's policy was not found"
    assert {action.split(":")[0] for action in actions} <= services


def test_the_sweeper_finds_and_finishes_what_is_pending_and_writes_no_payment() -> None:
    own = [grant for grant in grants() if grant.path.startswith("Dev/Platform/Sweeper/")]
    stores = {action for grant in own for action in grant.actions if action.startswith(("dynamodb:", "s3:"))}
    assert stores == {
        "dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem",
        "s3:GetObject", "s3:PutObject",
    }  # fmt: skip
    assert {str(grant.resources) for grant in own if "dynamodb:PutItem" in grant.actions} == {
        str(grant.resources) for grant in own if "dynamodb:BatchGetItem" in grant.actions
    }


@pytest.mark.parametrize("environment", ["Dev", "Staging", "Prod"])
def test_traffic_is_moved_by_release_role_and_watchdog_and_taken_back_before_a_deployment_by_nobody_else(
    environment: str,
) -> None:
    movers = {"elasticloadbalancing:ModifyListener", "lambda:UpdateAlias"}
    assert {grant.path for grant in grants() if grant.path.startswith(environment) and movers & set(grant.actions)} == {
        f"{environment}/Platform/DeliveryRoles/ReleasePolicy/Resource",
        f"{environment}/Platform/Compute/SteadyState/Provider/Policy/Resource",
        f"{environment}/Platform/Watchdog/Function/Policy/Resource",
    }


CLIENT_NAMES = {"elbv2": "elasticloadbalancing"}
"""SDK clients whose actions have another prefix."""
WITHOUT_PERMISSION = {"sts:GetCallerIdentity"}
"""Actions for which "no permissions are required" (API reference of STS)."""
BY_ANOTHER_SERVICE = ("kms:",)
"""Actions that DynamoDB and SNS take in the caller's name, because their data is encrypted."""


def calls(*modules: Path) -> set[str]:
    """The actions that these modules take through SDK clients, from their source: ``self._x = aws.client("lambda")``
    and ``self._x.get_alias(…)``."""
    found = set()
    for module in modules:
        tree = ast.parse(module.read_text())
        services = {}
        for node in ast.walk(tree):
            match node:
                case ast.Assign(
                    targets=[ast.Attribute(attr=name)],
                    value=ast.Call(func=ast.Attribute(attr="client"), args=[ast.Constant(value=str(service)), *_]),
                ):
                    services[name] = service
        for node in ast.walk(tree):
            match node:
                case ast.Call(
                    func=ast.Attribute(
                        value=ast.Call(func=ast.Attribute(attr="client"), args=[ast.Constant(value=str(service)), *_]),
                        attr=method,
                    )
                ):
                    found.add(action(service, method))
                case ast.Call(
                    func=ast.Attribute(value=ast.Attribute(attr=name), attr="get_paginator"),
                    args=[ast.Constant(value=str(method))],
                ) if name in services:
                    found.add(action(services[name], method))
                case ast.Attribute(value=ast.Attribute(attr=name), attr=method) if name in services and method not in (
                    "get_paginator",
                    "exceptions",
                ):
                    found.add(action(services[name], method))
    return found


def action(service: str, method: str) -> str:
    client: Any = boto3.client(service, region_name="us-east-1")  # type: ignore[call-overload]
    return f"{CLIENT_NAMES.get(service, service)}:{client.meta.method_to_api_mapping[method]}"


def test_the_release_role_may_do_what_the_controller_does_and_nothing_else() -> None:
    used = calls(ROOT / "pipeline/aws.py", *(ROOT / "pipeline/release").rglob("*.py"))
    for environment in ("Dev", "Staging", "Prod"):
        path = f"{environment}/Platform/DeliveryRoles/ReleasePolicy/Resource"
        granted = {each for grant in grants() if grant.path == path for each in grant.actions}
        assert {each for each in granted if not each.startswith(BY_ANOTHER_SERVICE)} == used - WITHOUT_PERMISSION


@pytest.mark.parametrize("environment", ["Dev", "Staging", "Prod"])
def test_the_sealing_job_writes_seals_and_nothing_else_and_only_it_may_sign_them(environment: str) -> None:
    job = f"{environment}/Platform/Sealing/Job/Policy/Resource"
    own = [grant for grant in grants() if grant.path == job]
    writing = re.compile(r"s3:(Put|Delete)|dynamodb:(Put|Update|Delete|Transact)|kms:Sign")
    writes = {(action, each) for grant in own for action in grant.actions for each in grant.resources
              if writing.match(action)}  # fmt: skip
    assert {action for action, _ in writes} == {"s3:PutObject", "kms:Sign"}
    assert all(each.endswith('/seals/*"]]}') for action, each in writes if action == "s3:PutObject")
    [key] = {each for action, each in writes if action == "kms:Sign"}
    signers = {grant.path for grant in grants() if grant.path.startswith(environment) and "kms:Sign" in grant.actions}
    assert "SealingKey" in key
    assert signers == {job}


def test_the_watchdog_may_do_what_its_modules_do_and_nothing_else() -> None:
    used = calls(*(watchdog_bundle.bundle() / "pipeline/release").rglob("*.py"))
    for environment in ("Dev", "Staging", "Prod"):
        path = f"{environment}/Platform/Watchdog/Function/Policy/Resource"
        granted = {each for grant in grants() if grant.path == path for each in grant.actions}
        of_every_function = (*BY_ANOTHER_SERVICE, "ec2:", "logs:", "xray:")
        assert {each for each in granted if not each.startswith(of_every_function)} == used


def test_only_the_steps_of_a_release_may_sign_its_evidence() -> None:
    signers = {grant.path for grant in grants() if "kms:Sign" in grant.actions}
    assert {path for path in signers if "/Sealing/" not in path} == {
        f"payment-pipeline/Pipeline/Pipeline/{stage}/{step}/{step}/Role/DefaultPolicy/Resource"
        for stage in ("Dev", "Staging", "Prod")
        for step in ("LoadGate", "BlueGreenShift", "Evidence")
    }


@pytest.mark.parametrize("environment", ["Dev", "Staging", "Prod"])
def test_only_the_load_test_role_calls_the_candidate(environment: str) -> None:
    called = {
        (grant.path, stage)
        for grant in grants()
        if grant.path.startswith(environment) and "execute-api:Invoke" in grant.actions
        for resource in grant.resources
        for stage in re.findall(r'"/(\w+)/(?:GET|POST)/', resource) or [resource]
    }
    roles, staff = f"{environment}/Platform/DeliveryRoles", f"{environment}/Platform/StaffRoles"
    assert called == {
        (f"{roles}/LoadTestPolicy/Resource", environment.lower()),
        (f"{roles}/LoadTestPolicy/Resource", "candidate"),
        (f"{staff}/ReviewerPolicy/Resource", environment.lower()),
        (f"{staff}/OperatorPolicy/Resource", environment.lower()),
    }


@pytest.mark.parametrize(
    ("role", "routes"),
    [
        ("Reviewer", {"GET/transactions", "GET/transactions/*", "POST/transactions/*/decision"}),
        ("Operator", {"GET/transactions", "GET/transactions/*", "POST/transactions/*/reversal"}),
    ],
)
def test_reviewers_and_operators_may_call_their_own_routes_and_do_nothing_else(role: str, routes: set[str]) -> None:
    for environment in ("Dev", "Staging", "Prod"):
        path = f"{environment}/Platform/StaffRoles/{role}Policy/Resource"
        [grant] = [each for each in grants() if each.path == path]
        assert grant.actions == ("execute-api:Invoke",)
        assert {re.findall(r'"/\w+/(.*?)"', resource)[0] for resource in grant.resources} == routes
