"""Buckets: what CloudFormation's updates and S3's lifecycle rules do to their objects."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.deployment.empty_bucket import TAG
from tests.integration.conftest import Platform
from tests.integration.test_local_cloud_services import eventually


def audit_bucket_that_stays(platform: Platform, *, tagged: bool) -> dict[str, Any]:
    """The platform's template without the step that empties the audit bucket."""
    template = platform.template()
    resources = template["Resources"]
    [emptying] = [id for id in resources if id.startswith("StorageEmptyAudit")]
    del resources[emptying]
    for resource in resources.values():
        if emptying in resource.get("DependsOn", []):
            resource["DependsOn"].remove(emptying)
    if not tagged:
        resources["StorageAudit9012A908"]["Properties"]["Tags"].remove(TAG)
    return template


@pytest.mark.parametrize(("tagged", "kept"), [(False, True), (True, False)])
def test_an_update_that_keeps_the_audit_bucket_keeps_its_records_unless_the_bucket_says_otherwise(
    platform: Platform, *, tagged: bool, kept: bool
) -> None:
    # Given an environment that would delete its audit records with its stack
    s3, bucket = platform.client("s3"), platform.outputs["AuditLogBucket"]
    assert TAG in s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
    s3.put_object(Bucket=bucket, Key="audit/kept", Body=b"record")
    # When an update removes the step that empties the bucket, as one that sets `retain_data` does
    platform.update_stack(audit_bucket_that_stays(platform, tagged=tagged))
    # Then its function was called, and the tag has decided
    log = (platform.cloud.folder / "logs" / "payment-empty-bucket-dev.log").read_text()
    assert (f"{bucket} has no tag {TAG['Key']}" in log) or not kept
    assert bool(s3.list_objects_v2(Bucket=bucket, Prefix="audit/kept")["KeyCount"]) is kept
    platform.update_stack(platform.template())


def test_a_small_audit_record_goes_to_glacier_after_90_days_and_no_sooner(platform: Platform) -> None:
    # Given a record of one kilobyte, and an object of the same size where S3's default applies
    s3, bucket = platform.client("s3"), platform.outputs["AuditLogBucket"]
    s3.put_object(Bucket=bucket, Key="audit/small", Body=b"x" * 1000)
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    s3.create_bucket(Bucket="by-default")
    s3.put_bucket_lifecycle_configuration(Bucket="by-default", LifecycleConfiguration={"Rules": rules})
    s3.put_object(Bucket="by-default", Key="small", Body=b"x" * 1000)
    s3.put_object(Bucket="by-default", Key="large", Body=b"x" * 128 * 1024)
    # When the records are 89 days old, and then one day more
    platform.run("localcloud", "age", "dev", "--days", "89", "--state", str(platform.cloud.folder.parent))
    early = s3.head_object(Bucket=bucket, Key="audit/small").get("StorageClass")
    said = platform.run("localcloud", "age", "dev", "--state", str(platform.cloud.folder.parent))
    # Then the record is archived on the second, and the small object without the setting never
    assert early is None
    assert f"{bucket}/audit/small GLACIER" in said.stdout.splitlines(), said.stderr
    assert s3.head_object(Bucket=bucket, Key="audit/small")["StorageClass"] == "GLACIER"
    assert "StorageClass" not in s3.head_object(Bucket="by-default", Key="small")
    assert s3.head_object(Bucket="by-default", Key="large")["StorageClass"] == "GLACIER"
    # And it can't be read until it is restored
    with pytest.raises(ClientError, match="InvalidObjectState"):
        s3.get_object(Bucket=bucket, Key="audit/small")


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
