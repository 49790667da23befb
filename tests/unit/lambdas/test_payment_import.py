"""Payments of another system are in the ledger once each, as they were there, whenever the import dies."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from lambdas.adapters.ledger import from_item
from lambdas.migration.history import PART_ROWS
from lambdas.migration.payments import transaction_id
from lambdas.migration.report import Report
from lambdas.payments.transactions import ID_FORM
from tests.unit.lambdas.imported import DAY, MASTERCARD, NOW, VISA, Death, Platform, payments, row
from tests.unit.lambdas.stores import Killed, nothing


@pytest.fixture
def platform() -> Platform:
    return Platform()


def counts(report: Report) -> dict[str, int]:
    names = ("read", "inserted", "updated", "unchanged", "superseded", "rejected")
    return {name: number for name in names if (number := getattr(report, name))}


def written(report: Report) -> dict[str, int]:
    return {"written": report.inserted + report.updated} | {
        name: number for name, number in counts(report).items() if name not in ("inserted", "updated")
    }


def test_a_payment_is_found_as_it_was_and_told_apart(platform: Platform) -> None:
    # When a payment of the old system is imported
    report = platform.load(row(2))
    # Then the ledger has it as it was there, settled, and says where it is from
    [(id, item)] = platform.history.items.items()
    found = from_item(item)
    assert ID_FORM.fullmatch(id)
    assert (found.origin, found.source_id, found.import_id) == ("migration", "old-1", f"imp_{1:032}")
    assert (found.status, found.minor, found.currency, found.created_at) == (
        "approved", 1250, "USD", f"{DAY}T10:11:12.123456Z",
    )  # fmt: skip
    assert (found.card.brand, found.card.last4, found.customer_id, found.merchant_id) == ("visa", "1111", "c1", "shop")
    assert item["released"] == {"BOOL": True}  # limits never counted it, and get nothing back
    assert counts(report) == {"read": 1, "inserted": 1}
    assert report.sums == {"USD": {"approved": {"records": 1, "minor": 1250}}}
    assert (platform.breaks(), platform.verify().imported) == ([], 1)


BAD = [
    ({"payment_id": ""}, "payment_id", "is empty"),
    ({"payment_id": "o" * 65}, "payment_id", "over 64"),
    ({"payment_id": f"id-{MASTERCARD}"}, "payment_id", "holds what is a card number"),
    ({"created_at": "yesterday"}, "created_at", "is no time"),
    ({"created_at": "2025-02-30 10:00:00"}, "created_at", "is no time"),
    ({"created_at": "2025-03-04"}, "created_at", "has no time of the day"),
    ({"created_at": "1899-12-31 00:00:00"}, "created_at", "is before 1990"),
    ({"created_at": (NOW + timedelta(minutes=6)).isoformat()}, "created_at", "5 minutes in the future"),
    ({"customer_id": "nobody"}, "customer_id", "is no customer of this platform"),
    ({"customer_id": VISA}, "customer_id", "holds what may be a card number"),
    ({"merchant_id": "nowhere"}, "merchant_id", "is no merchant of this platform"),
    ({"amount": "12,50"}, "amount", "Not a decimal number"),
    ({"amount": "-1.00"}, "amount", "greater than zero"),
    ({"amount": "0.000"}, "amount", "greater than zero"),
    ({"amount": "1.005"}, "amount", "2 decimals at most"),
    ({"amount": None}, "amount", "Not a decimal number"),
    ({"currency": "XYZ"}, "currency", "Not an ISO 4217 currency code"),
    ({"currency": "AFN"}, "currency", "not accepted"),
    ({"card_number": "4111 1111 1111 1111"}, "card_number", "is not 12 to 19 digits"),
    ({"card_number": "4111111111111112"}, "card_number", "wrong check digit"),
    ({"status": "captured"}, "status", "is none of approved"),
    ({"status": "partly_refunded"}, "refunded_amount", "is none that a payment has which is partly_refunded"),
    ({"status": "approved", "refunded_amount": "1.00"}, "refunded_amount", "which is approved"),
    ({"status": "refunded", "refunded_amount": "1.00"}, "refunded_amount", "is not the amount"),
    ({"reasons": f"card {VISA}"}, "reasons", "is no list of codes"),
    ({"merchant_reference": f"x{VISA}"}, "merchant_reference", "holds what may be a card number"),
    ({"merchant_reference": "a b"}, "merchant_reference", "is not what a request may have there"),
    ({"client_ip": "999.1.1.1"}, "client_ip", "is not what a request may have there"),
    ({"country": "ZZ"}, "country", "is not what a request may have there"),
]


@pytest.mark.parametrize(
    ("changes", "column", "reason"), BAD, ids=[f"{column}-{n}" for n, (_, column, _) in enumerate(BAD)]
)
def test_a_bad_row_is_rejected_with_line_column_and_reason_and_the_others_are_imported(
    changes: dict[str, Any], column: str, reason: str, platform: Platform
) -> None:
    report = platform.load(row(2, **changes), row(3, payment_id="old-2"))
    [(line, at, why)] = report.listed
    assert (line, at) == (2, column)
    assert reason in why
    assert counts(report) == {"read": 2, "inserted": 1, "rejected": 1}
    # And nothing of what stood there is quoted
    assert not any(value in why for name, value in changes.items() if name != "status" and value and len(value) > 4)


@pytest.mark.parametrize(
    ("created_at", "stored"),
    [
        ("2025-03-04 10:11:12", "2025-03-04T10:11:12.000000Z"),
        ("2025-03-04T23:30:00-02:00", "2025-03-05T01:30:00.000000Z"),
        ("2025-03-04 10:11:12.5+00", "2025-03-04T10:11:12.500000Z"),
    ],
)
def test_times_become_utc(created_at: str, stored: str, platform: Platform) -> None:
    platform.load(row(2, created_at=created_at))
    [item] = platform.history.items.values()
    assert item["created_at"]["S"] == stored
    assert platform.breaks(stored[:10]) == []


def test_ids_of_other_systems_are_no_card_numbers_although_they_pass_luhn_by_chance(platform: Platform) -> None:
    assert counts(platform.load(row(2, payment_id="old-00000000000000018"))) == {"read": 1, "inserted": 1}
    # And a UUID in which a stretch passes for a card by chance, as one in 2,500 does
    for payment_id in ("old-c6499536288149048c28cf204ae11528", "c6499536-2881-4904-8c28-cf204ae11528"):
        assert counts(platform.load(row(2, payment_id=payment_id))) == {"read": 1, "inserted": 1}


def test_the_same_file_again_changes_nothing(platform: Platform) -> None:
    # Given an imported file
    platform.load(*payments(5))
    before = json.dumps(platform.history.items)
    # When the same rows come again, in another file and under a rotated card key
    platform.secret.rotate(NOW)
    platform.secret.keys = replace(platform.secret.keys, ids_key=platform.start()._keys.ids_key)
    report = platform.load(*payments(5), file="2")
    # Then all are unchanged
    assert counts(report) == {"read": 5, "unchanged": 5}
    assert json.dumps(platform.history.items) == before
    assert platform.breaks() == []


def test_duplicates_and_contradictions_are_named_by_line(platform: Platform) -> None:
    # Given a payment in the ledger, when a file has it with another amount, one payment twice, and one in two ways
    platform.load(row(2))
    report = platform.load(
        row(2, amount="13.00"),
        row(3, payment_id="b"), row(4, payment_id="b"),
        row(5, payment_id="c"), row(6, payment_id="c", status="declined"),
        file="2",
    )  # fmt: skip
    assert report.listed == [
        (2, "amount", "contradicts the ledger, which has the payment with another value"),
        (4, "payment_id", "the same payment as line 3"),
        (6, "payment_id", "contradicts line 5"),
    ]
    assert counts(report) == {"read": 5, "inserted": 2, "rejected": 3}
    assert platform.breaks() == []


def test_duplicates_in_different_parts_of_a_file_are_named_too(platform: Platform) -> None:
    report = platform.load(*payments(PART_ROWS), row(PART_ROWS + 1, payment_id="old-7", amount="7.00"))
    assert report.listed == [(PART_ROWS + 1, "payment_id", "the same payment as line 7")]


def test_a_change_at_the_source_is_followed_and_the_books_stay_whole(platform: Platform) -> None:
    # Given a payment that stood in review, when the source approves it, and gives a part back later
    platform.load(row(2, status="review"))
    assert counts(platform.change(row(1, "U"), file="2")) == {"read": 1, "updated": 1}
    report = platform.change(row(1, "U", status="partly_refunded", refunded_amount="2.500"), file="3")
    # Then the ledger has what is left, and the books are whole
    [item] = platform.history.items.values()
    found = from_item(item)
    assert (found.status, found.given_back) == ("partly_refunded", 250)
    assert counts(report) == {"read": 1, "updated": 1}
    assert platform.breaks() == []
    # And the same change again changes nothing
    again = row(1, "U", status="partly_refunded", refunded_amount="2.500")
    assert counts(platform.change(again, file="4")) == {"read": 1, "unchanged": 1}


def test_what_was_amended_here_is_not_overwritten_by_its_source(platform: Platform) -> None:
    platform.load(row(2))
    [item] = platform.history.items.values()
    item["history"] = {"L": [{"S": json.dumps({"status": "refunded", "minor": 1250})}]}
    report = platform.change(row(1, "U", status="declined"), file="2")
    assert report.listed == [
        (1, "status", "the payment was decided or given back here: its source may not change it"),
    ]


def test_the_source_never_deletes_a_payment(platform: Platform) -> None:
    platform.load(row(2))
    assert platform.change(row(1, "D"), file="2").listed == [
        (1, "op", "a payment is never deleted: the ledger keeps it"),
    ]
    assert len(platform.history.items) == 1


FILE = [
    row(2), row(3, payment_id="b", status="declined"), row(4, payment_id="b"),
    row(5, payment_id="c", status="review"), row(6, payment_id="c"), row(7, payment_id="d", amount="x"),
]  # fmt: skip


CHANGES = [
    row(1, payment_id="b", status="review"), row(2, "U", payment_id="b"),
    row(3, "U", payment_id="old-1", status="declined"), row(4, "U", payment_id="e"), row(5, "D", payment_id="b"),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "is_load"), [(FILE, True), (CHANGES, False)])
def test_a_kill_between_any_two_steps_loses_and_doubles_nothing(rows: list[Any], is_load: bool) -> None:
    def apply(platform: Platform) -> Report:
        return platform.load(*rows) if is_load else platform.change(*rows, file="2")

    def prepared() -> Platform:
        platform = Platform()
        if not is_load:
            platform.load(row(2))
        return platform

    whole = prepared()
    expected = apply(whole)
    step = 1
    while True:
        # Given an import that dies at a step
        platform = prepared()
        death = Death(step)
        platform.die_at(death)
        try:
            apply(platform)
        except Killed:
            pass
        else:
            break
        # Then the books of the payments' day are whole at once, or say what is still coming
        platform.die_at(nothing)
        assert platform.breaks() == [], death.steps
        # When another function goes on from the beginning, a moment later
        platform.now += timedelta(minutes=1)
        report = apply(platform)
        # Then each payment is there once, and the report says the same as without the death
        # (what an earlier attempt wrote for a ``U`` counts as updated, also if it was new)
        assert written(report) == written(expected), death.steps
        assert report.sums == expected.sums
        stored = {id: from_item(item).outcome for id, item in platform.history.items.items()}
        assert stored == {id: from_item(item).outcome for id, item in whole.history.items.items()}
        verdict = platform.verify()
        assert (verdict.breaks, verdict.pending, verdict.imported) == ((), (), 3)
        step += 1
    assert step > 7


def test_late_repeated_and_reordered_changes_end_in_the_newest_state(platform: Platform) -> None:
    # Given a full load that had seen a change already, when changes come again, and out of order
    platform.load(row(2, status="approved"))
    assert counts(platform.change(row(1, "U", status="approved"), file="3")) == {"read": 1, "unchanged": 1}
    assert counts(platform.change(row(1, "I", status="review"), file="2")) == {"read": 1, "superseded": 1}
    assert counts(platform.change(row(1, "U", status="declined"), file="4")) == {"read": 1, "updated": 1}
    assert counts(platform.change(row(1, "U", status="approved"), file="3")) == {"read": 1, "superseded": 1}
    # Then the newest counts, and the books are whole
    [item] = platform.history.items.values()
    assert from_item(item).status == "declined"
    assert platform.breaks() == []


def test_an_import_under_way_is_pending_and_no_fault(platform: Platform) -> None:
    # Given an import that died when its first part was recorded, and one payment of it written
    platform.die_at(Death(5))
    with pytest.raises(Killed):
        platform.load(*payments(3), end=False)
    verdict = platform.verify()
    assert verdict.breaks == ()
    assert (verdict.imported, len(verdict.pending)) == (3, 3 - len(platform.history.items))
    assert len(platform.history.items) in (1, 2)
    # And it names since when, so that the operator is told when nobody goes on with it
    assert {row.under_way_since for row in verdict.pending} == {"2026-11-29T12:00:00.000000Z"}


def test_no_card_number_leaves_the_memory(platform: Platform, caplog: pytest.LogCaptureFixture) -> None:
    # Given rows of which several are faulty in ways that could show what they hold
    rows = [
        row(n, **changes, payment_id=f"p{n}") for n, (changes, _, _) in enumerate(BAD, 2) if "payment_id" not in changes
    ]
    report = platform.load(row(100), row(101, payment_id="m", card_number=MASTERCARD), *rows)
    # Then no number is in ledger, audit log, report or log
    everything = json.dumps(platform.history.items) + json.dumps(report.to_json()) + caplog.text
    everything += "".join(record.key + record.body.decode() for record in platform.audit_log.records.values())
    for number in (VISA, MASTERCARD, "4111111111111112"):
        assert number not in everything
    # And the checksum, which is of the rows, is not made of the numbers: who knows the rest of a row could try them out
    other = Platform().load(row(100, card_number="4000000000000002"))
    assert other.checksum == Platform().load(row(100)).checksum


def test_ids_can_not_be_guessed_and_stay_the_same_when_card_keys_rotate(platform: Platform) -> None:
    first = platform.secret.keys
    platform.secret.rotate(NOW)
    assert transaction_id("old-1", first) == transaction_id("old-1", platform.secret.keys)
    assert transaction_id("old-1", first) != transaction_id("old-1", replace(first, ids_key=b"x" * 64))


def test_memory_is_bounded_by_the_part_whatever_the_file(platform: Platform) -> None:
    # Given a file that is a stream: how far it was read when the first payment is written
    read_at_first_write: list[int] = []
    taken = 0

    def stream() -> Any:
        nonlocal taken
        for taken in range(1, 3 * PART_ROWS + 1):
            yield row(taken, payment_id=f"old-{taken}")

    def note(step: str) -> None:
        if not platform.history.writes:
            read_at_first_write.append(taken)

    platform.history.hook = note
    platform.start().apply(stream(), Report())
    assert set(read_at_first_write) == {PART_ROWS}
    assert len(platform.history.items) == 3 * PART_ROWS


def forge(**changes: Any) -> Any:
    return lambda item: item.update(changes)


FORGERIES = [
    (forge(minor={"N": "1"}), "is not as it was imported"),
    (forge(customer_id={"S": "me"}), "is not as it was imported"),
    (forge(paid_out={"BOOL": True}), "is not as it was imported"),
    (forge(given_back={"N": "5"}), "is not as it was imported"),
    (forge(card_last4={"S": "0000"}), "is not as it was imported"),
    (forge(outcome={"S": "declined"}, status={"S": "declined"}), "is not as it was imported"),
    (lambda item: item.pop("origin"), "is not as it was imported"),
    (forge(status={"S": "refunded"}), 'has the status "refunded" in the ledger, and "approved" in its record'),
    (forge(audit_hash={"S": "0" * 64}), "is not from the record that the ledger names"),
    (forge(audit_key={"S": "imports/x.json"}), "is not from the record that the ledger names"),
    (forge(import_id={"S": f"imp_{9:032}"}), "is not from the import that the ledger names"),
    (lambda item: item.pop("released"), "would give limits back what they never counted"),
    (forge(day_shard={"S": f"{DAY}#none"}), "day_shard is"),
]


@pytest.mark.parametrize(("forgery", "reason"), FORGERIES)
def test_a_changed_payment_is_named(forgery: Any, reason: str, platform: Platform) -> None:
    platform.load(*payments(5))
    id = list(platform.history.items)[2]
    forgery(platform.history.items[id])
    assert any(f"#{id}: {reason}" in found for found in platform.breaks())
    assert all(id in found for found in platform.breaks())


def test_deleted_payments_are_named_each(platform: Platform) -> None:
    platform.load(*payments(5))
    gone = list(platform.history.items)[1:3]
    for id in gone:
        del platform.history.items[id]
    assert sorted(found.transaction_id for found in platform.verify().breaks) == sorted(gone)
    assert all(found.endswith("is missing from the ledger") for found in platform.breaks())


def test_a_payment_that_nobody_imported_is_named(platform: Platform) -> None:
    platform.load(*payments(2))
    [item, *_] = platform.history.items.values()
    platform.history.items["txn_forged"] = item | {"transaction_id": {"S": "txn_forged"}}
    assert [found for found in platform.breaks() if "txn_forged: is in no record of an import" in found]


def test_a_changed_or_deleted_record_of_an_import_is_named(platform: Platform) -> None:
    # Given an import of two parts, of which somebody changes or deletes the first part's record
    platform.load(*payments(PART_ROWS + 1))
    first, *_ = platform.audit_log.records.values()
    made = NOW.date().isoformat()
    assert platform.breaks(made) == []
    del platform.audit_log.records[first.key]
    # Then the day on which it was made misses it, and the day of the payments has some that no record holds
    assert [found for found in platform.breaks(made) if found.startswith(f"{first.key}: is missing before")]
    assert len(platform.breaks()) == PART_ROWS
    # And a forged record under its key is none
    named = next(iter(json.loads(first.body)["payments"][DAY].values())).encode()
    platform.audit_log.records[first.key] = replace(first, body=first.body.replace(named, b"0" * 64))
    assert [found for found in platform.breaks(made) if found.startswith(f"{first.key}: is no audit record")]
    assert len(platform.breaks()) == PART_ROWS


def test_a_native_payment_can_not_be_passed_off_as_imported(platform: Platform) -> None:
    # Given a payment that was taken here, settled and recorded, when somebody marks it as imported, so that it is held
    # against no record of its own
    from tests.unit.lambdas.test_processing import START, Bench

    bench = Bench()
    paid = bench.pay(bench.function(), key="k")
    items = bench.ledger.rows()
    items[paid.transaction_id] |= {"origin": {"S": "migration"}, "minor": {"N": "1"}}
    platform.history.items, platform.audit_log.records = items, bench.audit_log.records
    reasons = platform.breaks(START.date().isoformat())
    assert any("is in no record of an import" in reason for reason in reasons)
    assert any("in the ledger, and" in reason for reason in reasons)
