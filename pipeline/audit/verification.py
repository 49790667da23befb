"""Verifies a day of the audit log: every record by itself, in its chain, and against the ledger."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lambdas.payments.audit import GENESIS, canonical, digest, key_of_id


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Break:
    """A record that was changed or is missing."""

    created_at: str
    """The time of its payment; empty when the record is unreadable. Breaks sort by it."""
    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationResult:
    """The result of a day's verification."""

    records: int
    chains: int
    breaks: tuple[Break, ...]
    """In order of time: the first break is the earliest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """A transaction in the ledger."""

    transaction_id: str
    created_at: str
    settled: bool
    audit_hash: str
    """Of its audit record; empty before it is settled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    key: str
    hash: str
    created_at: str
    writer: str
    sequence: int
    previous_key: str | None
    previous_hash: str


def verify(
    records: Iterable[tuple[str, bytes]], ledger: Iterable[LedgerEntry], earlier: Callable[[str], bytes | None]
) -> VerificationResult:
    """Verify the ``records`` of a day, keys with bodies, against the day's settled transactions in the ``ledger``.

    Read the ledger before the records, which may take minutes. A record is written before its transaction settles, so
    every settled transaction has its record. An additional record is of a payment under way.

    ``earlier`` returns the body of a record that is not among ``records``, or ``None``. Such a record is of the day
    before (a chain may cross midnight), or of a payment made during the verification.
    """
    entries: dict[str, _Entry] = {}
    breaks = []
    for key, body in records:
        try:
            entries[key] = _read(key, body)
        except (ValueError, KeyError, TypeError) as error:
            breaks.append(Break(created_at="", key=key, reason=f"is no audit record: {error}"))
    breaks += _chain_breaks(entries, earlier)
    breaks += _ledger_breaks(entries, (each for each in ledger if each.settled))
    first_of_each = {found.key: found for found in sorted(breaks, reverse=True)}
    return VerificationResult(
        records=len(entries),
        chains=len({entry.writer for entry in entries.values()}),
        breaks=tuple(sorted(first_of_each.values())),
    )


def _read(key: str, body: bytes) -> _Entry:
    document: dict[str, Any] = json.loads(body)
    if canonical(document) != body:
        raise ValueError("its bytes are not in canonical form")
    if key_of_id(document["transaction_id"], document["created_at"]) != key:
        raise ValueError("it belongs under another key")
    chain = document["chain"]
    return _Entry(
        key=key,
        hash=digest(body),
        created_at=document["created_at"],
        writer=chain["writer"],
        sequence=chain["sequence"],
        previous_key=chain["previous_key"],
        previous_hash=chain["previous_hash"],
    )


def _chain_breaks(entries: Mapping[str, _Entry], earlier: Callable[[str], bytes | None]) -> Iterable[Break]:
    """Breaks of the chains. A record names its predecessor's key and hash, so a mismatch is a broken predecessor."""
    places: dict[tuple[str, int], str] = {}
    for entry in sorted(entries.values(), key=lambda entry: (entry.created_at, entry.key)):
        taken_by = places.setdefault((entry.writer, entry.sequence), entry.key)
        if taken_by != entry.key:
            yield _broken(entry, f"takes the place of {taken_by} in its chain")
        if entry.previous_key is None:
            if entry.sequence != 0 or entry.previous_hash != GENESIS:
                yield _broken(entry, "claims to begin a chain in its middle")
            continue
        previous = entries.get(entry.previous_key)
        before = None if previous else earlier(entry.previous_key)
        found_hash = previous.hash if previous else digest(before) if before is not None else None
        if found_hash is None:
            yield Break(created_at=entry.created_at, key=entry.previous_key, reason=f"is missing before {entry.key}")
        elif found_hash != entry.previous_hash:
            at = previous.created_at if previous else entry.created_at
            yield Break(created_at=at, key=entry.previous_key, reason=f"was changed after {entry.key} was written")


def _ledger_breaks(entries: Mapping[str, _Entry], settled: Iterable[LedgerEntry]) -> Iterable[Break]:
    """Breaks against the ledger: a settled transaction without its record, or with a record of another hash."""
    for transaction in settled:
        key = key_of_id(transaction.transaction_id, transaction.created_at)
        entry = entries.get(key)
        if entry is None:
            yield Break(created_at=transaction.created_at, key=key, reason="is missing for a settled transaction")
        elif entry.hash != transaction.audit_hash:
            yield _broken(entry, "is not the record that the ledger names")


def _broken(entry: _Entry, reason: str) -> Break:
    return Break(created_at=entry.created_at, key=entry.key, reason=reason)
