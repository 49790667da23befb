"""The custom resource that empties a bucket before its stack deletes it, and only then."""

import json
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from lambdas.adapters import aws
from lambdas.deployment import custom_resource, empty_bucket

MARKED = [{"Key": "environment", "Value": "dev"}, empty_bucket.TAG]


class Bucket:
    """Versions and delete markers, two pages of them."""

    exceptions = boto3.client("s3", region_name="us-east-1").exceptions

    def __init__(self) -> None:
        self.tags = MARKED
        self.refuses: str | None = None
        """The error code with which it answers questions about its tags."""
        self.versions = [("a", "1"), ("a", "2"), ("b", "1")]
        self.asked: list[str] = []

    def get_bucket_tagging(self, *, Bucket: str) -> Any:
        if self.refuses:
            raise self.exceptions.from_code(self.refuses)({"Error": {"Code": self.refuses}}, "GetBucketTagging")
        return {"TagSet": self.tags}

    def get_paginator(self, name: str) -> Any:
        assert name == "list_object_versions"
        pages = [
            {"Versions": [{"Key": "a", "VersionId": "1"}, {"Key": "b", "VersionId": "1"}]},
            {"DeleteMarkers": [{"Key": "a", "VersionId": "2"}]},
        ]
        return SimpleNamespace(paginate=lambda **_: iter(pages))

    def delete_objects(self, *, Bucket: str, Delete: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(Bucket)
        self.versions = [
            each for each in self.versions if {"Key": each[0], "VersionId": each[1]} not in Delete["Objects"]
        ]
        return {}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    made = Bucket()
    monkeypatch.setattr(aws, "patient_client", lambda service: made)
    return made


def ask(monkeypatch: pytest.MonkeyPatch, request: str, *, name: str = "audit", physical: str | None = None) -> Any:
    """The answer to CloudFormation."""
    sent: list[bytes] = []
    monkeypatch.setattr(custom_resource, "_send", lambda url, body: sent.append(body))
    event = {
        "RequestType": request,
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Emptier",
        "ResponseURL": "https://answer.invalid",
        "ResourceProperties": {"BucketName": name},
        **({"PhysicalResourceId": physical} if physical else {}),
    }
    empty_bucket.handler(event, SimpleNamespace(log_stream_name="log"))
    return json.loads(sent[0])


def test_a_deletion_empties_the_bucket_of_all_versions(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(monkeypatch, "Delete", physical="audit")["Status"] == "SUCCESS"
    assert bucket.versions == []
    assert set(bucket.asked) == {"audit"}


@pytest.mark.parametrize(("request_type", "physical"), [("Create", None), ("Update", "audit"), ("Update", "former")])
def test_nothing_else_deletes_anything(
    request_type: str, physical: str | None, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a bucket that is made, stays, or takes the place of another
    answer = ask(monkeypatch, request_type, physical=physical)
    # Then it is untouched, and known by its name: CloudFormation deletes the former one by that one's
    assert bucket.asked == []
    assert answer["PhysicalResourceId"] == "audit"


def test_the_end_of_a_creation_that_failed_empties_nothing(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(monkeypatch, "Delete", physical="an id that CloudFormation made up")["Status"] == "SUCCESS"
    assert bucket.asked == []


@pytest.mark.parametrize("tags", [[], [{"Key": "environment", "Value": "dev"}]], ids=["no tags", "other tags"])
def test_an_update_that_keeps_the_bucket_keeps_all_that_it_holds(
    tags: list[dict[str, str]], bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a bucket whose stack no longer deletes it: the update took its tag, then removed the custom resource
    bucket.tags, bucket.refuses = tags, None if tags else "NoSuchTagSet"
    # When CloudFormation tells of the removal, then it succeeds, and nothing is deleted
    assert ask(monkeypatch, "Delete", physical="audit")["Status"] == "SUCCESS"
    assert bucket.asked == []


def test_a_bucket_whose_tags_can_not_be_read_is_not_emptied(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.refuses = "AccessDenied"
    assert ask(monkeypatch, "Delete", physical="audit")["Status"] == "FAILED"
    assert bucket.asked == []


def test_a_bucket_that_is_gone_already_needs_no_emptying(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.refuses = "NoSuchBucket"
    assert ask(monkeypatch, "Delete", physical="audit")["Status"] == "SUCCESS"
