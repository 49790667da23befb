"""Another system's customers move to the deployed platform, pay there, and follow the changes of the old system."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from environments import DEV
from lambdas.api.shadow import HEADER as SHADOW_MARK
from lambdas.payments.cards import CardNumber
from loadtest.scenario import card_number
from pipeline.aws import PlatformOutputs
from pipeline_app import create_app
from tests.oldsystem.database import old_system
from tests.oldsystem.exporter import Exporter
from tests.oldsystem.parquet import parquet_file
from tests.oldsystem.population import populate
from tests.oldsystem.service import Service

from .conftest import Platform
from .merchant import PAYMENT

CUSTOMERS = "dms/public/customers/LOAD00000001.csv"
PAYMENTS = "dms/public/payments/LOAD00000001.parquet"
CHANGES = "dms/changes/CDC_TXN-2026112901020{n}000.csv"
HEADER = "Op,customer_id,status,country,allowed_currencies\n"
MOST_SECONDS = 90


@pytest.fixture(scope="module")
def moving(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The platform with the means of a move. They are taken away afterwards."""
    folder = tmp_path_factory.mktemp("moving")
    create_app(context={"environmentSuffix": DEV.name, "migration": "on"}, outdir=str(folder)).synth()
    [template] = folder.glob("*Platform*.template.json")
    platform.update_stack(json.loads(template.read_text()))
    stack = platform.client("cloudformation").describe_stacks(StackName=DEV.stack_name)["Stacks"][0]
    values = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    yield replace(platform, outputs=PlatformOutputs(stack_name=DEV.stack_name, values=values))
    platform.update_stack(platform.template())
    with pytest.raises(ClientError):
        platform.client("lambda").get_function(FunctionName="payment-migration-dev")


def put(moving: Platform, key: str, body: str | bytes) -> None:
    content = body.encode() if isinstance(body, str) else body
    moving.client("s3").put_object(Bucket=moving.outputs["MigrationBucketName"], Key=key, Body=content)


def versions(moving: Platform, key: str) -> int:
    """How many versions of a file are left, delete markers among them."""
    found = moving.client("s3").list_object_versions(Bucket=moving.outputs["MigrationBucketName"], Prefix=key)
    return sum(each["Key"] == key for kind in ("Versions", "DeleteMarkers") for each in found.get(kind, []))


def reasons(moving: Platform, customer: str) -> list[str]:
    found: list[str] = moving.api().post("/validate", PAYMENT | {"customer_id": customer}).body["reasons"]
    return found


def test_customers_are_loaded_pay_and_follow_the_old_system(moving: Platform) -> None:
    # Given a full load in which one customer can't be
    put(moving, CUSTOMERS, HEADER + "I,moved-1,active,DE,EUR\nI,moved-2,active,DE,EUR\nI,moved-3,asleep,DE,EUR\n")
    assert reasons(moving, "moved-1") == ["customer_unknown"]
    # When it is loaded
    loaded = moving.run("migration", "load", "--env", "dev")
    # Then that one is named, and the others may pay
    assert loaded.returncode == 1, loaded.stdout + loaded.stderr
    assert "done at line 4: 3 read, 2 inserted, 1 rejected" in loaded.stdout
    assert "line 4: status is none of active, blocked, closed" in loaded.stdout
    assert reasons(moving, "moved-1") == reasons(moving, "moved-2") == []
    report = moving.client("s3").get_object(
        Bucket=moving.outputs["MigrationBucketName"], Key=f"{CUSTOMERS}.report.json"
    )
    assert json.loads(report["Body"].read())["inserted"] == 2
    # And the file stays for that one to be looked up
    assert versions(moving, CUSTOMERS) == 1
    # When the old system changes them, and the command applies it now
    put(moving, CHANGES.format(n=1), "U,customers,public,moved-1,blocked,DE,EUR\nD,customers,public,moved-2,,,\n")
    followed = moving.run("migration", "follow", "--env", "dev")
    # Then they are decided by their new state, and the file is deleted with all its versions
    assert followed.returncode == 0, followed.stdout + followed.stderr
    assert versions(moving, CHANGES.format(n=1)) == 0
    assert reasons(moving, "moved-1") == ["customer_not_active"]
    assert reasons(moving, "moved-2") == ["customer_unknown"]
    # When it changes again, and nobody gives a command
    put(moving, CHANGES.format(n=2), "U,customers,public,moved-1,active,DE,EUR\n")
    # Then the schedule applies it
    ends = time.monotonic() + MOST_SECONDS
    while reasons(moving, "moved-1") and time.monotonic() < ends:
        time.sleep(1)
    assert reasons(moving, "moved-1") == []
    # And the status says so
    status = moving.run("migration", "status", "--env", "dev", "--json")
    told = json.loads(status.stdout)
    assert (told["pending"], told["watermark"]) == (0, {"file": CHANGES.format(n=2), "line": 1})


def test_rows_that_differ_are_repaired_and_decisions_are_compared_with_no_trace(
    moving: Platform, tmp_path: Path
) -> None:
    with old_system(tmp_path / "old") as old, (tmp_path / "requests.jsonl").open("w") as record:
        # Given an old system whose customers and merchants were loaded, and which has changed one since
        connection = old.connect()
        populate(connection, customers=60, merchants=2)
        exporter = Exporter(old, lambda key, body: put(moving, f"dms/{key}", body))
        exporter.full_load(("customers", "merchants", "merchant_customers"))
        loaded = moving.run("migration", "load", "--env", "dev")
        assert loaded.returncode == 0, loaded.stdout + loaded.stderr
        connection.run("UPDATE customers SET status = 'blocked' WHERE customer_id = 'c-0000001'")
        # When both sides are compared, Then this row is named, and those that the old system does not know
        options = ("--env", "dev", "--source", old.url, "--lag", "1", "--reports", str(tmp_path))
        found = moving.run("migration", "verify", *options)
        assert found.returncode == 1, found.stdout + found.stderr
        assert "  c-0000001 is another one here" in found.stdout
        # And a repair makes the sides alike
        repaired = moving.run("migration", "repair", *options)
        assert repaired.returncode == 0, repaired.stdout + repaired.stderr
        assert "merchant_customers: alike; 60 rows there, 60 here" in repaired.stdout
        # When the old system's decisions are replayed to the candidate
        service = Service(old.url, "m-001", record)
        for number in range(1, 61):
            payment = PAYMENT | {"customer_id": f"c-{number:07d}", "card_number": "4111111111111111"}
            service.answer("/process", {}, json.dumps(payment).encode())
        record.flush()
        cards = len(watched_cards(moving))
        shadow = ("--env", "dev", "--most", "5", "--reports", str(tmp_path), str(tmp_path / "requests.jsonl"))
        compared = moving.run("migration", "shadow", *shadow)
        # Then they agree, and no set of cards has grown
        assert compared.returncode == 0, compared.stdout + compared.stderr
        assert "dev: pass: 0 of 60 differ: at most 4.88 % with 95 %" in compared.stdout
        assert len(watched_cards(moving)) == cards
        assert "customer_not_active" in (tmp_path / "requests.jsonl").read_text()
        # And nobody else may use the mark
        marked = moving.candidate_api().send(
            "POST",
            "/validate",
            {"Content-Type": "application/json", SHADOW_MARK: "m-001"},
            json.dumps(PAYMENT).encode(),
        )
        assert (marked.status, marked.body["type"].rpartition(":")[2]) == (403, "shadow-not-allowed")


def watched_cards(moving: Platform) -> list[str]:
    """The cards in all sets that the rules against card testing watch."""
    items = moving.client("dynamodb").scan(TableName="payment-velocity-dev")["Items"]
    return [card for item in items for card in item.get("cards", {}).get("SS", [])]


def test_the_history_of_payments_is_found_held_by_the_books_and_given_back_by_its_source_alone(
    moving: Platform,
) -> None:
    # Given a customer, and a file of its payments, of which one can't be
    card, other = card_number(778_123_451), card_number(778_123_452)
    put(moving, CUSTOMERS.replace("1.csv", "2.csv"), HEADER + "I,moved-9,active,DE,EUR\n")
    names = "Op,payment_id,created_at,merchant_id,customer_id,amount,currency,card_number,status,merchant_reference"
    lines = (
        f"I,old-1,2026-03-04 10:00:00,demo,moved-9,12.500,EUR,{card},approved,order/1",
        f"I,old-2,2026-03-04 11:00:00,demo,moved-9,7.000,EUR,{other},declined,order/2",
        f"I,old-3,2026-03-04 12:00:00,demo,nobody,7.000,EUR,{other},approved,{card}",
    )
    put(moving, PAYMENTS, parquet_file(names.split(","), [line.split(",") for line in lines]))
    # When it is loaded, and once more
    loaded = moving.run("migration", "load", "--env", "dev")
    assert "done at line 3: 3 read, 2 inserted, 1 rejected" in loaded.stdout, loaded.stdout + loaded.stderr
    again = moving.run("migration", "load", "--env", "dev", "--again", PAYMENTS)
    assert "3 read, 2 inserted, 1 rejected" in again.stdout, again.stdout + again.stderr
    # Then its merchant finds the payments
    api = moving.api()
    stretch = {"from": "2026-03-04", "to": "2026-03-05"}
    found = api.get("/transactions", customer_id="moved-9", **stretch).body["transactions"]
    assert [(each["source_id"], each["origin"], each["status"]) for each in found] == [
        ("old-2", "migration", "declined"), ("old-1", "migration", "approved"),
    ]  # fmt: skip
    assert found[1]["card"] == {"brand": CardNumber(card).brand, "last4": card[-4:]}
    # And their source alone gives them back: so decides the version that the setting came with
    id = found[1]["transaction_id"]
    reply = moving.candidate_api().post(
        f"/transactions/{id}/reversal", {"kind": "refund", "reason": "why"}, key="a-key"
    )
    assert (reply.status, reply.body["type"].rpartition(":")[2]) == (409, "amended-at-source")
    # And no card number is in a table, a log, the audit log or a report
    dynamodb, s3 = moving.client("dynamodb"), moving.client("s3")
    places = {name: json.dumps(dynamodb.scan(TableName=name)["Items"], default=str) for name in tables(dynamodb)}
    imports = s3.list_objects_v2(Bucket=moving.outputs["AuditLogBucket"], Prefix="imports/")["Contents"]
    for each in imports:
        body = s3.get_object(Bucket=moving.outputs["AuditLogBucket"], Key=each["Key"])["Body"].read()
        places[each["Key"]] = body.decode()
    for file in Path(moving.cloud.folder).rglob("*.log*"):
        places[str(file)] = file.read_text(errors="replace")
    report = s3.get_object(Bucket=moving.outputs["MigrationBucketName"], Key=f"{PAYMENTS}.report.json")
    places["report"] = report["Body"].read().decode()
    assert [place for place, text in places.items() if card in text or other in text] == []
    # And the books of their day are whole until somebody changes one
    assert verified(moving) == (0, "2 payments were imported")
    table, key = moving.outputs["TransactionTableName"], {"transaction_id": {"S": id}}
    forged = {":one": {"N": "1"}}
    dynamodb.update_item(
        TableName=table, Key=key, UpdateExpression="SET minor = :one", ExpressionAttributeValues=forged
    )
    assert verified(moving) == (1, f"#{id}: is not as it was imported")
    restored = {":before": {"N": "1250"}}
    dynamodb.update_item(
        TableName=table, Key=key, UpdateExpression="SET minor = :before", ExpressionAttributeValues=restored
    )
    # And nobody but the migration writes such records
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket=moving.outputs["AuditLogBucket"], Key="imports/x.json", Body=b"", IfNoneMatch="*")


def tables(dynamodb: Any) -> list[str]:
    found: list[str] = dynamodb.list_tables()["TableNames"]
    return found


def verified(moving: Platform) -> tuple[int, str]:
    """Exit code of the verification of the imported payments' day, and what it says of them."""
    found = moving.run("pipeline.audit", "verify", "--env", "dev", "--day", "2026-03-04")
    said = re.search(r"\d+ payments were imported(?=.*whole)|#txn_.*", found.stdout, re.DOTALL)
    return found.returncode, said[0].splitlines()[0] if said else found.stdout + found.stderr
