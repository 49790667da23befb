"""Imported payments in the audit log: what an import wrote into the ledger, payment by payment.

A payment that another system took has no audit record of its own. An import writes one record for each part of its
file, before the part's payments: the digest of each of them, by its id. So a payment that was changed, deleted or made
up later is named. When the whole file is in the ledger, a last record says so, with counts and sums. Until then the
import is open, and a payment that only its records know may still come.

The records lie in the audit bucket under ``imports/``, by the day on which they were written. They have their places in
the chains of their writers, and seals hold them as they hold the records of that day. The names of the records of parts
say from when to when their payments are, so that the verification of a day finds them.

A file may be replaced or skipped while its import is under way. What its records name and the ledger lacks never comes
then: a record that gives it up names it, and the import ends.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple

from lambdas.books.agreement import Row, shown
from lambdas.payments import transactions
from lambdas.payments.amendments import Status
from lambdas.payments.audit import Link, Record, canonical, digest
from lambdas.payments.transactions import AMENDING, MIGRATION

FOLDER: Final = "imports/"
ID_FORM: Final = re.compile("imp_[0-9a-f]{32}")

OF_LEDGER: Final = {
    "status": "changes with amendments; verification derives it from outcome and history",
    "history": "is compared with the amendments' own records",
    "amending": "becomes part of the history when its record is written",
    "audit_key": "names the record; verification looks there",
    "audit_hash": "names the record; verification compares the hash",
    "day_shard": "follows from id and time; verification computes it",
    "released": "is always set: limits never counted the payment; verification asks for it",
    "import_id": "names the import, which another one of the same payment does not change; the record has it",
    "import_position": "says in which change, and in which line of the file, the payment stood",
}
"""The attributes of an imported payment that its digest leaves out, and why. It covers all others, known or not."""

_NAME: Final = re.compile(
    rf"{FOLDER}(?P<made>\d{{4}}-\d\d-\d\d)/"
    r"(?:(?P<first>\d{4}-\d\d-\d\d)_(?P<last>\d{4}-\d\d-\d\d)\.(?P<part>imp_[0-9a-f]{32})\.[0-9a-f]{16}"
    r"(?P<given_up>\.given-up)?|(?P<ended>imp_[0-9a-f]{32})(?:\.[0-9a-f]{16})?)\.json"
)


class Name(NamedTuple):
    """What the key of a record of an import says."""

    import_id: str
    first: str
    last: str
    """The days (UTC) between which its payments are; both empty in the last record, which has none."""
    given_up: bool = False

    @property
    def ended(self) -> bool:
        return not self.first

    def is_part_of(self, import_id: str) -> bool:
        return self.import_id == import_id and not self.ended and not self.given_up

    def may_hold(self, day: str) -> bool:
        return self.first <= day <= self.last

    @classmethod
    def of(cls, key: str) -> "Name | None":
        """``None``: this is no key of such a record."""
        found = _NAME.fullmatch(key)
        if found is None:
            return None
        given_up = found["given_up"] is not None
        return cls(found["part"] or found["ended"], found["first"] or "", found["last"] or "", given_up)


class Listed(NamedTuple):
    """What the records of imports say of one payment."""

    digest: str
    """By the newest of them."""
    written_at: str
    """When that was written."""
    records: tuple[tuple[str, str], ...]
    """Key and hash of each record with this digest. More than one, when an import was killed and went on."""
    open: bool
    """Whether the import has not ended, so that the payment may still come."""
    before: "Listed | None" = None
    """What an earlier import says, while this one is open."""


class Fault(NamedTuple):
    """What is wrong with one payment."""

    key: str
    """Of the record that is the measure, and the payment's id."""
    transaction_id: str
    created_at: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The payments of a part of an import's file, as they are written into the ledger next."""

    import_id: str
    source: str
    """The file."""
    created_at: str
    """Now, as ``transactions.timestamp`` writes it."""
    first_line: int
    """The line of the first of them in the file. It tells parts apart that bring the same."""
    rows: Sequence[Row]
    totals: Mapping[str, Mapping[str, Mapping[str, int]]] = field(init=False)
    """Number (``records``) and sum (``minor``) by currency and status."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "totals", totals(self.rows))

    def record(self, link: Link) -> Record:
        days: dict[str, dict[str, str]] = {}
        for row in self.rows:
            days.setdefault(row.created_at[:10], {})[row.transaction_id] = row_digest(row)
        named = _digest_of(days, self.first_line)
        key = f"{folder(self.created_at[:10])}{min(days)}_{max(days)}.{self.import_id}.{named}.json"
        body = {
            "import_id": self.import_id,
            "source": self.source,
            "created_at": self.created_at,
            "first_line": self.first_line,
            "payments": days,
            "totals": self.totals,
        }
        return _record(key, body | {"chain": asdict(link)})


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """Payments that records of an import name, and that it never brings."""

    import_id: str
    source: str
    created_at: str
    given_up: Mapping[str, Mapping[str, str]]
    """The digest of each by its id, by day (UTC)."""

    def record(self, link: Link) -> Record:
        named = _digest_of(self.given_up, 0)
        days = f"{min(self.given_up)}_{max(self.given_up)}"
        key = f"{folder(self.created_at[:10])}{days}.{self.import_id}.{named}.given-up.json"
        return _record(key, {**asdict(self), "first_line": 0, "chain": asdict(link)})


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The end of an import: what it could bring of its file is in the ledger. It may go on, and end once more."""

    import_id: str
    source: str
    created_at: str
    counts: Mapping[str, int]
    totals: Mapping[str, Mapping[str, Mapping[str, int]]]

    def record(self, link: Link) -> Record:
        named = digest(canonical({"counts": self.counts, "totals": self.totals}))[:16]
        key = f"{folder(self.created_at[:10])}{self.import_id}.{named}.json"
        return _record(key, {**asdict(self), "chain": asdict(link)})


def order(key: str) -> tuple[bool, str]:
    """Sorts keys of records: those that give up come first."""
    return not key.endswith(".given-up.json"), key


def folder(day: str) -> str:
    """The key prefix of the records that were written on ``day``."""
    return f"{FOLDER}{day}/"


def _digest_of(days: Mapping[str, Mapping[str, str]], first_line: int) -> str:
    return digest(canonical({"payments": days, "first_line": first_line}))[:16]


def _record(key: str, document: Mapping[str, Any]) -> Record:
    body = canonical(document)
    return Record(key=key, body=body, hash=digest(body))


def row_digest(row: Row) -> str:
    """The digest of what an imported payment is, whatever was done to it since."""
    return digest(canonical({name: value for name, value in row.values.items() if name not in OF_LEDGER}))


def totals(rows: Iterable[Row]) -> dict[str, dict[str, dict[str, int]]]:
    """Number and sum of payments by currency and outcome."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for row in rows:
        outcomes = found.setdefault(str(row.values["currency"]), {})
        total = outcomes.setdefault(str(row.values["outcome"]), {"records": 0, "minor": 0})
        total["records"] += 1
        total["minor"] += int(row.values["minor"])
    return found


def check(key: str, document: Mapping[str, Any]) -> None:
    """Raises ``ValueError`` unless ``document`` belongs under ``key``, and its name tells the truth."""
    name = Name.of(key)
    if name is None or not key.startswith(folder(document["created_at"][:10])):
        raise ValueError("it belongs under another key")
    days = document.get("given_up", document.get("payments", {}))
    expected = Name(document["import_id"], min(days, default=""), max(days, default=""), "given_up" in document)
    if name != expected or (days and f".{_digest_of(days, document['first_line'])}." not in key):
        raise ValueError("its name says something else than it")


def listed(day: str, records: Iterable[tuple[str, bytes, Mapping[str, Any], bool]]) -> dict[str, Listed]:
    """The payments of ``day`` by id. ``records``: key, body and content of records, and whether their import is
    open. Those that give up come first."""
    found: dict[str, Listed] = {}
    given_up: dict[tuple[str, str, str], str] = {}
    for key, body, document, is_open in records:
        own, at, import_id = (key, digest(body)), document["created_at"], document["import_id"]
        for transaction_id, named in document.get("given_up", {}).get(day, {}).items():
            given_up[import_id, transaction_id, named] = at
        for transaction_id, named in document.get("payments", {}).get(day, {}).items():
            if at <= given_up.get((import_id, transaction_id, named), ""):
                continue
            this = Listed(named, at, (own,), is_open)
            known = found.get(transaction_id)
            found[transaction_id] = _merged(known, this) if known else this
    return found


def _merged(one: Listed, other: Listed) -> Listed:
    older, newer = sorted((one, other), key=lambda each: each.written_at)
    if older.digest == newer.digest:
        return newer._replace(records=(*older.records, *newer.records), before=newer.before or older.before)
    return newer._replace(before=max(filter(None, (older, newer.before)), key=lambda each: each.written_at))


def is_imported(row: Row) -> bool:
    """Whether ``row`` says that it was imported."""
    return "origin" in row.values or "import_id" in row.values


def may_come(row: Row | None, measure: Listed) -> bool:
    """Whether the import is under way that brings the payment as ``measure`` describes it. ``row``: what the ledger
    has."""
    if not measure.open:
        return False
    return row is None if measure.before is None else row is not None and not any(faults(row, measure.before))


def faults(row: Row, measure: Listed) -> Iterator[str]:
    """What is wrong with a payment in the ledger, which ``measure`` describes."""
    values = row.values
    if values.get("origin") != MIGRATION or row_digest(row) != measure.digest:
        yield "is not as it was imported"
    if (values.get("audit_key"), values.get("audit_hash")) not in measure.records:
        yield "is not from the record that the ledger names"
    elif values.get("import_id") != getattr(Name.of(str(values["audit_key"])), "import_id", None):
        yield "is not from the import that the ledger names"
    if values.get("released") is not True:
        yield "would give limits back what they never counted"
    status, expected = values.get("status"), row.history[-1].get("status") if row.history else values.get("outcome")
    if not (status == AMENDING and row.amending) and (status != expected or status not in tuple(Status)):
        yield f"has the status {shown(status)} in the ledger, and {shown(expected)} in its record"
    shard = transactions.day_shard(row.transaction_id, row.created_at)
    if values.get("day_shard") != shard:
        yield f"day_shard is {shown(values.get('day_shard'))}, and must be {shown(shard)}"
