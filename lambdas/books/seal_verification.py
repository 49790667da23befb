"""Verifies the seals of a day: each by itself, in their chain, and against the records that they hold."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from lambdas.books.seals import (
    Check,
    NoSeal,
    Seal,
    SealedDay,
    SealStore,
    SignedSeal,
    Total,
    day_of_key,
    reference,
    totals,
)
from lambdas.books.verification import Break, Entry
from lambdas.payments.transactions import timestamp

SETTLING = timedelta(minutes=5)
"""A transaction that is older than this when a seal is made is recorded, or named pending: no request lasts longer, and
no index lags so long."""
OVERDUE = timedelta(hours=3)
"""A day that is not finally sealed has a seal younger than this: the job runs every hour."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A seal that can be trusted, and where it lies."""

    key: str
    body: bytes
    seal: Seal


@dataclass(frozen=True, slots=True, kw_only=True)
class SealsOfDay:
    """The seals of a day."""

    day: str
    holding: tuple[Stored, ...]
    """Those that hold the day, in order."""
    breaks: tuple[Break, ...]
    """Faults of the seals themselves, and of their chain."""
    first_day: str | None
    """The day of the first seal of all. Earlier days have none."""
    overdue: bool
    """Whether seals should hold the day, and none does, or none that is new enough."""

    @property
    def newest(self) -> Stored | None:
        return self.holding[-1] if self.holding else None

    def breaks_of(self, entries: Sequence[Entry]) -> tuple[Break, ...]:
        """What the seals and the day's records, complete for each chain, do not agree on."""
        return tuple(
            found for stored in self.holding for found in _content_breaks(stored, stored.seal.days[self.day], entries)
        )


def read_seals(store: SealStore, check: Check, environment: str, day: str, now: datetime) -> SealsOfDay:
    """Read and check the seals of ``day``. ``now``: UTC. Read the records after them: these hold what seals hold."""
    first = store.first()
    first_day = day_of_key(first) if first else None
    breaks: list[Break] = []
    found = _read(store, day, now, lambda key, body: trusted(key, body, check, environment), breaks)
    for stored in found:
        breaks += _own_breaks(stored, now)
        if fault := _link_fault(store, stored, {each.key: each for each in found}):
            breaks.append(fault)
    holding = tuple(stored for stored in found if day in stored.seal.days)
    overdue = _overdue(holding, day, first_day, now)
    return SealsOfDay(day=day, holding=holding, breaks=tuple(breaks), first_day=first_day, overdue=overdue)


def _overdue(holding: Sequence[Stored], day: str, first_day: str | None, now: datetime) -> bool:
    if not holding:
        return first_day is None or day >= first_day
    newest = holding[-1].seal
    return not newest.days[day].final and newest.at < timestamp(now - OVERDUE)


def trusted(key: str, body: bytes, check: Check, environment: str) -> Stored:
    """The seal ``body``, found under ``key``. Raises ``NoSeal`` unless it is one of ``environment``, in its place."""
    signed = SignedSeal.of(body)
    if not check(signed.seal.message(), signed.signature):
        raise NoSeal("it was changed, or signed with another key")
    if signed.seal.environment != environment:
        raise NoSeal(f"it is a seal of {signed.seal.environment}")
    if signed.seal.key != key:
        raise NoSeal(f"it belongs under {signed.seal.key}")
    return Stored(key, body, signed.seal)


def _read(
    store: SealStore, day: str, now: datetime, trust: Callable[[str, bytes], Stored], breaks: list[Break]
) -> list[Stored]:
    """The seals made from ``day`` on, until one holds the day finally. What is no seal is added to ``breaks``."""
    found: list[Stored] = []
    made = date.fromisoformat(day)
    while made <= now.date():
        for key in store.keys(made.isoformat()):
            body = store.read(key)
            if body is None:
                continue  # deleted after the listing: the seal after it names it
            try:
                found.append(trust(key, body))
            except NoSeal as error:
                breaks.append(Break(created_at=made.isoformat(), key=key, reason=f"is no seal: {error}"))
        held = [each.seal.days[day].final for each in found if day in each.seal.days]
        if any(held) or (found and made.isoformat() > day and not held):
            break
        made += timedelta(days=1)
    return found


def _own_breaks(stored: Stored, now: datetime) -> Iterator[Break]:
    seal = stored.seal
    if seal.at > timestamp(now + SETTLING):
        yield _of(stored, f"is of the future: {seal.at}")
    if unborn := [each for each in seal.days if each > seal.at[:10]]:
        yield _of(stored, f"holds {unborn[0]}, which had not begun at {seal.at}")


def _link_fault(store: SealStore, stored: Stored, known: Mapping[str, Stored]) -> Break | None:
    """The fault of the seal before ``stored``, or of its link to it."""
    seal, previous = stored.seal, stored.seal.previous
    if previous is None:
        return _of(stored, "names no seal before it, and is not the first") if seal.number else None
    body = known[previous.key].body if previous.key in known else store.read(previous.key)
    if body is None:
        return Break(created_at=seal.at, key=previous.key, reason=f"is missing before the seal {stored.key}")
    if reference(previous.key, body) != previous:
        return Break(created_at=seal.at, key=previous.key, reason=f"was changed after the seal {stored.key} was made")
    before = SignedSeal.of(body).seal
    if (before.number + 1, before.at <= seal.at) != (seal.number, True):
        return _of(stored, f"is not the next one after {previous.key}")
    return None


def _content_breaks(stored: Stored, held: SealedDay, entries: Sequence[Entry]) -> Iterator[Break]:
    """Breaks of the records that a seal holds. What it says of books that did not agree is no measure."""
    if held.fault:
        return
    seal = f"the seal {stored.key}"
    places = {(entry.writer, entry.sequence): entry for entry in entries}
    sound = True
    for writer, head in held.heads.items():
        entry = places.get((writer, head.sequence))
        if entry is None or entry.key != head.key:
            sound = False
            yield Break(created_at=stored.seal.at, key=head.key, reason=f"is missing: {seal} holds it")
        elif entry.hash != head.hash:
            sound = False
            yield Break(created_at=entry.created_at, key=head.key, reason=f"was changed after {seal} was made")
    covered = [entry for entry in entries if held.covers(entry)]
    if sound and (len(covered), totals(covered)) != (held.records, held.totals):
        yield _of(stored, f"holds {_sums(held.totals)}, and the records are {_sums(totals(covered))}")
    recorded_by = timestamp(datetime.fromisoformat(stored.seal.at) - SETTLING)
    for entry in entries:
        if entry.amendment is not None:
            continue  # one that a crash interrupted is recorded with the next request, under its own day
        late = entry.created_at < recorded_by and not held.covers(entry)
        if late and entry.transaction_id not in held.pending:
            reason = f"was added after {seal} was made, which should hold it"
            yield Break(created_at=entry.created_at, key=entry.key, reason=reason, transaction_id=entry.transaction_id)


def _sums(by_currency: Mapping[str, Mapping[str, Total]]) -> str:
    parts = [
        f"{total.records} {outcome} of {total.minor} {currency}"
        for currency, outcomes in by_currency.items()
        for outcome, total in outcomes.items()
    ]
    return ", ".join(parts) or "none"


def _of(stored: Stored, reason: str) -> Break:
    return Break(created_at=stored.seal.at, key=stored.key, reason=reason)
