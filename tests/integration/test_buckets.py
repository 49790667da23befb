"""Buckets: what CloudFormation's updates and S3's lifecycle rules do to their objects."""

import json
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from lambdas.deployment.empty_bucket import TAG
from tests.integration.conftest import Platform
from tests.integration.test_local_cloud_services import eventually

BUCKET, EMPTYING = "StorageAccessLogs96FB524C", "StorageEmptyAccessLogs"
"""A bucket of the platform that holds nothing here, and the beginning of the id of the step that empties it."""


def keeping_the_bucket(platform: Platform, *, tagged: bool) -> dict[str, Any]:
    """The platform's template without the step that empties the bucket."""
    template = platform.template()
    resources = template["Resources"]
    [emptying] = [id for id in resources if id.startswith(EMPTYING)]
    del resources[emptying]
    for resource in resources.values():
        if emptying in resource.get("DependsOn", []):
            resource["DependsOn"].remove(emptying)
    if not tagged:
        resources[BUCKET]["Properties"]["Tags"].remove(TAG)
    return template


@pytest.mark.parametrize(("tagged", "kept"), [(False, True), (True, False)])
def test_an_update_that_keeps_a_bucket_keeps_its_objects_unless_the_bucket_says_otherwise(
    platform: Platform, *, tagged: bool, kept: bool
) -> None:
    # Given a bucket that is emptied and deleted with its stack
    s3, stacks = platform.client("s3"), platform.client("cloudformation")
    found = stacks.describe_stack_resource(StackName=platform.outputs.stack_name, LogicalResourceId=BUCKET)
    bucket = found["StackResourceDetail"]["PhysicalResourceId"]
    assert TAG in s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
    s3.put_object(Bucket=bucket, Key="kept", Body=b"record")
    # When an update removes the step that empties it, as one that sets `retain_data` does with the audit bucket
    platform.update_stack(keeping_the_bucket(platform, tagged=tagged))
    # Then its function was called, and the tag has decided
    log = (platform.cloud.folder / "logs" / "payment-empty-bucket-dev.log").read_text()
    assert f"{bucket} has no tag {TAG['Key']}" in log
    assert bool(s3.list_objects_v2(Bucket=bucket, Prefix="kept")["KeyCount"]) is kept
    platform.update_stack(platform.template())


def test_small_audit_records_go_to_glacier_after_90_days_and_are_verified_when_restored(platform: Platform) -> None:
    # Given a payment, whose record has one kilobyte, and objects where S3's default applies
    s3, bucket, day = platform.client("s3"), platform.outputs["AuditLogBucket"], datetime.now(UTC).date().isoformat()
    platform.api().pay("/process")
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    s3.create_bucket(Bucket="by-default")
    s3.put_bucket_lifecycle_configuration(Bucket="by-default", LifecycleConfiguration={"Rules": rules})
    s3.put_object(Bucket="by-default", Key="audit/small", Body=b"x" * 1000)
    s3.put_object(Bucket="by-default", Key="audit/large", Body=b"x" * 128 * 1024)
    here = ("--state", str(platform.cloud.folder.parent))

    def classes(folder: str = "audit/") -> set[str]:
        return {each["StorageClass"] for each in s3.list_objects_v2(Bucket=bucket, Prefix=folder)["Contents"]}

    # When the records are 89 days old, and then one day more
    platform.run("localcloud", "age", "dev", "--days", "89", *here)
    early = classes()
    said = platform.run("localcloud", "age", "dev", *here)
    # Then they are archived on the second, and the small object without the setting never
    assert (early, classes()) == ({"STANDARD"}, {"GLACIER"}), said.stderr
    assert f"{bucket}/audit/" in said.stdout
    assert classes("seals/") == {"STANDARD"}
    assert "StorageClass" not in s3.head_object(Bucket="by-default", Key="audit/small")
    assert s3.head_object(Bucket="by-default", Key="audit/large")["StorageClass"] == "GLACIER"
    # And the verification names a record until all are restored
    verify = ("pipeline.audit", "verify", "--env", platform.cloud.name, "--day", day)
    archived = platform.run(*verify)
    assert archived.returncode == 3
    assert ".json: it is archived" in archived.stderr
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket, Prefix="audit/")["Contents"]]
    for key in keys:
        s3.restore_object(Bucket=bucket, Key=key, RestoreRequest={"Days": 7})
    assert eventually(lambda: all('"false"' in s3.head_object(Bucket=bucket, Key=key)["Restore"] for key in keys))
    assert platform.run(*verify).returncode in (0, 1)  # 1: after tests that break records on purpose


def test_nobody_may_overwrite_an_audit_record(platform: Platform) -> None:
    # Given a record, and a user who may write all objects
    bucket = platform.outputs["AuditLogBucket"]
    platform.api().pay("/process")
    key = platform.client("s3").list_objects_v2(Bucket=bucket, Prefix="audit/")["Contents"][0]["Key"]
    user = user_client(platform, "writer", "s3", "s3:PutObject", f"arn:aws:s3:::{bucket}/*")
    # When the user, or the account's root, writes without a condition, then the bucket's policy refuses it
    for s3 in (user, platform.client("s3")):
        for name in (key, "audit/new.json"):
            with pytest.raises(ClientError, match="AccessDenied"):
                s3.put_object(Bucket=bucket, Key=name, Body=b"forged")
        # And with the condition S3 keeps what is there
        with pytest.raises(ClientError, match="PreconditionFailed"):
            s3.put_object(Bucket=bucket, Key=key, Body=b"forged", IfNoneMatch="*")
    user.put_object(Bucket=bucket, Key="elsewhere/new.json", Body=b"kept", IfNoneMatch="*")


def test_a_missing_object_is_a_secret_to_who_may_not_list_the_bucket(platform: Platform) -> None:
    # Given a user who reads objects, and lists none
    key, bucket = "audit/missing.json", platform.outputs["AuditLogBucket"]
    s3, reader = (
        platform.client("s3"),
        user_client(platform, "reader", "s3", "s3:GetObject", f"arn:aws:s3:::{bucket}/*"),
    )
    # When the user asks for a record that is missing, then nothing is learnt; who may list learns it
    with pytest.raises(ClientError, match="AccessDenied"):
        reader.get_object(Bucket=bucket, Key=key)
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket=bucket, Key=key)


def user_client(platform: Platform, name: str, service: str, action: str, resource: str) -> Any:
    """The client of a new user who may do one thing."""
    iam, variables = platform.client("iam"), platform.cloud.environ()
    iam.create_user(UserName=name)
    allowed = {"Effect": "Allow", "Action": action, "Resource": resource}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=name, PolicyName="one", PolicyDocument=document)
    granted = iam.create_access_key(UserName=name)["AccessKey"]
    session = boto3.Session(granted["AccessKeyId"], granted["SecretAccessKey"], region_name=platform.cloud.region)
    client: Any = session.client
    return client(service, endpoint_url=variables["AWS_ENDPOINT_URL"], verify=variables["AWS_CA_BUNDLE"])  # type: ignore[no-any-return]


def test_an_index_follows_its_table_a_moment_later(platform: Platform) -> None:
    # Given a customer's history
    dynamodb, table = platform.client("dynamodb"), platform.outputs["TransactionTableName"]
    key = {"transaction_id": {"S": "lag"}}
    item = {**key, "customer_id": {"S": "lag"}, "created_at": {"S": "2026-01-01T00:00:00.000000Z"}}

    def in_index() -> int:
        found = dynamodb.query(
            TableName=table, IndexName="by-customer", KeyConditionExpression="customer_id = :id",
            ExpressionAttributeValues={":id": {"S": "lag"}},
        )  # fmt: skip
        return int(found["Count"])

    # When it gets an item, then the table has it at once, and the index after the lag
    dynamodb.put_item(TableName=table, Item=item)
    seen = in_index()
    assert dynamodb.get_item(TableName=table, Key=key)["Item"] == item
    assert seen == 0
    assert eventually(lambda: in_index() == 1)
    # And the same holds when it loses it
    dynamodb.delete_item(TableName=table, Key=key)
    seen = in_index()
    assert "Item" not in dynamodb.get_item(TableName=table, Key=key)
    assert seen == 1
    assert eventually(lambda: in_index() == 0)


def test_what_prods_settings_lock_nobody_deletes_and_its_trail_is_there(platform: Platform) -> None:
    # Given the parts of prod's template that dev has not: a locked bucket, and a trail
    lock = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 365}}}
    bucket = {
        "ObjectLockEnabled": True,
        "ObjectLockConfiguration": lock,
        "VersioningConfiguration": {"Status": "Enabled"},
    }
    objects = {"Type": "AWS::S3::Object", "Values": [{"Fn::Sub": "${Records.Arn}/"}]}
    trail = {
        "TrailName": "records",
        "IsLogging": True,
        "IsMultiRegionTrail": True,
        "IncludeGlobalServiceEvents": True,
        "EnableLogFileValidation": True,
        "S3BucketName": {"Ref": "Records"},
        "KMSKeyId": platform.outputs["KmsKeyId"],
        "CloudWatchLogsLogGroupArn": "arn:aws:logs:us-east-1:000000000000:log-group:trail:*",
        "CloudWatchLogsRoleArn": platform.outputs["ReleaseRoleArn"],
        "EventSelectors": [
            {"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": [objects]},
        ],
    }
    template = {
        "Resources": {
            "Records": {"Type": "AWS::S3::Bucket", "Properties": bucket, "DeletionPolicy": "Retain"},
            "Trail": {"Type": "AWS::CloudTrail::Trail", "Properties": trail},
        }
    }
    stacks, s3, trails = (platform.client(each) for each in ("cloudformation", "s3", "cloudtrail"))
    stacks.create_stack(StackName="locked", TemplateBody=json.dumps(template))
    stacks.get_waiter("stack_create_complete").wait(StackName="locked", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    found = stacks.describe_stack_resource(StackName="locked", LogicalResourceId="Records")["StackResourceDetail"]
    name = found["PhysicalResourceId"]
    # When the account's root deletes a record, then it can't
    version = s3.put_object(Bucket=name, Key="audit/record.json", Body=b"{}")["VersionId"]
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(Bucket=name, Key="audit/record.json", VersionId=version)
    assert s3.get_object(Bucket=name, Key="audit/record.json")["Body"].read() == b"{}"
    # And the trail has the events of the bucket, until it goes with its stack
    [selector] = trails.get_event_selectors(TrailName="records")["EventSelectors"]
    assert selector["DataResources"] == [{"Type": "AWS::S3::Object", "Values": [f"arn:aws:s3:::{name}/"]}]
    assert trails.get_trail_status(Name="records")["IsLogging"] is True
    stacks.delete_stack(StackName="locked")
    stacks.get_waiter("stack_delete_complete").wait(StackName="locked", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    assert trails.describe_trails(trailNameList=["records"])["trailList"] == []
