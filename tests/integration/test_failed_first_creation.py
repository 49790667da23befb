"""A first creation that fails, with protection as prod has it: nothing but its recovery lets it be tried again."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from environments import environment
from localcloud import LocalCloud
from pipeline.local.process import clean_environment
from tests.integration.conftest import ROOT
from tests.integration.test_deploy import deploy, queue
from tests.integration.test_local_cloud_deployments import FAILING_FUNCTION, ROLE

NAME = "pr7"
STACK = environment(NAME).stack_name
Result = subprocess.CompletedProcess[str]


def table(name: str, **attributes: str) -> dict[str, Any]:
    properties = {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "DeletionProtectionEnabled": True,
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    }
    return {"Type": "AWS::DynamoDB::Table", "Properties": properties, **attributes}


BALANCER = {
    "Type": "AWS::ElasticLoadBalancingV2::LoadBalancer",
    "Properties": {
        "Name": "protected",
        "Scheme": "internal",
        "LoadBalancerAttributes": [{"Key": "deletion_protection.enabled", "Value": "true"}],
    },
}
WHOLE = {"Protected": table("protected"), "Kept": table("kept", DeletionPolicy="RetainExceptOnCreate"), "Alb": BALANCER}
BROKEN = {
    **WHOLE,
    "Role": ROLE,
    "Function": FAILING_FUNCTION,
    "Broken": {
        "Type": "Custom::Broken",
        "DependsOn": list(WHOLE),
        "Properties": {"ServiceToken": {"Fn::GetAtt": ["Function", "Arn"]}},
    },
}


@pytest.fixture
def aws(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    """A session of the account's root, which leaves no stack of these tests behind."""
    for variable, value in cloud.environ().items():
        monkeypatch.setenv(variable, value)
    session = boto3.Session()
    yield session
    for name in ("protected", "kept"):
        if name in session.client("dynamodb").list_tables()["TableNames"]:
            session.client("dynamodb").update_table(TableName=name, DeletionProtectionEnabled=False)
            session.client("dynamodb").delete_table(TableName=name)
    recover(cloud, "--yes")
    session.client("cloudformation").delete_stack(StackName=STACK)


def recover(cloud: LocalCloud, *options: str) -> Result:
    return subprocess.run(
        [sys.executable, "-m", "pipeline.bootstrap", "--env", NAME, "--recover", *options],
        cwd=ROOT, env={**clean_environment(), **cloud.environ(), "LOCAL_CLOUD": NAME}, capture_output=True, text=True,
    )  # fmt: skip


def status(aws: boto3.Session) -> str:
    return aws.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"]


def test_a_protected_stack_is_stranded_until_its_recovery(
    cloud: LocalCloud, aws: boto3.Session, tmp_path: Path
) -> None:
    # Given a creation that fails after the protected resources were made: its roll-back can't delete them
    assert deploy(cloud, tmp_path, STACK, BROKEN).returncode == 1
    assert status(aws) == "ROLLBACK_FAILED"
    # When it is deployed again without the fault
    refused = deploy(cloud, tmp_path, STACK, WHOLE)
    # Then CloudFormation refuses it as on AWS, and the message names the way out
    assert refused.returncode == 1
    said = refused.stdout.splitlines()[-1]
    assert re.search(r"Stack:arn:\S+ is in ROLLBACK_FAILED state and can not be updated", said), said
    assert f"python -m pipeline.bootstrap --env {NAME} --recover" in said

    # When the recovery is asked for without --yes, then it shows what it would do, and does nothing
    shown = recover(cloud)
    assert shown.returncode == 1, shown.stderr
    assert "lift the deletion protection of AWS::DynamoDB::Table protected" in shown.stdout
    assert "delete AWS::DynamoDB::Table kept, which the template would keep" in shown.stdout
    assert "lift the deletion protection of AWS::ElasticLoadBalancingV2::LoadBalancer arn:" in shown.stdout
    assert status(aws) == "ROLLBACK_FAILED"
    assert "protected" in aws.client("dynamodb").list_tables()["TableNames"]

    # When it is confirmed, then nothing is left, and the creation goes through
    done = recover(cloud, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "retry-stage-execution" in done.stdout
    assert {"protected", "kept"}.isdisjoint(aws.client("dynamodb").list_tables()["TableNames"])
    again = deploy(cloud, tmp_path, STACK, {"One": queue("recovered")})
    assert again.returncode == 0, again.stdout
    # And a second recovery refuses the stack, which is whole now
    whole = recover(cloud, "--yes")
    assert (whole.returncode, status(aws)) == (1, "CREATE_COMPLETE")
    assert "is CREATE_COMPLETE: that is no failed first creation" in whole.stderr


def test_a_stranded_stack_that_holds_a_payment_is_left_alone(
    cloud: LocalCloud, aws: boto3.Session, tmp_path: Path
) -> None:
    deploy(cloud, tmp_path, STACK, BROKEN)
    aws.client("dynamodb").put_item(TableName="protected", Item={"id": {"S": "a payment"}})
    refused = recover(cloud, "--yes")
    assert refused.returncode == 1
    assert "holds data, so nothing was changed: AWS::DynamoDB::Table protected: it has items" in refused.stderr
    assert status(aws) == "ROLLBACK_FAILED"


def test_an_execution_that_failed_can_not_be_tried_again(cloud: LocalCloud, aws: boto3.Session, tmp_path: Path) -> None:
    # CodePipeline's Deploy would execute the change set of its Prepare, which is gone.
    deploy(cloud, tmp_path, STACK, BROKEN)
    cloudformation = aws.client("cloudformation")
    assert cloudformation.list_change_sets(StackName=STACK)["Summaries"] == []


def test_without_a_stack_there_is_nothing_to_recover(cloud: LocalCloud) -> None:
    done = recover(cloud)
    assert (done.returncode, "There is no stack" in done.stdout) == (0, True), done.stderr
