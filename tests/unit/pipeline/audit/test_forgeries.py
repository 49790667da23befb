"""Each change of ledger or audit log by somebody who may write them is named by ``python -m pipeline.audit verify``."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lambdas.books.agreement import LEDGER_ONLY, RECORD_ONLY
from lambdas.payments.audit import Record, canonical, digest
from lambdas.payments.transactions import day_shard
from pipeline.audit.__main__ import main
from tests.unit.pipeline.audit.fake_cloud import Cloud, Item, verify

Forgery = Callable[[dict[str, Item]], Any]


def of_third(change: Callable[[Item], Any]) -> Forgery:
    """A change of the third of five transactions."""
    return lambda items: change(list(items.values())[2])


def remove_third(items: dict[str, Item]) -> None:
    del items[list(items)[2]]


def says(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command says of the third payment, which is the only one that it calls broken."""
    assert verify() == 1
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("BROKEN")]
    key, _, reason = line.removeprefix("BROKEN ").partition(": ")
    assert key == list(cloud.bench.audit_log.records)[2]
    return reason


LEDGER_FORGERIES = [
    (of_third(lambda item: item.update(minor={"N": "1"})), "minor is 1 in the ledger, and 1250 in the record"),
    (
        of_third(lambda item: item.update(status={"S": "declined"})),
        'status is "declined" in the ledger, and "approved" in the record',
    ),
    (
        of_third(lambda item: item.update(status={"S": "refunded"})),
        'status is "refunded" in the ledger, and "approved" in the record',
    ),
    (
        of_third(lambda item: item.update(outcome={"S": "declined"})),
        'outcome is "declined" in the ledger, and "approved" in the record',
    ),
    (of_third(lambda item: item.update(paid_out={"BOOL": True})), "paid_out is true in the ledger, and missing in the"),
    (of_third(lambda item: item.pop("merchant_id")), 'merchant_id is missing in the ledger, and "shop" in the record'),
    (
        of_third(lambda item: item.update(card_last4={"S": "4111111111111111"})),
        "card_last4 is another one in the ledger than in the record",
    ),
    (
        of_third(lambda item: item.update(customer_id={"S": "4111111111111111"})),
        'customer_id is "****1111" in the ledger, and "c3" in the record',
    ),
    (of_third(lambda item: item.update(day_shard={"S": "2026-11-22#none"})), 'day_shard is "2026-11-22#none" in the'),
    (of_third(lambda item: item.update(audit_hash={"S": "0" * 64})), "is not the record that the ledger names"),
    (of_third(lambda item: item.update(audit_key={"S": "audit/another"})), "is not the record that the ledger names"),
    (remove_third, "has no transaction in the ledger"),
]


@pytest.mark.parametrize(("forgery", "reason"), LEDGER_FORGERIES, ids=[reason for _, reason in LEDGER_FORGERIES])
def test_a_changed_ledger_is_named_with_field_and_both_values(
    forgery: Forgery, reason: str, cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.forge = forgery
    assert says(cloud, capsys).startswith(reason)


def test_a_row_that_no_index_finds_is_held_against_its_record_all_the_same(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a table without the older index, and a row that was moved out of its day and changed
    cloud.by_status = False
    cloud.forge = of_third(lambda item: (item.pop("day_shard"), item.update(minor={"N": "1"})))
    # Then it is found by its record
    assert says(cloud, capsys) == "minor is 1 in the ledger, and 1250 in the record"


def test_every_field_of_the_ledger_is_in_the_record_or_left_out_on_purpose(cloud: Cloud) -> None:
    # Given a settled transaction and its record, when a field is added to either, then it must be here or there
    [item, *_], [record, *_] = cloud.items().values(), cloud.bench.audit_log.records.values()
    document = json.loads(record.body)
    assert item.keys() - document.keys() <= LEDGER_ONLY.keys()
    assert document.keys() & LEDGER_ONLY.keys() == set()
    assert {name for name, value in document.items() if value is not None} - item.keys() == RECORD_ONLY.keys()


@pytest.mark.parametrize("name", sorted(LEDGER_ONLY.keys() - {"status", "audit_key", "audit_hash", "day_shard"}))
def test_what_only_the_ledger_holds_is_no_fault(name: str, cloud: Cloud) -> None:
    cloud.forge = of_third(lambda item: item.update({name: {"S": "new"}}))
    assert verify() == 0


def test_a_forged_record_without_a_transaction_is_named(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    # Given a record of a payment that nobody made, in a sound chain of its own
    [record, *_] = cloud.bench.audit_log.records.values()
    document = json.loads(record.body) | {"transaction_id": "txn_forged"}
    key = record.key.replace(json.loads(record.body)["transaction_id"], "txn_forged")
    document["chain"] = {"writer": "w", "sequence": 0, "previous_key": None, "previous_hash": "0" * 64}
    body = canonical(document)
    cloud.bench.audit_log.records[key] = Record(key=key, body=body, hash=digest(body))
    # Then it is the only fault
    assert verify() == 1
    assert f"BROKEN {key}: has no transaction in the ledger\n1 broken" in capsys.readouterr().out


def test_a_settled_transaction_that_nobody_recorded_is_named(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    # Given a row that somebody wrote into the table
    def insert(items: dict[str, Item]) -> None:
        [item, *_] = items.values()
        created_at = item["created_at"]["S"]
        shard = {"S": day_shard("txn_forged", created_at)}
        items["txn_forged"] = item | {"transaction_id": {"S": "txn_forged"}, "day_shard": shard}

    cloud.forge = insert
    assert verify() == 1
    assert "txn_forged.json: is missing for a settled transaction" in capsys.readouterr().out


def test_a_transaction_of_the_version_before_has_fewer_fields(cloud: Cloud) -> None:
    # Given a row and a record from before a field was added to both, and a row that this version wrote and that one
    # finished
    def without(*names: str) -> None:
        [*_, last] = cloud.bench.audit_log.records.values()
        document = {name: value for name, value in json.loads(last.body).items() if name not in names}
        body = canonical(document)
        cloud.bench.audit_log.records[last.key] = Record(key=last.key, body=body, hash=digest(body))
        cloud.bench.ledger.audited[document["transaction_id"]] = (last.key, digest(body))

    without("base_minor", "merchant_id")
    assert verify() == 0
    cloud.forge = lambda items: list(items.values())[-1].pop("base_minor")
    assert verify() == 0


def test_json_names_the_fault_by_place_and_values(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.forge = of_third(lambda item: item.update(minor={"N": "1"}))
    assert verify("--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["environment"], report["whole"], report["records"]) == ("dev", False, 5)
    [found] = report["breaks"]
    key = list(cloud.bench.audit_log.records)[2]
    assert (found["key"], found["field"], found["ledger"], found["record"]) == (key, "minor", "1", "1250")
    assert found["transaction_id"] in key


def test_a_day_that_has_not_begun_is_refused(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    with pytest.raises(SystemExit, match="2"):
        main(["verify", "--env", "dev", "--day", tomorrow.isoformat()])
    assert f"{tomorrow} has not begun" in capsys.readouterr().err
