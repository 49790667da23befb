"""Deployments on the local cloud: an unsupported resource fails clearly; only reviewed properties are ignored."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.integration.conftest import Platform, stale_entries

Deploy = Callable[[dict[str, Any]], dict[str, Any]]

FAILING_FUNCTION = {
    "Type": "AWS::Lambda::Function",
    "Properties": {
        "Runtime": "python3.12",
        "Handler": "index.handler",
        "Role": {"Fn::GetAtt": ["Role", "Arn"]},
        "Code": {"ZipFile": "import a_module_that_is_missing\n"},
    },
}
ROLE = {
    "Type": "AWS::IAM::Role",
    "Properties": {
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
            ],
        }
    },
}


@pytest.fixture
def deploy(platform: Platform) -> Iterator[Deploy]:
    """Deploy these resources as one stack. Returns the stack's status and the reasons of failed resources."""
    cloudformation: Any = platform.client("cloudformation")
    name = "small"

    def run(resources: dict[str, Any]) -> dict[str, Any]:
        template = json.dumps({"Resources": resources})
        cloudformation.create_stack(StackName=name, TemplateBody=template, Capabilities=["CAPABILITY_IAM"])
        while (stack := cloudformation.describe_stacks(StackName=name)["Stacks"][0])["StackStatus"].endswith(
            "PROGRESS"
        ):
            time.sleep(0.1)
        events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        failed = {
            e["LogicalResourceId"]: e["ResourceStatusReason"] for e in events if "CREATE_FAILED" in e["ResourceStatus"]
        }
        return {"status": stack["StackStatus"], "failed": failed}

    yield run
    cloudformation.delete_stack(StackName=name)


def test_a_stack_that_takes_a_moment_is_complete_when_its_creation_is_answered(platform: Platform) -> None:
    # Because the CDK CLI looks only every five seconds
    cloudformation: Any = platform.client("cloudformation")
    template = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})
    cloudformation.create_stack(StackName="moment", TemplateBody=template)
    assert cloudformation.describe_stacks(StackName="moment")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
    cloudformation.delete_stack(StackName="moment")


def test_a_resource_type_it_can_not_make_fails_by_name(deploy: Deploy) -> None:
    with pytest.raises(ClientError, match=r"the local cloud can't make Game \(AWS::GameLift::Fleet\)"):
        deploy({"Game": {"Type": "AWS::GameLift::Fleet", "Properties": {"Name": "fleet"}}})


def test_a_property_it_would_ignore_fails_by_name_and_leaves_nothing(platform: Platform, deploy: Deploy) -> None:
    properties = {"TopicName": "small", "ArchivePolicy": {"MessageRetentionPeriod": "5"}}

    result = deploy({"Topic": {"Type": "AWS::SNS::Topic", "Properties": properties}})

    assert result["status"] == "ROLLBACK_COMPLETE"
    assert result["failed"]["Topic"].startswith("AWS::SNS::Topic Topic: the local cloud would ignore ArchivePolicy")
    sns: Any = platform.client("sns")
    assert not [topic for topic in sns.list_topics()["Topics"] if topic["TopicArn"].endswith(":small")]


def test_a_custom_resource_whose_function_can_not_start_fails_at_once(deploy: Deploy) -> None:
    custom = {"Type": "Custom::Failing", "Properties": {"ServiceToken": {"Fn::GetAtt": ["Function", "Arn"]}}}

    result = deploy({"Role": ROLE, "Function": FAILING_FUNCTION, "Failing": custom})

    assert result["status"] == "ROLLBACK_COMPLETE"
    assert "No module named 'a_module_that_is_missing'" in result["failed"]["Failing"]


def test_the_reviewed_list_of_ignored_properties_is_exact(platform: Platform) -> None:
    """Each entry is needed: the handlers left the property unread for a deployed platform or for `cdk bootstrap`."""
    # Dev has no Fargate workers (tests/integration/loadtest/test_fargate.py).
    assert [entry for entry in stale_entries(platform.cloud) if not entry.startswith("AWS::ECS::")] == []


def test_an_unchanged_template_gives_an_empty_change_set(platform: Platform) -> None:
    cloudformation: Any = platform.client("cloudformation")
    stack = platform.outputs.stack_name
    template = cloudformation.get_template(StackName=stack, TemplateStage="Original")["TemplateBody"]
    body = template if isinstance(template, str) else json.dumps(template)
    bucket = "unchanged-template"
    s3: Any = platform.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="t.json", Body=body)

    cloudformation.create_change_set(
        StackName=stack,
        ChangeSetName="unchanged",
        TemplateURL=f"https://s3.us-east-1.amazonaws.com/{bucket}/t.json",
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    while (found := cloudformation.describe_change_set(StackName=stack, ChangeSetName="unchanged"))["Status"] in (
        "CREATE_PENDING",
        "CREATE_IN_PROGRESS",
    ):
        time.sleep(0.1)

    assert found["Status"] == "FAILED"
    assert "didn't contain changes" in found["StatusReason"]
    assert found["Changes"] == []
