"""The audit log: one record per transaction, each holding the hash of the one that its writer wrote before.

A writer is one execution environment: chains need no coordination between writers and cost no extra round trip. What
a chain alone can't show, the loss of its end, the ledger shows: each settled transaction names its record's hash.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lambdas.payments.transactions import Transaction

GENESIS = "0" * 64
"""What the first record of a chain names as the hash before it."""


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
        """The place behind ``record``, which stands at this one."""
        return Link(writer=self.writer, sequence=self.sequence + 1, previous_key=record.key, previous_hash=record.hash)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One audit record, ready to be written: canonical bytes and their SHA-256, hex."""

    key: str
    body: bytes
    hash: str


def key_of(transaction: Transaction) -> str:
    """Where the record of ``transaction`` lies, the same for every attempt at writing it."""
    return key_of_id(transaction.transaction_id, transaction.created_at)


def key_of_id(transaction_id: str, created_at: str) -> str:
    """Where the record of the transaction with that id and time lies."""
    return f"{prefix(created_at[:10])}{transaction_id}.json"


def prefix(day: str) -> str:
    """Where the records of ``day`` (UTC, ``YYYY-MM-DD``) lie."""
    year, month, date = day.split("-")
    return f"audit/year={year}/month={month}/day={date}/"


def record(transaction: Transaction, link: Link) -> Record:
    """The record of ``transaction`` at ``link`` of a chain."""
    body = canonical(
        {
            "transaction_id": transaction.transaction_id,
            "created_at": transaction.created_at,
            "outcome": transaction.outcome,
            "reasons": transaction.reasons,
            "score": transaction.score,
            "customer_id": transaction.customer_id,
            "caller": transaction.caller,
            "minor": transaction.minor,
            "currency": transaction.currency,
            "card_brand": transaction.card.brand,
            "card_bin": transaction.card.bin,
            "card_last4": transaction.card.last4,
            "card_fingerprint": transaction.card.fingerprint,
            "merchant_reference": transaction.merchant_reference,
            "client_ip": transaction.client_ip,
            "country": transaction.country,
            "request_id": transaction.request_id,
            "chain": {
                "writer": link.writer,
                "sequence": link.sequence,
                "previous_key": link.previous_key,
                "previous_hash": link.previous_hash,
            },
        }
    )
    return Record(key=key_of(transaction), body=body, hash=digest(body))


def canonical(document: Mapping[str, Any]) -> bytes:
    """``document`` as JSON that is the same for the same content."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


class Chain:
    """The writing end of one chain. When it is unknown whether a record was written, the chain ends and a new one
    begins, so that no place in a chain is ever used twice."""

    def __init__(self) -> None:
        self._link = Link.first()

    def append(self, transaction: Transaction, log: "AuditLog") -> Record:
        """Write the record of ``transaction``, or find that it was written before; return what the log holds.

        Raises ``Unavailable``.
        """
        mine = record(transaction, self._link)
        try:
            stored = log.put_if_absent(mine)
        except BaseException:
            self._link = Link.first()
            raise
        if stored == mine:
            self._link = self._link.after(mine)
        return stored


class AuditLog(Protocol):
    """Where audit records live, append-only."""

    def put_if_absent(self, record: Record) -> Record:
        """Write ``record`` if its key is free; return the record that now lies there. Raises ``Unavailable``."""
