"""Transactions: one per idempotency key of a principal. Each is decided once, then settled, then perhaps amended."""

import hashlib
import hmac
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol

from lambdas.payments.card_keys import CardKeys
from lambdas.payments.cards import Card
from lambdas.payments.payment import Payment
from lambdas.payments.velocity import Addition, State

PENDING = "pending"
"""The transaction is decided and written, but not yet in the audit log. The client has no answer yet."""
AMENDING = "amending"
"""What the table holds as the status while an amendment is being recorded, so that an index finds it. A ``Transaction``
has its status from before the amendment then."""
OUTCOMES: Final = ("approved", "review", "declined")
"""What a transaction is after ``PENDING``."""

MIGRATION: Final = "migration"
"""The origin of a payment that another system took, and that was imported with its history."""

ID_FORM = re.compile("txn_[0-9a-f]{32}")
"""The form of every transaction's id."""

SHARDS = 8
"""Parts of a day. DynamoDB takes 1,000 writes a second in one partition, and a transaction is written twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A decided payment. Status: ``pending``, then ``outcome`` (``approved``, ``review`` or ``declined``), then what
    amendments make of it (``amendments.Status``)."""

    transaction_id: str
    status: str
    outcome: str
    """The status after the audit record is written."""
    created_at: str
    """UTC, ISO 8601 with microseconds and ``Z``: sorts as text."""
    customer_id: str
    caller: str
    """The sender of the request, including its session. Its principal is the scope of the idempotency key."""
    minor: int
    currency: str
    card: Card
    reasons: tuple[str, ...]
    score: int
    request_id: str
    payment_fingerprint: str
    """Digest of the request, keyed like the card's. It distinguishes a replay from a reused key."""
    merchant_reference: str | None = None
    client_ip: str | None = None
    country: str | None = None
    merchant_id: str | None = None
    base_minor: int | None = None
    """The amount in minor units of the base currency, as limits count it. Both are missing in older transactions."""
    day_total: str | None = None
    """The part of the merchant's total that counts this payment."""
    rules: str | None = None
    """The version of the fraud rules that decided. Missing in older transactions."""
    synthetic: bool | None = None
    """Whether it is made up, for a load test. ``None`` in older transactions."""
    origin: str | None = None
    """``migration`` when another system took and decided it. Its ``outcome`` is what it was there when it was imported:
    any of ``amendments.Status``. ``None``: it was taken here."""
    source_id: str | None = None
    """The id of an imported payment in the system that took it."""
    import_id: str | None = None
    """The import whose record in the audit log holds it (``lambdas.books.imports``)."""
    given_back: int | None = None
    """What the other system had given back of an imported payment, in minor units."""

    def shows(self, payment: Payment) -> bool:
        """Whether all that is stored of the request is that of ``payment``: all but the card number's middle and the
        expiry date."""
        number = payment.card_number
        return (
            self.customer_id, self.minor, self.currency, self.card.brand, self.card.last4, self.merchant_reference,
            self.client_ip, self.country,
        ) == (
            payment.customer_id, payment.money.minor, payment.money.currency.code, number.brand, number.last4,
            payment.merchant_reference, payment.client_ip, payment.country,
        )  # fmt: skip

    @property
    def moment(self) -> int:
        """``created_at`` in seconds since 1970."""
        return int(datetime.fromisoformat(self.created_at).timestamp())


class Ids(NamedTuple):
    """The ids that the only transaction of a principal with an idempotency key may have."""

    own: str
    """Which it gets now."""
    other: str
    """Which it has if it was made before ids were keyed, or by a function that has not read the keys again since."""


def transaction_ids(principal: str, idempotency_key: str, keys: CardKeys) -> Ids:
    """The ids of the only transaction of ``principal`` with ``idempotency_key``.

    The key of the ids makes them unguessable, and stays the same when card keys rotate.
    """
    scope = f"{len(principal)}:{principal}{idempotency_key}".encode()
    keyed, plain = hmac.digest(keys.ids_key, scope, "sha256").hex(), hashlib.sha256(scope).hexdigest()
    own, other = (keyed, plain) if keys.ids_keyed else (plain, keyed)
    return Ids(f"txn_{own[:32]}", f"txn_{other[:32]}")


def idempotency_scope(principal: str, idempotency_key: str, keys: CardKeys) -> list[str]:
    """What an idempotency record is named after: the transaction's id once that is keyed. The record names nothing
    that could be guessed then, and where another function names it otherwise, the ledger still holds one payment."""
    if keys.ids_keyed:
        return [transaction_ids(principal, idempotency_key, keys).own]
    return [principal, idempotency_key]


def flat(transaction: Transaction) -> dict[str, Any]:
    """The fields of ``transaction`` by name. Those of its card have the prefix ``card_``."""
    values = {field.name: getattr(transaction, field.name) for field in fields(transaction)}
    card = values.pop("card")
    return values | {f"card_{field.name}": getattr(card, field.name) for field in fields(card)}


def day_shard(transaction_id: str, created_at: str) -> str:
    """The part of its day to which a transaction belongs. A day has several, so that no partition gets all writes."""
    return f"{created_at[:10]}#{zlib.crc32(transaction_id.encode()) % SHARDS}"


def day_shards(day: str) -> list[str]:
    """All parts of ``day`` (UTC, ``YYYY-MM-DD``)."""
    return [f"{day}#{shard}" for shard in range(SHARDS)]


def timestamp(moment: datetime) -> str:
    """``moment`` (UTC) as text that sorts by time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Releasing(Protocol):
    """The part of the ledger that gives back what a transaction uses up of the limits."""

    def release(self, transaction: Transaction, states: Sequence[State], additions: Sequence[Addition] = ()) -> None:
        """Mark ``transaction`` as released, and write ``states``, which no longer count it, and ``additions``: all or
        none.

        Nothing changes when it was released before. Raises ``Contended`` as ``open`` does.
        """


class Settling(Protocol):
    """The part of the ledger that ends what is pending."""

    def settle(self, transaction: Transaction, audit_key: str, audit_hash: str) -> None:
        """Change a pending transaction's status to its outcome. A settled transaction is not changed."""


class Ledger(Releasing, Settling, Protocol):
    """The store of transactions. Every method raises ``Unavailable`` when the store is unavailable."""

    def find(self, ids: Ids) -> Transaction | None:
        """The transaction with one of ``ids``, as of now."""

    def open(
        self, transaction: Transaction, other_id: str, states: Sequence[State], additions: Sequence[Addition] = ()
    ) -> Transaction:
        """Write ``transaction`` as pending if neither its id nor ``other_id`` is taken, ``states`` as the next versions
        of theirs, and ``additions``: all or none. Returns the transaction that the ledger then holds.

        Raises ``Contended`` when a state has another version than the one that it was made from.
        """
