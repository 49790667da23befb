"""Transactions: one per idempotency key of a principal, decided once, then moved through its states."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from lambdas.payments.cards import Card
from lambdas.payments.fraud import PastPayment

PENDING = "pending"
"""Decided and written, not yet in the audit log: nobody has been told of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A decided payment. Status machine: ``pending`` → ``outcome`` (``approved``, ``review`` or ``declined``), once."""

    transaction_id: str
    status: str
    outcome: str
    """What ``status`` becomes when the audit record exists."""
    created_at: str
    """UTC, ISO 8601 with microseconds and ``Z``: sorts as text."""
    customer_id: str
    caller: str
    """Who sent the request, down to the session: its principal is the scope of the idempotency key."""
    minor: int
    currency: str
    card: Card
    reasons: tuple[str, ...]
    score: int
    request_id: str
    payment_fingerprint: str
    """Keyed digest of the request, which tells a replay from a reused key."""
    merchant_reference: str | None = None
    client_ip: str | None = None
    country: str | None = None


def transaction_id(principal: str, idempotency_key: str) -> str:
    """The id of the one transaction that ``principal`` can make with ``idempotency_key``."""
    scope = f"{len(principal)}:{principal}{idempotency_key}"
    return "txn_" + hashlib.sha256(scope.encode()).hexdigest()[:32]


def timestamp(moment: datetime) -> str:
    """``moment`` (UTC) as text that sorts by time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Ledger(Protocol):
    """Where transactions live. Every method raises ``Unavailable`` when the store can't serve."""

    def open(self, transaction: Transaction) -> Transaction:
        """Write ``transaction`` as pending if its id is new; return what the ledger now holds under that id."""

    def settle(self, transaction: Transaction, audit_key: str, audit_hash: str) -> None:
        """Move a pending transaction to its outcome; one that is there already stays as it is."""

    def by_customer(self, customer_id: str, since: datetime) -> Sequence[PastPayment]:
        """The customer's newest transactions since then, newest first, bounded in number."""

    def by_card(self, fingerprint: str, since: datetime) -> Sequence[PastPayment]:
        """The card's newest transactions since then, newest first, bounded in number."""
