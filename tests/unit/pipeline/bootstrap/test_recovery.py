"""Recovery after a failed first creation: what it refuses, and that it may be interrupted.

tests/integration/test_failed_first_creation.py shows it on a stack.
"""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.bootstrap import recovery
from pipeline.bootstrap.recovery import NotRecoverable, remove, survey

ID = "arn:aws:cloudformation:us-east-1:111111111111:stack/payment-platform-prod/1"
KEY, CLUSTER = "AWS::KMS::Key", "AWS::RDS::DBCluster"


def resource(kind: str, id: str, status: str = "CREATE_COMPLETE", reason: str = "") -> dict[str, str]:
    found = {"LogicalResourceId": id.title(), "PhysicalResourceId": id, "ResourceType": kind, "ResourceStatus": status}
    return {**found, "ResourceStatusReason": reason} if reason else found


class Aws:
    """One stack, and the services of its resources. Its deletion ends as ``ends``."""

    def __init__(self, status: str, *resources: dict[str, str], events: tuple[str, ...] = (), kept: str = "") -> None:
        self.status, self.resources, self.events, self.kept = status, list(resources), events, kept
        self.ends = "DELETE_COMPLETE"
        self.protected = True
        self.termination_protection = False
        self.calls: list[str] = []

    def client(self, service: str) -> Any:
        return self

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        if not self.status:
            raise ClientError({"Error": {"Code": "ValidationError", "Message": "does not exist"}}, "DescribeStacks")
        protection = {"EnableTerminationProtection": self.termination_protection}
        return {"Stacks": [{"StackId": ID, "StackStatus": self.status, **protection}]}

    def get_paginator(self, operation: str) -> Any:
        return Pages(self, operation)

    def get_template(self, StackName: str) -> dict[str, Any]:
        kept = {self.kept.title(): {"DeletionPolicy": "RetainExceptOnCreate"}} if self.kept else {}
        return {"TemplateBody": {"Resources": kept}}

    def describe_db_clusters(self, DBClusterIdentifier: str) -> dict[str, Any]:
        return {"DBClusters": [{"DeletionProtection": self.protected}]}

    def modify_db_cluster(self, **_: Any) -> None:
        self.protected = False
        self.calls.append("lift")

    def schedule_key_deletion(self, **_: Any) -> None:
        self.calls.append("key")
        raise ClientError({"Error": {"Code": "KMSInvalidStateException", "Message": "pending"}}, "ScheduleKeyDeletion")

    def list_object_versions(self, **_: Any) -> list[dict[str, Any]]:
        return []

    def delete_bucket(self, **_: Any) -> None:
        self.calls.append("bucket")
        raise ClientError({"Error": {"Code": "BucketNotEmpty", "Message": "it has logs"}}, "DeleteBucket")

    def update_termination_protection(self, EnableTerminationProtection: bool, **_: Any) -> None:
        self.termination_protection = EnableTerminationProtection
        self.calls.append("termination")

    def delete_stack(self, **_: Any) -> None:
        self.calls.append("delete")
        self.status = self.ends


class Pages:
    def __init__(self, aws: Aws, operation: str) -> None:
        self._aws, self._operation = aws, operation

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        if self._operation == "list_stack_resources":
            return [{"StackResourceSummaries": [each]} for each in self._aws.resources]
        return [{"StackEvents": [{"PhysicalResourceId": ID, "ResourceStatus": each}]} for each in self._aws.events]


def found(aws: Aws) -> recovery.Remains | None:
    return survey(aws, "payment-platform-prod")  # type: ignore[arg-type]


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "UPDATE_ROLLBACK_FAILED", "CREATE_IN_PROGRESS"])
def test_a_stack_in_another_state_is_refused(status: str) -> None:
    with pytest.raises(NotRecoverable, match=f"is {status}: that is no failed first creation"):
        found(Aws(status))


def test_a_stack_that_was_complete_once_is_refused_even_if_its_deletion_has_failed() -> None:
    aws = Aws("DELETE_FAILED", resource(CLUSTER, "payments"), events=("CREATE_IN_PROGRESS", "CREATE_COMPLETE"))
    with pytest.raises(NotRecoverable, match="was complete once and may hold data"):
        found(aws)
    assert aws.calls == []


def test_everything_protected_or_kept_is_removed_before_the_stack() -> None:
    # Given a failed creation as of prod with retain_data; its key waits for its deletion since an earlier recovery
    aws = Aws(
        "ROLLBACK_FAILED", resource(CLUSTER, "payments", "DELETE_FAILED"), resource(KEY, "key"),
        resource("AWS::SQS::Queue", "gone", "DELETE_COMPLETE"), events=("CREATE_IN_PROGRESS",), kept="key",
    )  # fmt: skip
    aws.termination_protection = True
    # When it is looked at, then nothing is changed
    remains = found(aws)
    assert remains is not None
    assert aws.calls == []
    assert [each.partition(" (")[0] for each in remains.actions()] == [
        f"lift the deletion protection of {CLUSTER} payments",
        f"delete {KEY} key, which the template would keep",
        "lift the termination protection of the stack",
        "delete the stack",
    ]
    # When it is removed, then in this order
    remove(aws, remains, lambda text: None)  # type: ignore[arg-type]
    assert aws.calls == ["lift", "key", "termination", "delete"]


def test_a_kept_bucket_that_has_logs_already_stays_behind() -> None:
    # Given the logs of prod's first minutes, which nobody can delete
    aws = Aws("ROLLBACK_FAILED", resource("AWS::S3::Bucket", "logs", "DELETE_FAILED"), kept="logs")
    remains = found(aws)
    assert remains is not None
    # When the remains are cleared away, then the stack goes
    remove(aws, remains, lambda text: None)  # type: ignore[arg-type]
    assert aws.calls == ["bucket", "delete"]


def test_a_deletion_that_fails_names_what_could_not_be_deleted_and_why() -> None:
    aws = Aws("ROLLBACK_COMPLETE", resource("AWS::S3::Bucket", "logs", "DELETE_FAILED", "The bucket is not empty"))
    aws.ends = "DELETE_FAILED"
    remains = found(aws)
    assert remains is not None
    with pytest.raises(NotRecoverable, match=r"Logs: The bucket is not empty\. Remove the cause, and run this again"):
        remove(aws, remains, lambda text: None)  # type: ignore[arg-type]


def test_a_deletion_that_takes_too_long_says_that_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    aws, now, said = Aws("ROLLBACK_COMPLETE", resource(KEY, "key")), [0.0], list[str]()
    aws.ends = "DELETE_IN_PROGRESS"
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    remains = found(aws)
    assert remains is not None
    with pytest.raises(NotRecoverable, match=r"still DELETE_IN_PROGRESS\. It goes on by itself"):
        remove(aws, remains, said.append)  # type: ignore[arg-type]
    assert said == ["deleting the stack, 1 resources left (functions in a VPC take 20 to 45 minutes)"]
    assert now[0] == pytest.approx(recovery.LONGEST_SECONDS, abs=10)
