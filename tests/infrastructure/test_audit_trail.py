"""The trail of prod's account: what it records, where its files go and stay, and who hears when a control ends."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.infrastructure.platform_template import PlatformTemplate, as_list, logical_id, references, text


@pytest.fixture
def prod(platforms: Mapping[str, PlatformTemplate]) -> PlatformTemplate:
    return platforms["prod"]


def test_only_prod_has_a_trail(platforms: Mapping[str, PlatformTemplate]) -> None:
    assert [name for name, each in platforms.items() if each.resources("AWS::CloudTrail::Trail")] == ["prod"]


def test_it_records_calls_in_every_region_and_each_access_to_an_audit_record(prod: PlatformTemplate) -> None:
    trail = prod.only("AWS::CloudTrail::Trail")
    assert (trail["IsLogging"], trail["IsMultiRegionTrail"], trail["IncludeGlobalServiceEvents"]) == (True, True, True)
    [selector] = trail["EventSelectors"]
    assert (selector["IncludeManagementEvents"], selector["ReadWriteType"]) == (True, "All")
    [objects] = selector["DataResources"]
    assert objects["Type"] == "AWS::S3::Object"
    [records] = objects["Values"]
    assert references(records) == {"StorageAudit9012A908"}
    assert text(records).endswith('"/"]]}'), "the bucket alone is no prefix of its objects"


def test_its_files_are_signed_encrypted_locked_and_kept_in_a_bucket_of_their_own(prod: PlatformTemplate) -> None:
    trail = prod.only("AWS::CloudTrail::Trail")
    assert trail["EnableLogFileValidation"] is True
    assert logical_id(trail["KMSKeyId"]) == "SecurityDataKeyA8BBAEFF"
    resource = prod.resources()[logical_id(trail["S3BucketName"])]
    bucket = resource["Properties"]
    assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
    assert bucket["ObjectLockConfiguration"]["Rule"]["DefaultRetention"] == {"Mode": "COMPLIANCE", "Days": 365}
    assert bucket["LoggingConfiguration"]["LogFilePrefix"] == "trail-bucket/"
    [rule] = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] >= 365


def test_only_this_trail_delivers_to_the_bucket_uses_the_key_and_writes_its_log(prod: PlatformTemplate) -> None:
    # Given every statement and trust that names the service
    [id], trail = prod.resources("AWS::CloudTrail::Trail"), prod.only("AWS::CloudTrail::Trail")
    policies = prod.resources("AWS::S3::BucketPolicy")
    key = prod.resources()["SecurityDataKeyA8BBAEFF"]["Properties"]["KeyPolicy"]
    roles = [role["AssumeRolePolicyDocument"] for role in prod.properties("AWS::IAM::Role")]
    documents = [*(policy["Properties"]["PolicyDocument"] for policy in policies.values()), key, *roles]
    statements = [
        each
        for document in documents
        for each in document["Statement"]
        if "cloudtrail.amazonaws.com" in text(each["Principal"])
    ]
    # Then each is limited to the trail, and there is one for each thing that it does
    assert {action for each in statements for action in as_list(each["Action"])} == {
        "s3:GetBucketAcl", "s3:PutObject", "kms:GenerateDataKey*", "kms:DescribeKey", "sts:AssumeRole",
    }  # fmt: skip
    for each in statements:
        source = text(each["Condition"]["StringEquals"]["aws:SourceArn"])
        assert source.rstrip('"]}').endswith(f":trail/{trail['TrailName']}")
    # And the policy is there before CloudTrail asks for it
    [policy] = [
        id
        for id, each in policies.items()
        if logical_id(each["Properties"]["Bucket"]) == logical_id(trail["S3BucketName"])
    ]
    assert policy in prod.resources()[id]["DependsOn"]


def matches(pattern: str, event: Mapping[str, Any]) -> bool:
    """Whether a filter pattern of the form ``{ A || ((B) && C) }`` matches a JSON log event."""
    expression = pattern.strip().removeprefix("{").removesuffix("}")
    expression = re.sub(r'\$\.([\w.]+) = ("?)([\w.${}:-]+)\2', lambda m: f"(get({m[1]!r}) == {m[3]!r})", expression)

    def get(path: str) -> Any:
        found: Any = event
        for part in path.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return found

    return bool(eval(expression.replace("||", " or ").replace("&&", " and "), {"get": get}))


@pytest.mark.parametrize(
    ("event", "rings"),
    [
        ({"eventName": "StopLogging"}, True),
        ({"eventName": "DeleteFlowLogs"}, True),
        ({"eventName": "ScheduleKeyDeletion"}, True),
        ({"eventName": "DeleteAlarms"}, True),
        ({"eventName": "DeleteObjects", "requestParameters": {"bucketName": "BUCKET"}}, True),
        ({"eventName": "DeleteObject", "requestParameters": {"bucketName": "BUCKET"}}, True),
        ({"eventName": "DeleteObject", "requestParameters": {"bucketName": "another"}}, False),
        ({"eventName": "GetObject", "requestParameters": {"bucketName": "BUCKET"}}, False),
        ({"eventName": "UpdateAlias"}, False),
    ],
)
def test_the_alarm_rings_when_a_control_ends_or_a_record_is_deleted(
    prod: PlatformTemplate, event: dict[str, Any], rings: bool
) -> None:
    # Given the filter of the trail's log
    found, trail = prod.only("AWS::Logs::MetricFilter"), prod.only("AWS::CloudTrail::Trail")
    assert logical_id(found["LogGroupName"]) == logical_id(trail["CloudWatchLogsLogGroupArn"])
    parts = found["FilterPattern"]["Fn::Join"][1]
    assert references(parts) == {"StorageAudit9012A908"}
    pattern = "".join(each if isinstance(each, str) else "BUCKET" for each in parts)
    assert len(pattern) <= 1024, "CloudWatch Logs takes no longer one"
    # When the call is recorded, then it is counted or not
    assert matches(pattern, event) is rings
    # And the alarm watches the count
    [counted] = found["MetricTransformations"]
    alarm = prod.named("AWS::CloudWatch::Alarm", AlarmName="payment-controls-switched-off-prod")
    assert (alarm["Namespace"], alarm["MetricName"]) == (counted["MetricNamespace"], counted["MetricName"])
    assert (alarm["Threshold"], alarm["TreatMissingData"]) == (0, "notBreaching")
