"""The seals on the local cloud: made by a schedule, by one role only, and held against ledger and audit log."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.integration.conftest import Platform
from tests.integration.test_buckets import user_client
from tests.integration.test_local_cloud_services import eventually


def seals(platform: Platform) -> list[str]:
    bucket = platform.outputs["AuditLogBucket"]
    return [
        each["Key"]
        for page in platform.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="seals/")
        for each in page.get("Contents", [])
    ]


def seal(platform: Platform) -> dict[str, Any]:
    """Let the job run. Returns what it says of today."""
    answer = platform.client("lambda").invoke(FunctionName=f"payment-sealing-{platform.cloud.name}", Payload=b"{}")
    assert "FunctionError" not in answer, answer["Payload"].read()
    body = platform.client("s3").get_object(Bucket=platform.outputs["AuditLogBucket"], Key=seals(platform)[-1])
    days = json.loads(body["Body"].read())["seal"]["days"]
    said: dict[str, Any] = days[max(days)]
    return said


def verify(platform: Platform, *options: str) -> "CompletedProcess[str]":
    day = datetime.now(UTC).date().isoformat()
    return platform.run("pipeline.audit", "verify", "--env", platform.cloud.name, "--day", day, *options)


def test_a_new_stack_has_its_first_seal_and_the_next_ones_hold_what_was_paid(
    platform: Platform, tmp_path: Path
) -> None:
    # Given a new stack, and a payment
    assert seals(platform)[0].endswith("/00000000.json")
    assert platform.api().pay("/process").status == 201
    # When the job runs
    said = seal(platform)
    # Then its seal holds the payment, and the verification trusts it, also by a key that was saved before
    assert said["fault"] is None
    assert said["records"] == sum(each["records"] for of in said["totals"].values() for each in of.values()) > 0
    alias = f"alias/payment-seals-{platform.cloud.name}"
    key = tmp_path / "key.der"
    key.write_bytes(platform.client("kms").get_public_key(KeyId=alias)["PublicKey"])
    for options in ((), ("--key", str(key))):
        whole = verify(platform, *options)
        assert whole.returncode == 0, whole.stdout + whole.stderr
        assert f"sealed at {datetime.now(UTC).date()}" in whole.stdout


def test_what_a_seal_holds_can_not_be_taken_out_of_both_stores_unnoticed(platform: Platform) -> None:
    # Given a payment under a seal, and somebody who may delete from both stores
    paid = platform.api().pay("/process").body["transaction_id"]
    seal(platform)
    s3, dynamodb, bucket = platform.client("s3"), platform.client("dynamodb"), platform.outputs["AuditLogBucket"]
    table, id = platform.outputs["TransactionTableName"], {"transaction_id": {"S": paid}}
    item = dynamodb.get_item(TableName=table, Key=id, ConsistentRead=True)["Item"]
    record = item["audit_key"]["S"]
    body = s3.get_object(Bucket=bucket, Key=record)["Body"].read()
    # When they take the newest payment away
    dynamodb.delete_item(TableName=table, Key=id)
    s3.delete_object(Bucket=bucket, Key=record)
    broken = verify(platform)
    s3.put_object(Bucket=bucket, Key=record, Body=body, IfNoneMatch="*")
    dynamodb.put_item(TableName=table, Item=item)
    # Then the seal misses it
    assert broken.returncode == 1
    assert f"BROKEN {record}: is missing" in broken.stdout
    # And changing the ledger's row shows by itself, with both values
    dynamodb.put_item(TableName=table, Item={**item, "minor": {"N": "1"}})
    changed = verify(platform)
    dynamodb.put_item(TableName=table, Item=item)
    assert f"BROKEN {record}: minor is 1 in the ledger, and {item['minor']['N']} in the record" in changed.stdout
    assert eventually(lambda: verify(platform).returncode == 0)


def test_nobody_but_the_job_may_write_a_seal_or_sign_one(platform: Platform) -> None:
    # Given one who may do anything with the bucket, and the account's root
    bucket, key = platform.outputs["AuditLogBucket"], "seals/year=2026/month=01/day=01/00000001.json"
    user = user_client(platform, "forger", "s3", "s3:*", f"arn:aws:s3:::{bucket}/*")
    for s3 in (user, platform.client("s3")):
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.put_object(Bucket=bucket, Key=key, Body=b"forged", IfNoneMatch="*")
    # And one who may use the payments' own key
    data_key = platform.client("kms").describe_key(KeyId=f"alias/payment-data-{platform.cloud.name}")["KeyMetadata"]
    kms = user_client(platform, "signer", "kms", "kms:*", data_key["Arn"])
    with pytest.raises(ClientError, match="AccessDenied"):
        kms.sign(KeyId=f"alias/payment-seals-{platform.cloud.name}", Message=b"x", SigningAlgorithm="ECDSA_SHA_256")


def test_the_schedule_runs_the_job_if_it_has_the_permission(platform: Platform) -> None:
    # Given the job's rule, which is due every minute
    events, functions = platform.client("events"), platform.client("lambda")
    name = f"payment-sealing-{platform.cloud.name}"
    [rule] = [each for each in events.list_rules()["Rules"] if name in each.get("Description", "")]

    def runs(schedule: str) -> Callable[[], bool]:
        before = len(seals(platform))
        events.put_rule(Name=rule["Name"], Description=rule["Description"], ScheduleExpression=schedule)
        return lambda: len(seals(platform)) > before

    # When its minute has come, then it runs
    try:
        assert eventually(runs("rate(1 minute)"), seconds=80)
    finally:
        runs("rate(1 hour)")
    [statement] = json.loads(functions.get_policy(FunctionName=name)["Policy"])["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
