"""The verification of a day of the audit log: an unchanged day is whole; of a changed one the first break is named."""

import json
from typing import Any

import pytest

from lambdas.books.verification import Verification, verify
from lambdas.payments.audit import Chain, canonical, digest, key_of
from lambdas.payments.cards import Card
from lambdas.payments.transactions import PENDING, Transaction
from tests.unit.lambdas.stores import MemoryAuditLog, MemoryBooks, MemoryLedger


def transaction(n: int, day: int = 22) -> Transaction:
    return Transaction(
        transaction_id=f"txn_{n:032x}",
        status=PENDING,
        outcome="approved",
        created_at=f"2026-11-{day}T12:00:{n:02}.000000Z",
        customer_id="c",
        caller="me",
        minor=1250,
        currency="USD",
        card=Card(brand="visa", last4="1111", fingerprint="f", key_version=1),
        reasons=(),
        score=0,
        request_id="r",
        payment_fingerprint="p",
    )


class Log:
    """Records of two writers in turn, and their settled transactions."""

    def __init__(self) -> None:
        store, ledger = MemoryAuditLog(), MemoryLedger()
        writers = (Chain(), Chain())
        self.keys = []
        for n in range(10):
            ledger.open(transaction(n), "txn_other", [])
            record = writers[n % 2].append(transaction(n), store)
            ledger.settle(transaction(n), record.key, record.hash)
            self.keys.append(record.key)
        self.bodies = {key: record.body for key, record in store.records.items()}
        self.items = ledger.rows()

    def rewrite(self, n: int, *, also_in_ledger: bool = False, **changes: Any) -> None:
        """Change a record, and with it its transaction, as one who may write both can do."""
        document = json.loads(self.bodies[self.keys[n]]) | changes
        self.bodies[self.keys[n]] = canonical(document)
        if also_in_ledger:
            values = {name: {"N": str(value)} for name, value in changes.items()}
            self.item(n).update(values, audit_hash={"S": digest(self.bodies[self.keys[n]])})

    def remove(self, n: int, *, also_in_ledger: bool = False) -> None:
        del self.bodies[self.keys[n]]
        if also_in_ledger:
            del self.items[transaction(n).transaction_id]

    def item(self, n: int) -> dict[str, Any]:
        return self.items[transaction(n).transaction_id]

    def verdict(self) -> Verification:
        return verify(MemoryBooks("2026-11-22", self.bodies, self.items))


def test_an_unchanged_day_is_whole() -> None:
    verdict = Log().verdict()
    assert (len(verdict.entries), verdict.chains, verdict.breaks) == (10, 2, ())


@pytest.mark.parametrize("also_in_ledger", [True, False])
@pytest.mark.parametrize("n", [0, 3, 7])
def test_a_changed_record_is_named(n: int, also_in_ledger: bool) -> None:
    log = Log()
    log.rewrite(n, minor=1, also_in_ledger=also_in_ledger)
    assert log.verdict().breaks[0].key == log.keys[n]


@pytest.mark.parametrize("also_in_ledger", [True, False])
def test_a_removed_record_is_named(also_in_ledger: bool) -> None:
    log = Log()
    log.remove(4, also_in_ledger=also_in_ledger)
    assert {found.key for found in log.verdict().breaks} == {log.keys[4]}


@pytest.mark.parametrize("finished_by", ["the release before", "this release", "the release before, begun by this"])
def test_payments_of_the_release_that_stored_first_digits_are_whole(finished_by: str) -> None:
    # Given a payment whose item and record two releases wrote, the earlier one with the first six digits of the card
    log, former = Log(), {"card_bin": "411111"}
    for attribute in ("card_key_version", "synthetic"):
        log.item(9).pop(attribute, None)
    document = json.loads(log.bodies[log.keys[9]])
    if finished_by != "this release":
        for field in ("card_key_version", "synthetic"):
            del document[field]
        document |= former if finished_by == "the release before" else {"card_bin": None}
    if finished_by == "the release before, begun by this":
        log.item(9).update({"card_key_version": {"N": "1"}, "synthetic": {"BOOL": False}})
    else:
        log.item(9)["card_bin"] = {"S": "411111"}
    body = canonical(document)
    log.bodies[log.keys[9]] = body
    log.item(9)["audit_hash"] = {"S": digest(body)}
    # Then the day is whole
    assert log.verdict().breaks == ()


def test_the_removed_end_of_a_chain_is_named_by_the_ledger() -> None:
    log = Log()
    log.remove(9)
    assert [found.key for found in log.verdict().breaks] == [log.keys[9]]


def test_the_first_of_several_broken_records_comes_first() -> None:
    log = Log()
    log.rewrite(6, minor=1)
    log.rewrite(2, minor=1)
    assert [found.key for found in log.verdict().breaks] == [log.keys[2], log.keys[6]]


def test_reformatted_bytes_are_a_break() -> None:
    log = Log()
    log.bodies[log.keys[0]] += b"\n"
    assert log.keys[0] in {found.key for found in log.verdict().breaks}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"{}", b"\xff"])
def test_garbage_is_named_and_does_not_stop_the_verification(body: bytes) -> None:
    log = Log()
    log.bodies[log.keys[5]] = body
    assert log.keys[5] in {found.key for found in log.verdict().breaks}


def test_an_inserted_record_is_named() -> None:
    log = Log()
    forged = Log()
    document = json.loads(forged.bodies[forged.keys[4]])
    document |= {"transaction_id": "txn_forged", "chain": json.loads(log.bodies[log.keys[4]])["chain"]}
    key = log.keys[4].replace(transaction(4).transaction_id, "txn_forged")
    log.bodies[key] = canonical(document)
    assert key in {found.key for found in log.verdict().breaks}


def test_a_chain_that_crosses_midnight_is_followed_into_the_day_before() -> None:
    store, chain = MemoryAuditLog(), Chain()
    yesterday, today = (chain.append(transaction(n, day), store) for n, day in ((0, 21), (1, 22)))
    ledger = MemoryLedger()
    ledger.open(transaction(1, 22), "txn_other", [])
    books = MemoryBooks("2026-11-22", {each.key: each.body for each in (yesterday, today)}, ledger.rows())
    assert verify(books).breaks == ()
    books.bodies[yesterday.key] = yesterday.body.replace(b"1250", b"1251")
    [found] = verify(books).breaks
    assert found.key == yesterday.key == key_of(transaction(0, 21))


def test_two_records_never_share_a_place_even_after_a_write_with_an_unknown_result() -> None:
    store, chain, ledger = MemoryAuditLog(), Chain(), MemoryLedger()
    for n in range(3):
        ledger.open(transaction(n), "txn_other", [])
    chain.append(transaction(0), store)

    def lost(step: str) -> None:
        if step == "after audit":
            raise TimeoutError

    store.hook = lost
    with pytest.raises(TimeoutError):
        chain.append(transaction(1), store)
    store.hook = lambda step: None
    chain.append(transaction(2), store)
    chain.append(transaction(1), store)
    bodies = {key: record.body for key, record in store.records.items()}
    assert verify(MemoryBooks("2026-11-22", bodies, ledger.rows())).breaks == ()
    assert all(digest(record.body) == record.hash for record in store.records.values())
