"""The verification of a day of the audit log: an unchanged day is whole; of a changed one the first break is named."""

import json
from typing import Any

import pytest

from lambdas.payments.audit import Chain, canonical, digest, key_of
from lambdas.payments.cards import Card
from lambdas.payments.transactions import PENDING, Transaction
from pipeline.audit.verification import LedgerEntry, VerificationResult, verify
from tests.unit.lambdas.stores import MemoryAuditLog


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
        card=Card(brand="visa", bin="411111", last4="1111", fingerprint="f"),
        reasons=(),
        score=0,
        request_id="r",
        payment_fingerprint="p",
    )


class Log:
    """Records of two writers in turn, and the settled transactions, as the ledger keeps them."""

    def __init__(self) -> None:
        store = MemoryAuditLog()
        writers = (Chain(), Chain())
        self.keys = [writers[n % 2].append(transaction(n), store).key for n in range(10)]
        self.bodies = {key: record.body for key, record in store.records.items()}
        self.settled = [
            LedgerEntry(
                transaction_id=transaction(n).transaction_id,
                created_at=transaction(n).created_at,
                settled=True,
                audit_hash=store.records[self.keys[n]].hash,
            )
            for n in range(10)
        ]

    def rewrite(self, n: int, **changes: Any) -> None:
        document = json.loads(self.bodies[self.keys[n]]) | changes
        self.bodies[self.keys[n]] = canonical(document)

    def verdict(self, *, with_ledger: bool = True) -> VerificationResult:
        return verify(self.bodies.items(), self.settled if with_ledger else [], lambda key: None)


def test_an_unchanged_day_is_whole() -> None:
    verdict = Log().verdict()
    assert (verdict.records, verdict.chains, verdict.breaks) == (10, 2, ())


@pytest.mark.parametrize("with_ledger", [True, False])
@pytest.mark.parametrize("n", [0, 3, 7])
def test_a_changed_record_is_named(n: int, with_ledger: bool) -> None:
    log = Log()
    log.rewrite(n, minor=1)
    assert log.verdict(with_ledger=with_ledger).breaks[0].key == log.keys[n]


@pytest.mark.parametrize("with_ledger", [True, False])
def test_a_removed_record_is_named(with_ledger: bool) -> None:
    log = Log()
    del log.bodies[log.keys[4]]
    assert {found.key for found in log.verdict(with_ledger=with_ledger).breaks} == {log.keys[4]}


def test_the_removed_end_of_a_chain_is_named_by_the_ledger() -> None:
    log = Log()
    del log.bodies[log.keys[9]]
    assert log.verdict(with_ledger=False).breaks == ()
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
    bodies = {yesterday.key: yesterday.body}
    assert verify([(today.key, today.body)], [], bodies.get).breaks == ()
    bodies[yesterday.key] = yesterday.body.replace(b"1250", b"1251")
    [found] = verify([(today.key, today.body)], [], bodies.get).breaks
    assert found.key == yesterday.key == key_of(transaction(0, 21))


def test_two_records_never_share_a_place_even_after_a_write_with_an_unknown_result() -> None:
    store, chain = MemoryAuditLog(), Chain()
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
    assert verify(((r.key, r.body) for r in store.records.values()), [], lambda key: None).breaks == ()
    assert all(digest(record.body) == record.hash for record in store.records.values())
