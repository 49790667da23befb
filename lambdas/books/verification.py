"""Verifies a day of the books: every record by itself, in its chain, and against the ledger, field by field."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lambdas.books import imports
from lambdas.books.agreement import Row, amendment_differences, differences
from lambdas.payments import amendments
from lambdas.payments.audit import GENESIS, canonical, digest, key_of_id, prefix
from lambdas.payments.transactions import PENDING


class Books(Protocol):
    """The stored books of one day. Its methods raise ``NotRead``."""

    day: str
    """UTC, ``YYYY-MM-DD``."""

    def transactions(self) -> Iterable[Row]:
        """The day's transactions, as indexes show them: the newest may be missing, or be pending still."""

    def records(self) -> Iterable[tuple[str, bytes]]:
        """Keys and bodies of the day's records: of payments, of amendments, and of imports that were made that day."""

    def imports(self) -> Iterable[tuple[str, bytes, bool]]:
        """Keys and bodies of the records of imports, made on any day, that may hold payments of the day; and whether
        the import had not ended when it was listed."""

    def record(self, key: str) -> bytes | None:
        """The body of the record under ``key``, of any day; ``None`` when there is none."""

    def rows(self, transaction_ids: Sequence[str]) -> Mapping[str, Row]:
        """Those of the transactions that exist, by id, as they are now."""


_OF_IMPORT = {"outcome": "import", "currency": "XXX", "minor": 0}
"""An import's record has no amount of its own. XXX is ISO 4217's code for "no currency"."""


class NotRead(Exception):
    """A part of the books may exist, and can't be read. The message names it and the reason."""


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Break:
    """A fault of the books: what was changed, added or removed."""

    created_at: str
    """The time of its payment; empty when the record is unreadable. Breaks sort by it."""
    key: str
    """Of the record or seal at fault."""
    reason: str
    transaction_id: str = ""
    field: str = ""
    ledger: str = ""
    record: str = ""
    """The field with two values, and what is shown of these (``agreement.shown``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A record's identity and its place in its chain."""

    key: str
    hash: str
    transaction_id: str
    created_at: str
    outcome: str
    """Of an amendment its kind: what is given back is no payment. ``import`` of a record of an import, which has no
    amount: it holds many payments."""
    currency: str
    minor: int
    amendment: int | None
    """Its number, in the record of an amendment."""
    writer: str
    sequence: int
    previous_key: str | None
    previous_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The result of a day's verification."""

    entries: tuple[Entry, ...]
    """Of every readable record, complete for each chain: a record is among them if a later one of the day is."""
    pending: tuple[Row, ...]
    """The transactions of which something was being recorded when the reading began."""
    breaks: tuple[Break, ...]
    """In order of time: the first break is the earliest."""
    imported: int = 0
    """How many payments of the day the records of imports hold."""

    @property
    def chains(self) -> int:
        return len({entry.writer for entry in self.entries})


def verify(books: Books) -> Verification:
    """Verify a day.

    Payments may be made meanwhile. The ledger is read before the records, which may take minutes. A transaction is
    written before its record, and its record before it settles. So every transaction that was settled has its record,
    and every record has its transaction, which the indexes may not show yet.
    """
    ledger = {row.transaction_id: row for row in books.transactions()}
    measures = imports.listed(books.day, _import_records(books))
    entries: dict[str, Entry] = {}
    breaks: list[Break] = []
    doubtful: dict[str, tuple[Entry, Mapping[str, Any]]] = {}

    def add(key: str, body: bytes) -> Entry | None:
        try:
            entry, record = _read(key, body)
        except (ValueError, KeyError, TypeError) as error:
            breaks.append(Break(created_at="", key=key, reason=f"is no audit record: {error}"))
            return None
        entries[key] = entry
        if key.startswith(imports.FOLDER):
            return entry
        row = ledger.get(entry.transaction_id)
        if row is None or next(_row_breaks(row, entry, record), None):
            doubtful[entry.key] = entry, record
        return entry

    for key, body in books.records():
        add(key, body)
    for key, body in _written_meanwhile(books, entries):
        add(key, body)
    breaks += _chain_breaks(entries, books)
    for row in ledger.values():
        breaks += _ledger_breaks(row, entries, books)
    current = books.rows(list({entry.transaction_id: entry for entry, _ in doubtful.values()}))
    for entry, record in doubtful.values():
        now = current.get(entry.transaction_id)
        if now is not None:
            breaks += _row_breaks(now, entry, record)
        else:
            breaks.append(_broken(entry, "has no transaction in the ledger"))
    found, coming = _imported(ledger, measures, books)
    return Verification(
        entries=tuple(entries.values()),
        pending=(*(row for row in ledger.values() if row.under_way_since), *coming),
        breaks=first_of_each([*breaks, *found]),
        imported=len(measures),
    )


def first_of_each(breaks: Iterable[Break]) -> tuple[Break, ...]:
    """The first of ``breaks`` for each record or seal, in order of time."""
    return tuple(sorted({found.key: found for found in sorted(breaks, reverse=True)}.values()))


def _read(key: str, body: bytes) -> tuple[Entry, Mapping[str, Any]]:
    document = _document(body)
    if key.startswith(imports.FOLDER):
        imports.check(key, document)
        document = {**document, "transaction_id": document["import_id"], **_OF_IMPORT}
        return _entry(key, body, document, None), document
    number = document.get("amendment")
    own = (document["transaction_id"], document["created_at"])
    if key != (key_of_id(*own) if number is None else amendments.key_of(own[0], number, own[1])):
        raise ValueError("it belongs under another key")
    if not isinstance(number, int | None) or number == 0:
        raise TypeError("the number of an amendment is none")
    return _entry(key, body, document, number), document


def _document(body: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(body)
    if canonical(document) != body:
        raise ValueError("its bytes are not in canonical form")
    if not isinstance(document, dict):
        raise TypeError("it is no object")
    return document


def _entry(key: str, body: bytes, document: Mapping[str, Any], number: int | None) -> Entry:
    chain = document["chain"]
    if not isinstance(document["minor"], int) or not isinstance(chain["sequence"], int):
        raise TypeError("an amount or a place in a chain is no whole number")
    return Entry(
        key=key,
        hash=digest(body),
        transaction_id=document["transaction_id"],
        created_at=document["created_at"],
        outcome=str(document["outcome"] if number is None else document["kind"]),
        currency=str(document["currency"]),
        minor=document["minor"],
        amendment=number,
        writer=str(chain["writer"]),
        sequence=chain["sequence"],
        previous_key=chain["previous_key"],
        previous_hash=chain["previous_hash"],
    )


def _import_records(books: Books) -> Iterator[tuple[str, bytes, Mapping[str, Any], bool]]:
    """Those that are sound. What is not is a break of the day on which it was made, and no measure."""
    for key, body, is_open in books.imports():
        try:
            document = _document(body)
            imports.check(key, document)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        yield key, body, document, is_open


def _imported(
    ledger: Mapping[str, Row], measures: Mapping[str, imports.Listed], books: Books
) -> tuple[list[Break], list[Row]]:
    """Breaks of the imported payments of the day, and those that an import under way still brings."""
    doubtful = [id for id, measure in measures.items() if id not in ledger or any(imports.faults(ledger[id], measure))]
    current = books.rows(doubtful)
    breaks: list[Break] = []
    coming: list[Row] = []
    for id in doubtful:
        row, measure = current.get(id), measures[id]
        reasons = ["is missing from the ledger"] if row is None else imports.faults(row, measure)
        for reason in reasons:
            if imports.may_come(row, measure):
                coming.append(Row({"transaction_id": id, "created_at": measure.written_at, "status": PENDING}))
                break
            breaks.append(_break_of_imported(measure.records[-1][0], id, measure.written_at, reason))
    for id, row in ledger.items():
        if imports.is_imported(row) and id not in measures:
            breaks.append(_break_of_imported(imports.FOLDER, id, row.created_at, "is in no record of an import"))
    return breaks, coming


def _break_of_imported(key: str, transaction_id: str, at: str, reason: str) -> Break:
    """Many payments have one record, so the payment is part of the place."""
    return Break(created_at=at, key=f"{key}#{transaction_id}", reason=reason, transaction_id=transaction_id)


def _written_meanwhile(books: Books, entries: Mapping[str, Entry]) -> Iterator[tuple[str, bytes]]:
    """The day's records that a listed one follows, and that were written after the listing had passed their keys."""
    waiting = list(entries.values())
    seen = set(entries)
    while waiting:
        key = waiting.pop().previous_key
        if key is None or key in seen or not key.startswith((prefix(books.day), imports.folder(books.day))):
            continue
        seen.add(key)
        body = books.record(key)
        if body is not None:
            yield key, body
            if key in entries:
                waiting.append(entries[key])


def _chain_breaks(entries: Mapping[str, Entry], books: Books) -> Iterator[Break]:
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
        before = None if previous else books.record(entry.previous_key)
        found_hash = previous.hash if previous else digest(before) if before is not None else None
        if found_hash is None:
            yield Break(created_at=entry.created_at, key=entry.previous_key, reason=f"is missing before {entry.key}")
        elif found_hash != entry.previous_hash:
            at = previous.created_at if previous else entry.created_at
            yield Break(created_at=at, key=entry.previous_key, reason=f"was changed after {entry.key} was written")
        elif previous and (previous.writer, previous.sequence + 1) != (entry.writer, entry.sequence):
            yield _broken(entry, f"is not the next in its chain after {entry.previous_key}")


def _ledger_breaks(row: Row, entries: Mapping[str, Entry], books: Books) -> Iterator[Break]:
    """Breaks of what the ledger holds and the audit log lacks."""
    key = key_of_id(row.transaction_id, row.created_at)
    if row.settled and key not in entries and not imports.is_imported(row):
        yield _missing(row, key)
    yield from _history_breaks(row, entries, books)


def _history_breaks(row: Row, entries: Mapping[str, Entry], books: Books) -> Iterator[Break]:
    """Breaks of the amendments that the ledger holds, and whose records are of other days or missing."""
    for number, amended in enumerate(row.history, start=1):
        try:
            key = amendments.key_of(row.transaction_id, number, str(amended.get("created_at")))
        except ValueError:  # somebody wrote another time into the ledger
            key = f"{row.transaction_id}.{number}"
        if key in entries:
            continue
        body = books.record(key)
        if body is None:
            yield _missing(row, key)
        elif digest(body) != amended.get("audit_hash"):
            yield Break(
                created_at=row.created_at,
                key=key,
                reason="is not the record that the ledger names",
                transaction_id=row.transaction_id,
            )


def _row_breaks(row: Row, entry: Entry, record: Mapping[str, Any]) -> Iterator[Break]:
    for each in differences(row, record) if entry.amendment is None else amendment_differences(row, record):
        yield Break(
            created_at=entry.created_at,
            key=entry.key,
            reason=str(each),
            transaction_id=entry.transaction_id,
            field=each.field,
            ledger=each.ledger,
            record=each.record,
        )
    named: tuple[Any, Any] | None = None
    if entry.amendment is None:
        named = (row.values.get("audit_key"), row.values.get("audit_hash")) if row.settled else None
    elif entry.amendment <= len(row.history):
        named = (entry.key, row.history[entry.amendment - 1].get("audit_hash"))
    if named not in (None, (entry.key, entry.hash)):
        yield _broken(entry, "is not the record that the ledger names")


def _missing(row: Row, key: str) -> Break:
    return Break(
        created_at=row.created_at,
        key=key,
        reason="is missing for a settled transaction",
        transaction_id=row.transaction_id,
    )


def _broken(entry: Entry, reason: str) -> Break:
    return Break(created_at=entry.created_at, key=entry.key, reason=reason, transaction_id=entry.transaction_id)
