"""Another system's customers move to the deployed platform, pay there, and follow the changes of the old system."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from benchmarks import _move_steps as steps
from benchmarks._move import Move
from benchmarks._move_cloud import NEW, OLD
from benchmarks._move_cloud import zone as zone_of_the_old_system
from environments import DEV
from lambdas.api.shadow import HEADER as SHADOW_MARK
from lambdas.payments.cards import CardNumber
from loadtest.scenario import card_number
from migration import cutover
from names import Colour, Function
from pipeline.aws import PlatformOutputs
from pipeline_app import create_app
from tests.integration.rehearsal import SCALE, short_cut_over, small_move
from tests.oldsystem.database import old_system
from tests.oldsystem.parquet import parquet_file

from .conftest import Platform, short_minutes
from .merchant import PAYMENT

CUSTOMERS = "dms/public/customers/LOAD00000001.csv"
PAYMENTS = "dms/public/payments/LOAD00000001.parquet"
CHANGES = "dms/changes/CDC_TXN-2126112901020{n}000.csv"
"""Newer than those of the rehearsal."""
HEADER = "Op,customer_id,status,country,allowed_currencies\n"
MOST_SECONDS = 90


@pytest.fixture(scope="module")
def zone(platform: Platform) -> Iterator[dict[str, str]]:
    """A zone in which the clients' name leads to the old system; the context with which dev is deployed for a move."""
    route53 = platform.client("route53")
    context = zone_of_the_old_system(platform.client)
    id = context["cutOver"].split(",")[0]
    yield context
    records = route53.list_resource_record_sets(HostedZoneId=id)["ResourceRecordSets"]
    changes = [{"Action": "DELETE", "ResourceRecordSet": each} for each in records if each["Type"] == "CNAME"]
    route53.change_resource_record_sets(HostedZoneId=id, ChangeBatch={"Changes": changes})
    route53.delete_hosted_zone(Id=id)


@pytest.fixture(scope="module")
def former(platform: Platform) -> str:
    """The stable version of the transactions' function from before the setting."""
    name = Function.TRANSACTIONS.of(DEV.name)
    found: str = platform.client("lambda").get_alias(FunctionName=name, Name=Colour.STABLE)["FunctionVersion"]
    return found


@pytest.fixture(scope="module")
def moving(
    platform: Platform, former: str, zone: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """The platform with the means of a move. They are taken away afterwards."""
    folder = tmp_path_factory.mktemp("moving")
    create_app(context={"environmentSuffix": DEV.name, **zone}, outdir=str(folder)).synth()
    [template] = folder.glob("*Platform*.template.json")
    platform.update_stack(json.loads(template.read_text()))
    stack = platform.client("cloudformation").describe_stacks(StackName=DEV.stack_name)["Stacks"][0]
    values = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    # Payments are loaded only when the release is promoted that the setting comes with
    functions, name = platform.client("lambda"), Function.TRANSACTIONS.of(DEV.name)
    candidate = functions.get_alias(FunctionName=name, Name=Colour.CANDIDATE)["FunctionVersion"]
    with stable_transactions(platform, candidate):
        yield replace(platform, outputs=PlatformOutputs(stack_name=DEV.stack_name, values=values))
    platform.update_stack(platform.template())
    with pytest.raises(ClientError):
        platform.client("lambda").get_function(FunctionName="payment-migration-dev")


def test_a_payment_system_moves_while_it_works_with_one_try_that_fails(
    moving: Platform, zone: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The short form of `make rehearsal`."""
    id, verify = zone["cutOver"].split(",")[0], f"verify --lag {SCALE.lag_seconds}"
    cut_over = ("migration", "cutover")
    with (
        old_system(tmp_path / "old") as old,
        small_move(moving, old, id, tmp_path, monkeypatch) as move,
        short_minutes(moving),
        move.at_work(),
    ):
        assert move.clients is not None
        # Given an old system under load, when it is loaded, followed, and compared while both sides change
        assert "files are loaded" in steps.load(move)
        steps.follow(move)
        assert "differs" not in steps.verify(move)
        # Then the platform decides as it does, and no set of cards has grown by the question
        cards = len(watched_cards(moving))
        assert "0 of 60 differ" in steps.shadow(move)
        assert len(watched_cards(moving)) == cards

        # When there is a customer here whom the old system never had, then the checks end the first try
        made_up = "I,customers,public,made-up,active,DE,EUR,{},{},2021-03-01 08:00:00\n"
        move.put(f"changes/CDC_TXN-{datetime.now(UTC):%Y%m%d%H%M%S}999.csv", made_up.encode())
        monkeypatch.setattr(cutover, "_settings", lambda *_: short_cut_over(id, verify))
        move.run(*cut_over, "prepare", *steps.ENV)
        begun = time.time()
        failed = move.run(*cut_over, "shift", *steps.ENV, code=1)
        assert "verify: customers: differs" in failed.output
        # And all clients, of whom some were here, are back
        assert move.clients.since(begun)[NEW] > 0
        assert since_a_moment(move) == {OLD}

        # When that row is repaired, then the second try passes the checks and all clients are here
        repaired = move.run("migration", "repair", *steps.ENV, "--lag", str(SCALE.lag_seconds))
        assert "made-up" in repaired.stdout
        checks = (verify, "reconcile --day {today} --wait 6")
        monkeypatch.setattr(cutover, "_settings", lambda *_: short_cut_over(id, *checks))
        moved = move.run(*cut_over, "retry", *steps.ENV)
        assert "approved, asked for by the gate of the cut-over" in moved.output
        assert since_a_moment(move) == {NEW}
        # And the way back is open
        move.run(*cut_over, "undo", "--now", *steps.ENV, "--reason", "a test")
        assert since_a_moment(move) == {OLD}

        # When it has stopped, then each payment stands the same in both ledgers that must have it
        assert "payments of" in steps.reconcile(move)
        counted = steps.count(move)
    assert (counted["lost"], counted["doubled"], counted["failures"], counted["never_answered"]) == ([], [], [], [])
    assert counted["by_host"].keys() == {OLD, NEW}
    assert move.faults == []
    assert moving.run("migration", "status", "--env", "dev").returncode == 0


def since_a_moment(move: Move) -> set[str]:
    """Who answers clients when the time to live of the former answer is over, and a payment under way."""
    time.sleep(1.5)
    assert move.clients is not None
    begun = time.time()
    move.wait(lambda: move.clients is not None and move.clients.since(begun).total() >= 10, "clients pay")
    return {*move.clients.since(begun)}


def test_nobody_else_may_mark_a_request_as_shadow(moving: Platform) -> None:
    headers = {"Content-Type": "application/json", SHADOW_MARK: "m-001"}
    marked = moving.candidate_api().send("POST", "/validate", headers, json.dumps(PAYMENT).encode())
    assert (marked.status, marked.body["type"].rpartition(":")[2]) == (403, "shadow-not-allowed")


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
    with short_minutes(moving):
        ends = time.monotonic() + MOST_SECONDS
        while reasons(moving, "moved-1") and time.monotonic() < ends:
            time.sleep(0.5)
    assert reasons(moving, "moved-1") == []
    # And the status says so
    status = moving.run("migration", "status", "--env", "dev", "--json")
    told = json.loads(status.stdout)
    assert (told["pending"], told["watermark"]) == (0, {"file": CHANGES.format(n=2), "line": 1})


def watched_cards(moving: Platform) -> list[str]:
    """The cards in all sets that the rules against card testing watch."""
    items = moving.client("dynamodb").scan(TableName="payment-velocity-dev")["Items"]
    return [card for item in items for card in item.get("cards", {}).get("SS", [])]


def test_the_history_of_payments_is_found_held_by_the_books_and_given_back_by_its_source_alone(
    moving: Platform, former: str
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
    # When it is loaded while the stable version would still give them back, then payments wait
    with stable_transactions(moving, former):
        loaded = moving.run("migration", "load", "--env", "dev")
        assert loaded.returncode == 1, loaded.stdout + loaded.stderr
        assert f"{PAYMENTS}: payments wait until the release is promoted" in loaded.stderr
    # When that is promoted, it is loaded, and once more
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


@contextmanager
def stable_transactions(platform: Platform, version: str) -> Iterator[None]:
    """While this is the stable version of the transactions' function."""
    functions, name = platform.client("lambda"), Function.TRANSACTIONS.of(DEV.name)
    before = functions.get_alias(FunctionName=name, Name=Colour.STABLE)["FunctionVersion"]
    functions.update_alias(FunctionName=name, Name=Colour.STABLE, FunctionVersion=version)
    yield
    functions.update_alias(FunctionName=name, Name=Colour.STABLE, FunctionVersion=before)


def tables(dynamodb: Any) -> list[str]:
    found: list[str] = dynamodb.list_tables()["TableNames"]
    return found


def verified(moving: Platform) -> tuple[int, str]:
    """Exit code of the verification of the imported payments' day, and what it says of them."""
    found = moving.run("pipeline.audit", "verify", "--env", "dev", "--day", "2026-03-04")
    said = re.search(r"\d+ payments were imported(?=.*whole)|#txn_.*", found.stdout, re.DOTALL)
    return found.returncode, said[0].splitlines()[0] if said else found.stdout + found.stderr
