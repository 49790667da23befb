"""Each change of ledger or audit log by somebody who may write them is named by ``python -m pipeline.audit verify``."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from lambdas.books.agreement import LEDGER_ONLY, RECORD_ONLY
from lambdas.payments.amending import Amender
from lambdas.payments.amendments import Kind, Wish
from lambdas.payments.audit import Record, canonical, digest
from lambdas.payments.callers import Caller
from lambdas.payments.transactions import day_shard
from tests.unit.lambdas.entries import MemoryEntries
from tests.unit.lambdas.test_processing import START
from tests.unit.pipeline.audit.fake_cloud import Cloud, Item, verify

Forgery = Callable[[dict[str, Item]], Any]


def of_third(change: Callable[[Item], Any]) -> Forgery:
    """A change of the third of five transactions."""
    return lambda items: change(list(items.values())[2])


def remove_third(items: dict[str, Item]) -> None:
    del items[list(items)[2]]


def says(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command says of the third payment, which is the only one that it calls broken."""
    assert verify(cloud) == 1
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("BROKEN")]
    key, _, reason = line.removeprefix("BROKEN ").partition(": ")
    assert key == list(cloud.records)[2]
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
    [item, *_], [record, *_] = cloud.items().values(), cloud.records.values()
    document = json.loads(record.body)
    assert item.keys() - document.keys() <= LEDGER_ONLY.keys()
    assert document.keys() & LEDGER_ONLY.keys() == set()
    assert {name for name, value in document.items() if value is not None} - item.keys() == RECORD_ONLY.keys()


@pytest.mark.parametrize("name", sorted(LEDGER_ONLY.keys() - {"status", "audit_key", "audit_hash", "day_shard"}))
def test_what_only_the_ledger_holds_is_no_fault(name: str, cloud: Cloud) -> None:
    cloud.forge = of_third(lambda item: item.update({name: {"S": "new"}}))
    assert verify(cloud) == 0


def test_a_forged_record_without_a_transaction_is_named(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    # Given a record of a payment that nobody made, in a sound chain of its own
    [record, *_] = cloud.records.values()
    document = json.loads(record.body) | {"transaction_id": "txn_forged"}
    key = record.key.replace(json.loads(record.body)["transaction_id"], "txn_forged")
    document["chain"] = {"writer": "w", "sequence": 0, "previous_key": None, "previous_hash": "0" * 64}
    body = canonical(document)
    cloud.bench.audit_log.records[key] = Record(key=key, body=body, hash=digest(body))
    # Then it is the only fault
    assert verify(cloud) == 1
    assert f"BROKEN {key}: has no transaction in the ledger\n1 broken" in capsys.readouterr().out


def test_a_settled_transaction_that_nobody_recorded_is_named(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    # Given a row that somebody wrote into the table
    def insert(items: dict[str, Item]) -> None:
        [item, *_] = items.values()
        created_at = item["created_at"]["S"]
        shard = {"S": day_shard("txn_forged", created_at)}
        items["txn_forged"] = item | {"transaction_id": {"S": "txn_forged"}, "day_shard": shard}

    cloud.forge = insert
    assert verify(cloud) == 1
    assert "txn_forged.json: is missing for a settled transaction" in capsys.readouterr().out


def test_a_transaction_of_the_version_before_has_fewer_fields(unsealed: Cloud) -> None:
    # Given a row and a record from before a field was added to both, and a row that this version wrote and that one
    # finished
    def without(*names: str) -> None:
        [*_, last] = unsealed.records.values()
        document = {name: value for name, value in json.loads(last.body).items() if name not in names}
        body = canonical(document)
        unsealed.put(last.key, body)
        unsealed.bench.ledger.audited[document["transaction_id"]] = (last.key, digest(body))

    cloud = unsealed
    without("base_minor", "merchant_id")
    cloud.seal()
    assert verify(cloud) == 0
    cloud.forge = lambda items: list(items.values())[-1].pop("base_minor")
    assert verify(cloud) == 0


@pytest.mark.parametrize(("name", "value"), [("given_back", {"N": "5"}), ("origin", {"S": "migration"})])
def test_what_only_imported_payments_have_is_a_forgery_in_another_also_if_its_record_is_older(
    name: str, value: Item, unsealed: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a payment whose record is from before these fields, when somebody makes it look given back, or imported
    cloud = unsealed
    [*_, last] = cloud.records.values()
    of_imports = ("origin", "source_id", "import_id", "given_back")
    body = canonical({key: each for key, each in json.loads(last.body).items() if key not in of_imports})
    cloud.put(last.key, body)
    cloud.bench.ledger.audited[json.loads(body)["transaction_id"]] = (last.key, digest(body))
    cloud.seal()
    assert verify(cloud) == 0
    cloud.forge = lambda items: list(items.values())[-1].update({name: value})
    assert verify(cloud) == 1
    assert f"{last.key}: {name} is" in capsys.readouterr().out


def test_json_names_the_fault_by_place_and_values(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.forge = of_third(lambda item: item.update(minor={"N": "1"}))
    assert verify(cloud, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["environment"], report["whole"], report["records"]) == ("dev", False, 5)
    [found] = report["breaks"]
    key = list(cloud.records)[2]
    assert (found["key"], found["field"], found["ledger"], found["record"]) == (key, "minor", "1", "1250")
    assert found["transaction_id"] in key


def test_a_day_that_has_not_begun_is_refused(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        verify(cloud, day="2026-11-23")
    assert "2026-11-23 has not begun" in capsys.readouterr().err


@pytest.fixture
def amended(cloud: Cloud) -> Cloud:
    """The third payment was refunded in two parts, the second part on the day after."""
    entries = cloud.bench.ledger = MemoryEntries.of(cloud.bench.ledger)
    caller = Caller("AIDASHOP", "arn:aws:iam::111111111111:user/shop")
    for number, day in enumerate((0, 1), start=1):
        moment = START + timedelta(days=day, hours=1)
        amender = Amender(entries, cloud.bench.audit_log, entries, four_eyes=False, clock=lambda: moment)  # noqa: B023
        wish = Wish(
            kind=Kind.REFUND, reason="why", caller=caller, party="merchant", request_id="r", key=str(number),
            amount="5.00",
        )  # fmt: skip
        amender.amend(list(entries.items)[2], wish, lambda _: True)
    cloud.seal(START + timedelta(days=1, hours=1, minutes=10))
    return cloud


def history(change: Callable[[dict[str, Any]], Any], number: int) -> Forgery:
    """A change of one of the third transaction's amendments in the ledger."""

    def forge(item: Item) -> None:
        texts = item["history"]["L"]
        document = json.loads(texts[number - 1]["S"])
        change(document)
        texts[number - 1] = {"S": canonical(document).decode()}

    return of_third(forge)


def test_amended_payments_are_whole_on_the_day_of_the_payment_and_on_that_of_the_amendment(amended: Cloud) -> None:
    assert [verify(amended), verify(amended, day="2026-11-23")] == [0, 0]


AMENDMENT_FORGERIES: list[tuple[Forgery, int, str]] = [
    (history(lambda each: each.update(minor=499), 1), 1, "minor is 499 in the ledger, and 500 in the record"),
    (history(lambda each: each.update(caller="me"), 1), 1, 'caller is "me" in the ledger, and "AIDASHOP" in the'),
    (history(lambda each: each.update(audit_hash="0" * 64), 1), 1, "is not the record that the ledger names"),
    (history(lambda each: each.update(audit_hash="0" * 64), 2), 2, "is not the record that the ledger names"),
    (history(lambda each: each.update(created_at="never"), 2), 2, "is missing for a settled transaction"),
    (of_third(lambda item: item["history"]["L"].clear()), 1, "history is missing in the ledger, and 1 in the record"),
    (
        of_third(lambda item: item.update(status={"S": "approved"})),
        0,
        'status is "approved" in the ledger, and "partly',
    ),
]


@pytest.mark.parametrize(("forgery", "number", "reason"), AMENDMENT_FORGERIES)
def test_a_changed_amendment_is_named(
    forgery: Forgery, number: int, reason: str, amended: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    amended.forge = forgery
    assert verify(amended) == 1
    id, name = list(amended.bench.ledger.items)[2], f".{number}" if number else ""
    assert any(f"{id}{name}" in line and f": {reason}" in line for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize("number", [1, 2])
def test_a_removed_record_of_an_amendment_is_named(
    number: int, amended: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    [key] = [key for key in amended.bench.audit_log.records if key.endswith(f".{number}.json")]
    del amended.bench.audit_log.records[key]
    assert verify(amended) == 1
    assert f"BROKEN {key}: is missing for a settled transaction" in capsys.readouterr().out


def test_a_forged_refund_that_the_ledger_does_not_know_is_named(
    amended: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    [record] = [each for key, each in amended.bench.audit_log.records.items() if key.endswith(".1.json")]
    document = json.loads(record.body) | {"amendment": 7}
    document["chain"] = {"writer": "w", "sequence": 0, "previous_key": None, "previous_hash": "0" * 64}
    key = record.key.replace(".1.json", ".7.json")
    body = canonical(document)
    amended.bench.audit_log.records[key] = Record(key=key, body=body, hash=digest(body))
    assert verify(amended) == 1
    assert f"BROKEN {key}: history is missing in the ledger, and 7 in the record" in capsys.readouterr().out


def test_an_amendment_that_a_crash_left_is_counted_as_pending(
    amended: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(item: Item) -> None:
        [*_, last] = item["history"]["L"]
        item["amending"] = last

    amended.forge = of_third(interrupt)
    verify(amended)
    assert "1 transactions are pending, or one of their amendments is" in capsys.readouterr().out


def test_an_amendment_that_a_crash_left_is_found_in_both_indexes_and_is_no_fault(
    amended: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(item: Item) -> None:
        [*_, last] = item["history"]["L"]
        item |= {"amending": last, "status": {"S": "amending"}}
        item.pop("day_shard")  # of a time before the index by-day

    amended.forge = of_third(interrupt)
    amended.now += timedelta(minutes=6)
    assert verify(amended) == 5
    out = capsys.readouterr().out
    assert "1 transactions are pending, or one of their amendments is" in out
    assert "BROKEN" not in out


@pytest.mark.parametrize("amending", [{}, {"amending": {"S": "none"}}], ids=["missing", "none"])
def test_a_transaction_that_is_amending_without_an_amendment_is_named(
    amending: Item, amended: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    amended.forge = of_third(lambda item: item.update(status={"S": "amending"}, **amending))
    assert verify(amended) == 1
    assert 'status is "amending" in the ledger, and "partly_refunded" in the record' in capsys.readouterr().out
