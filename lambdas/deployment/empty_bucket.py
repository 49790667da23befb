"""Deletes all versions of all objects of a bucket that CloudFormation is about to delete.

Property: ``BucketName``. Nothing happens on create and update.

CloudFormation sends Delete also when an update removes the custom resource only, and keeps the bucket with its data. So
the bucket itself must say that it may be emptied, by the tag ``TAG``. CloudFormation updates a bucket's tags before it
deletes what an update removed. CDK's ``auto_delete_objects`` has the same rule.
"""

from typing import Any

from lambdas.adapters import aws
from lambdas.deployment.custom_resource import Event, Outcome, custom_resource

TAG = {"Key": "payment:emptied-on-delete", "Value": "true"}
_PAGE = 250
"""Versions a request: few enough to be deleted within the client's read timeout."""


@custom_resource
def handler(event: Event) -> Outcome:
    bucket = event["ResourceProperties"]["BucketName"]
    if event["RequestType"] != "Delete":
        return bucket, {}  # another one after a replacement: CloudFormation then deletes the former
    if event["PhysicalResourceId"] == bucket:  # not that of a creation that failed
        _empty(bucket)
    return event["PhysicalResourceId"], {}


def _empty(bucket: str) -> None:
    client = aws.patient_client("s3")
    try:
        if not _is_marked(client, bucket):
            print(f"{bucket} has no tag {TAG['Key']}: its objects stay")
            return
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, MaxKeys=_PAGE):
            versions = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            if versions:
                _delete(client, bucket, versions)
    except client.exceptions.NoSuchBucket:
        return  # deleted by hand, earlier


def _is_marked(client: Any, bucket: str) -> bool:
    try:
        return TAG in client.get_bucket_tagging(Bucket=bucket)["TagSet"]
    except client.exceptions.ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchTagSet":
            return False
        raise


def _delete(client: Any, bucket: str, versions: list[dict[str, Any]]) -> None:
    """Delete one page of versions. Raises ``RuntimeError`` with the first that can't be deleted."""
    objects = [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in versions]
    answer = client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
    if errors := answer.get("Errors"):
        raise RuntimeError(f"{bucket}/{errors[0]['Key']}: {errors[0]['Code']}: {errors[0]['Message']}")
