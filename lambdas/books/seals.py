"""Seals: signed statements of what the books held at a time. Each names the one before it by its digest.

A seal holds, for each day that it covers, the head of every chain, and number and sum of the records by currency and
outcome. A head names one record by its hash, and through it every earlier record of its chain. So it is known for each
record whether a seal holds it, also when later records are written into the same day.
"""

import base64
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from lambdas.books.verification import Entry, Verification
from lambdas.payments.audit import canonical, digest

FOLDER = "seals/"
FORMAT = 1


class NoSeal(ValueError):
    """These bytes are no seal. The message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The last record of a chain."""

    sequence: int
    key: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    records: int
    minor: int
    """Their sum, in minor units of the currency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedDay:
    """What the books of a day held."""

    final: bool
    """Whether the day was over and complete. A later record is a fault."""
    records: int
    totals: Mapping[str, Mapping[str, Total]]
    """By currency and outcome."""
    heads: Mapping[str, Head]
    """By chain."""
    pending: tuple[str, ...]
    """The transactions that may still get a record."""
    fault: str | None
    """The first fault that the job found before it signed."""

    def covers(self, entry: Entry) -> bool:
        head = self.heads.get(entry.writer)
        return head is not None and entry.sequence <= head.sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A stored seal: where it lies, and the SHA-256 of its bytes."""

    key: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    environment: str
    number: int
    """0 for the first, then one more for each."""
    at: str
    """When its reading began: UTC, as ``transactions.timestamp`` writes it."""
    days: Mapping[str, SealedDay]
    """Those that are not finally sealed by an earlier one."""
    previous: Reference | None
    signing_key: str
    """The ARN of the key."""

    @property
    def key(self) -> str:
        """Where it is stored: by the day and the number, so that two jobs at once can't both write the next one."""
        return f"{folder(self.at[:10])}{self.number:08}.json"

    def message(self) -> bytes:
        """What is signed."""
        return canonical({"format": FORMAT, **asdict(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedSeal:
    """A seal as it is stored."""

    seal: Seal
    signature: bytes

    def to_bytes(self) -> bytes:
        signature = base64.b64encode(self.signature).decode()
        return canonical({"seal": json.loads(self.seal.message()), "signature": signature})

    @classmethod
    def of(cls, body: bytes) -> "SignedSeal":
        """Raises ``NoSeal``."""
        try:
            document = json.loads(body)
            signature = base64.b64decode(document["signature"], validate=True)
            signed = cls(seal=_seal(dict(document["seal"])), signature=signature)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise NoSeal(f"{type(error).__name__}: {error}") from error
        if signed.to_bytes() != body:
            raise NoSeal("its bytes are not in canonical form")
        return signed


class Signer(Protocol):
    """The signing key."""

    key: str
    """Its ARN."""

    def sign(self, message: bytes) -> bytes: ...


class Check(Protocol):
    def __call__(self, message: bytes, signature: bytes) -> bool:
        """Whether the seals' key made ``signature`` of ``message``."""


class SealStore(Protocol):
    """The stored seals. Its methods raise ``NotRead``."""

    def first(self) -> str | None:
        """The key of the oldest."""

    def keys(self, day: str) -> Sequence[str]:
        """The keys of those made on ``day``, in order."""

    def read(self, key: str) -> bytes | None: ...

    def write(self, key: str, body: bytes) -> bool:
        """Write a seal if ``key`` is free; else return ``False``."""


def folder(day: str) -> str:
    """The key prefix of the seals that were made on ``day``."""
    year, month, date = day.split("-")
    return f"{FOLDER}year={year}/month={month}/day={date}/"


def day_of_key(key: str) -> str:
    """The day under which a seal is stored. Raises ``NoSeal`` for another key."""
    try:
        year, month, day = (part.partition("=")[2] for part in key.removeprefix(FOLDER).split("/")[:3])
    except ValueError:
        raise NoSeal(f"{key} is no place of a seal") from None
    return f"{year}-{month}-{day}"


def reference(key: str, body: bytes) -> Reference:
    return Reference(key=key, digest=digest(body))


def sealed_day(verified: Verification, *, final: bool, fault: str | None) -> SealedDay:
    """What a seal says of a verified day."""
    heads: dict[str, Entry] = {}
    for entry in verified.entries:
        known = heads.get(entry.writer)
        if known is None or entry.sequence > known.sequence:
            heads[entry.writer] = entry
    return SealedDay(
        final=final,
        records=len(verified.entries),
        totals=totals(verified.entries),
        heads={
            writer: Head(sequence=head.sequence, key=head.key, hash=head.hash) for writer, head in sorted(heads.items())
        },
        pending=tuple(sorted(row.transaction_id for row in verified.pending)),
        fault=fault,
    )


def totals(entries: Iterable[Entry]) -> dict[str, dict[str, Total]]:
    amounts: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for entry in entries:
        amounts[entry.currency, entry.outcome].append(entry.minor)
    found: dict[str, dict[str, Total]] = {}
    for (currency, outcome), minors in sorted(amounts.items()):
        found.setdefault(currency, {})[outcome] = Total(records=len(minors), minor=sum(minors))
    return found


def _seal(document: dict[str, Any]) -> Seal:
    if document.pop("format") != FORMAT:
        raise NoSeal(f"it is not of format {FORMAT}")
    days = {day: _sealed_day(dict(held)) for day, held in document.pop("days").items()}
    previous = document.pop("previous")
    return Seal(days=days, previous=Reference(**previous) if previous else None, **document)


def _sealed_day(document: dict[str, Any]) -> SealedDay:
    heads = {writer: Head(**head) for writer, head in document.pop("heads").items()}
    by_currency = document.pop("totals")
    found = {
        currency: {outcome: Total(**total) for outcome, total in outcomes.items()}
        for currency, outcomes in by_currency.items()
    }
    return SealedDay(heads=heads, totals=found, pending=tuple(document.pop("pending")), **document)
