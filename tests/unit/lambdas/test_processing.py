"""A payment is processed exactly once, also after crashes between any two steps and with simultaneous duplicates."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.books.verification import verify
from lambdas.payments.audit import digest
from lambdas.payments.callers import Caller
from lambdas.payments.card_keys import CardKeys
from lambdas.payments.errors import KeyReused, Unavailable
from lambdas.payments.examination import Examiner, Keyring
from lambdas.payments.payment import Payment
from lambdas.payments.processing import Processor
from lambdas.payments.rules import shipped
from lambdas.payments.transactions import PENDING, Transaction, transaction_ids
from tests.unit.lambdas.stores import (
    KillAt,
    Killed,
    MemoryAuditLog,
    MemoryBooks,
    MemoryDirectory,
    MemoryLedger,
    MemorySecret,
)

RULES = shipped()
START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Bench:
    """Stores that survive, and functions on them that may be killed and restarted."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger()
        self.audit_log = MemoryAuditLog()
        self.directory = MemoryDirectory()
        self.secret = MemorySecret()
        self._times = self._ticks()

    def _ticks(self) -> Iterator[datetime]:
        now = START
        while True:
            now += timedelta(minutes=1)
            yield now

    def function(self, keyring: Keyring | None = None) -> Processor:
        """A function with its own cache of the card keys."""
        examiner = Examiner(self.directory, self.ledger, lambda: RULES, keyring or self.secret.keyring())
        return Processor(examiner, self.ledger, self.audit_log, clock=lambda: next(self._times))

    def pay(self, processor: Processor, key: str = "key", caller: str = "me", **changes: Any) -> Transaction:
        body = {"customer_id": "c", "amount": "12.50", "currency": "USD", "card_number": "4111111111111111"}
        sender = Caller(caller, f"arn:aws:iam::111111111111:user/{caller}")
        return processor.process(Payment.parse(body | changes), sender, key, request_id=f"request of {key}")

    def assert_sound(self) -> None:
        """Each settled transaction has exactly one record with the hash it names; each record has a transaction."""
        settled = [item for item in self.ledger.items.values() if item.status != PENDING]
        assert self.ledger.settled_count == len(settled)
        for item in settled:
            key, named = self.ledger.audited[item.transaction_id]
            assert digest(self.audit_log.records[key].body) == named
        of_records = {json.loads(record.body)["transaction_id"] for record in self.audit_log.records.values()}
        assert {item.transaction_id for item in settled} <= of_records <= self.ledger.items.keys()
        bodies = {key: record.body for key, record in self.audit_log.records.items()}
        verdict = verify(MemoryBooks(START.date().isoformat(), bodies, self.ledger.rows()))
        assert verdict.breaks == ()


STEPS = ("before open", "after open", "before audit", "after audit", "before settle", "after settle")


@pytest.mark.parametrize("step", range(1, len(STEPS) + 1), ids=STEPS)
def test_a_payment_killed_at_any_step_is_completed_by_its_retry(step: int) -> None:
    # Given a function that dies at the step
    bench = Bench()
    kill = KillAt(step)
    bench.ledger.hook = bench.audit_log.hook = kill
    with pytest.raises(Killed):
        bench.pay(bench.function())
    assert kill.steps == list(STEPS[:step])
    bench.assert_sound()
    # When the client repeats the request, and a new function serves it
    bench.ledger.hook = bench.audit_log.hook = KillAt(0)
    retried = bench.pay(bench.function())
    # Then there is one payment with one record, and it has the first attempt's decision
    bench.assert_sound()
    [item] = bench.ledger.items.values()
    assert item.status == retried.outcome == "approved"
    assert len(bench.audit_log.records) == 1
    if step > 1:
        assert item.created_at == "2026-11-22T12:01:00.000000Z"


@given(st.lists(st.integers(1, len(STEPS)), max_size=4), st.integers(1, len(STEPS)))
def test_any_sequence_of_crashes_ends_in_one_payment(crashes: list[int], at: int) -> None:
    bench = Bench()
    for step in [*crashes, at]:
        bench.ledger.hook = bench.audit_log.hook = KillAt(step)
        try:
            bench.pay(bench.function())
        except Killed:
            bench.assert_sound()
    bench.ledger.hook = bench.audit_log.hook = KillAt(0)
    bench.pay(bench.function())
    bench.assert_sound()
    assert bench.ledger.settled_count == len(bench.audit_log.records) == 1


def test_simultaneous_duplicates_make_one_payment() -> None:
    # Given as many functions as requests, without a lock between them
    bench = Bench()
    functions = [bench.function() for _ in range(16)]
    # When they all get the same request
    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(bench.pay, functions))
    # Then all answer the same, for one payment
    bench.assert_sound()
    assert bench.ledger.settled_count == 1
    assert len({(answer.transaction_id, answer.outcome, answer.created_at) for answer in answers}) == 1


def test_a_retry_keeps_the_first_decision_even_when_it_would_decide_otherwise_now() -> None:
    bench = Bench()
    bench.audit_log.hook = KillAt(1)
    with pytest.raises(Killed):
        bench.pay(bench.function())
    bench.audit_log.hook = KillAt(0)
    for n in range(6):
        bench.pay(bench.function(), key=f"other {n}", customer_id=f"c{n}")
    assert bench.pay(bench.function(), key="late").outcome == "review"
    assert bench.pay(bench.function()).outcome == "approved"
    bench.assert_sound()


def test_another_payment_under_a_used_key_is_refused_and_changes_nothing() -> None:
    bench = Bench()
    bench.pay(bench.function())
    with pytest.raises(KeyReused):
        bench.pay(bench.function(), amount="12.51")
    assert len(bench.ledger.items) == 1


def test_callers_do_not_share_keys() -> None:
    bench = Bench()
    one, other = bench.pay(bench.function()), bench.pay(bench.function(), caller="somebody else", amount="99.00")
    assert one.transaction_id != other.transaction_id
    assert len(bench.ledger.items) == 2


@given(st.text(), st.text(), st.text(), st.text())
def test_different_principals_or_keys_have_different_transactions(one: str, key: str, other: str, key2: str) -> None:
    mine, theirs = (transaction_ids(*scope, CardKeys.of_one(b"k" * 64)) for scope in ((one, key), (other, key2)))
    assert (mine == theirs) == ((one, key) == (other, key2))
    assert set(mine).isdisjoint(theirs) or mine == theirs


def test_with_the_audit_log_down_nothing_is_accepted_and_the_next_chain_is_whole() -> None:
    bench = Bench()
    function = bench.function()
    bench.pay(function, key="before")

    def down(step: str) -> None:
        if step == "after audit":
            raise Unavailable("audit log")

    bench.audit_log.hook = down
    with pytest.raises(Unavailable):
        bench.pay(function)
    assert [item.status for item in bench.ledger.items.values()] == ["approved", PENDING]
    bench.audit_log.hook = KillAt(0)
    bench.pay(function, key="another", customer_id="d")
    assert bench.pay(function).outcome == "approved"
    bench.assert_sound()


def test_a_refused_payment_is_recorded_as_declined_with_its_reasons() -> None:
    bench = Bench()
    declined = bench.pay(bench.function(), card_number="4111111111111112")
    assert (declined.outcome, declined.reasons) == ("declined", ("card_check_digit_wrong",))
    bench.assert_sound()
