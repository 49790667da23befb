"""Is a day of the audit log whole? Checks every record by itself, in its chain, and against the ledger."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lambdas.payments.audit import GENESIS, canonical, digest, key_of_id


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Break:
    """A record that is not what was written, or is missing."""

    created_at: str
    """When its payment was made, as far as it is known; breaks sort by it."""
    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found of a day."""

    records: int
    chains: int
    breaks: tuple[Break, ...]
    """In order of time: the first is the first broken record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What the ledger says of a settled transaction's record."""

    transaction_id: str
    created_at: str
    audit_hash: str


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
    records: Iterable[tuple[str, bytes]], settled: Iterable[Settled], earlier: Callable[[str], bytes | None]
) -> Verdict:
    """Verify the ``records`` of a day, keys with bodies, against the day's ``settled`` transactions.

    ``earlier`` gives the body of a record that is not among them, or ``None``: of another day, into which a chain that
    crosses midnight leads, or of a payment that was made while they were read.
    """
    # Before the records, which may take minutes to read: a record is written before its transaction is settled, so all
    # that are settled by now have theirs. A record beyond them is that of a payment under way, and no break.
    settled = list(settled)
    entries: dict[str, _Entry] = {}
    breaks = []
    for key, body in records:
        try:
            entries[key] = _read(key, body)
        except (ValueError, KeyError, TypeError) as error:
            breaks.append(Break(created_at="", key=key, reason=f"is no audit record: {error}"))
    breaks += _chain_breaks(entries, earlier)
    breaks += _ledger_breaks(entries, settled)
    first_of_each = {found.key: found for found in sorted(breaks, reverse=True)}
    return Verdict(
        records=len(entries),
        chains=len({entry.writer for entry in entries.values()}),
        breaks=tuple(sorted(first_of_each.values())),
    )


def _read(key: str, body: bytes) -> _Entry:
    document: dict[str, Any] = json.loads(body)
    if canonical(document) != body:
        raise ValueError("its bytes are not those that were written")
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
    """What the links say: each names its predecessor's key and hash, so it is the predecessor that is broken."""
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


def _ledger_breaks(entries: Mapping[str, _Entry], settled: Iterable[Settled]) -> Iterable[Break]:
    """What the ledger says: each settled transaction has its record, with the hash that was noted when it settled."""
    for transaction in settled:
        key = key_of_id(transaction.transaction_id, transaction.created_at)
        entry = entries.get(key)
        if entry is None:
            yield Break(created_at=transaction.created_at, key=key, reason="is missing for a settled transaction")
        elif entry.hash != transaction.audit_hash:
            yield _broken(entry, "is not the record that the ledger names")


def _broken(entry: _Entry, reason: str) -> Break:
    return Break(created_at=entry.created_at, key=entry.key, reason=reason)
