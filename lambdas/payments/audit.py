"""The audit log: one record per transaction, and one per amendment.

Each record holds the hash of its writer's previous record. A writer is one execution environment, so chains need no
coordination between writers and no extra round trip. A chain alone can't show that its last records are missing. The
ledger shows it: each settled transaction holds the hash of its record, and of those of its amendments.
"""

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

from lambdas.payments.transactions import Transaction, flat

GENESIS = "0" * 64
"""The previous hash in the first record of a chain."""

NOT_RECORDED: Final = {
    "status": "moves on after the record is written, from pending to the recorded outcome",
    "payment_fingerprint": "recognises a repeated request, and says nothing about the payment",
    "day_total": "names the counter of a limit",
}
"""The fields of a transaction that its record leaves out, and why. It holds all others, also those that are added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A record's place in its writer's chain."""

    writer: str
    sequence: int
    previous_key: str | None
    previous_hash: str

    @classmethod
    def first(cls) -> "Link":
        """The first place of a new chain."""
        return cls(writer=uuid.uuid4().hex, sequence=0, previous_key=None, previous_hash=GENESIS)

    def after(self, record: "Record") -> "Link":
        """The place after ``record``, which has this place."""
        return Link(writer=self.writer, sequence=self.sequence + 1, previous_key=record.key, previous_hash=record.hash)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One audit record, ready to be written: canonical bytes and their SHA-256, hex."""

    key: str
    body: bytes
    hash: str


def key_of(transaction: Transaction) -> str:
    """The key of the record of ``transaction``. Every attempt at writing it uses the same key."""
    return key_of_id(transaction.transaction_id, transaction.created_at)


def key_of_id(transaction_id: str, created_at: str) -> str:
    """The key of the record of the transaction with this id and time."""
    return f"{prefix(created_at[:10])}{transaction_id}.json"


def prefix(day: str) -> str:
    """The key prefix of the records of ``day`` (UTC, ``YYYY-MM-DD``)."""
    year, month, date = day.split("-")
    return f"audit/year={year}/month={month}/day={date}/"


def record(transaction: Transaction, link: Link) -> Record:
    """The record of ``transaction`` at the place ``link`` of a chain."""
    values = {name: value for name, value in flat(transaction).items() if name not in NOT_RECORDED}
    body = canonical(values | {"chain": asdict(link)})
    return Record(key=key_of(transaction), body=body, hash=digest(body))


def canonical(document: Mapping[str, Any]) -> bytes:
    """``document`` as JSON. Equal content gives equal bytes."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


class Chain:
    """Writes one chain. When it is unknown whether a record was written, it starts a new chain, so that no place in a
    chain is used twice."""

    def __init__(self) -> None:
        self._link = Link.first()

    def append(self, transaction: Transaction, log: "AuditLog") -> Record:
        """Write the record of ``transaction`` unless an earlier attempt did. Returns the record in the log.

        Raises ``Unavailable``.
        """
        return self.add(lambda link: record(transaction, link), log)

    def add(self, draft: Callable[[Link], Record], log: "AuditLog") -> Record:
        """Write the record that ``draft`` makes for a place in the chain, as ``append`` does."""
        mine = draft(self._link)
        try:
            stored = log.put_if_absent(mine)
        except BaseException:
            self._link = Link.first()
            raise
        if stored == mine:
            self._link = self._link.after(mine)
        return stored


class AuditLog(Protocol):
    """The append-only store of audit records."""

    def put_if_absent(self, record: Record) -> Record:
        """Write ``record`` if its key is free. Returns the record that the key then holds. Raises ``Unavailable``."""
