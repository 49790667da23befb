"""Stores in memory with the guarantees of the real ones: conditional, atomic writes that all readers see at once."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from lambdas.payments.audit import Record
from lambdas.payments.customers import Customer
from lambdas.payments.fraud import PastPayment
from lambdas.payments.transactions import PENDING, Transaction

Hook = Callable[[str], None]


class Killed(BaseException):
    """The function's process ends here, as after kill -9."""


class KillAt:
    """Kills at the ``n``-th step. A step is the moment before or after a write."""

    def __init__(self, n: int) -> None:
        self._left = n
        self.steps: list[str] = []

    def __call__(self, step: str) -> None:
        self.steps.append(step)
        self._left -= 1
        if self._left == 0:
            raise Killed(step)


def nothing(step: str) -> None:
    """No hook."""


class MemoryLedger:
    """``transactions.Ledger``."""

    def __init__(self) -> None:
        self.items: dict[str, Transaction] = {}
        self.audited: dict[str, tuple[str, str]] = {}
        self.settled_count = 0
        self.hook: Hook = nothing
        self._lock = threading.Lock()

    def open(self, transaction: Transaction) -> Transaction:
        self.hook("before open")
        with self._lock:
            stored = self.items.setdefault(transaction.transaction_id, transaction)
        self.hook("after open")
        return stored

    def settle(self, transaction: Transaction, audit_key: str, audit_hash: str) -> None:
        self.hook("before settle")
        with self._lock:
            stored = self.items[transaction.transaction_id]
            if stored.status == PENDING:
                self.items[transaction.transaction_id] = replace(stored, status=stored.outcome)
                self.audited[transaction.transaction_id] = (audit_key, audit_hash)
                self.settled_count += 1
        self.hook("after settle")

    def by_customer(self, customer_id: str, since: datetime) -> Sequence[PastPayment]:
        return self._history(lambda item: item.customer_id == customer_id)

    def by_card(self, fingerprint: str, since: datetime) -> Sequence[PastPayment]:
        return self._history(lambda item: item.card.fingerprint == fingerprint)

    def _history(self, wanted: Callable[[Transaction], bool]) -> list[PastPayment]:
        return [
            PastPayment(
                created_at=datetime.fromisoformat(item.created_at),
                customer_id=item.customer_id,
                card_fingerprint=item.card.fingerprint,
                currency=item.currency,
                minor=item.minor,
                status=item.status,
            )
            for item in list(self.items.values())
            if wanted(item)
        ]


class MemoryAuditLog:
    """``audit.AuditLog``."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.hook: Hook = nothing
        self._lock = threading.Lock()

    def put_if_absent(self, record: Record) -> Record:
        self.hook("before audit")
        with self._lock:
            stored = self.records.setdefault(record.key, record)
        self.hook("after audit")
        return stored


class OneCustomer:
    """``customers.Customers`` with an active customer for every id."""

    def find(self, customer_id: str) -> Customer | None:
        return Customer(
            customer_id=customer_id,
            status="active",
            country="US",
            allowed_currencies=frozenset({"USD"}),
            payment_limits={},
        )
