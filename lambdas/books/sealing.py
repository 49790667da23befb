"""Makes the next seal: verifies the days that are not finally sealed, and signs what they hold."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from lambdas.books.seal_verification import Stored, read_seals, trusted
from lambdas.books.seals import (
    Check,
    NoSeal,
    Seal,
    SealedDay,
    SealStore,
    SignedSeal,
    Signer,
    day_of_key,
    reference,
    sealed_day,
)
from lambdas.books.verification import Books, Break, first_of_each, verify
from lambdas.payments.transactions import timestamp

GRACE = timedelta(minutes=30)
"""A day is finally sealed this long after its end at the earliest: its last payments are settled then."""
PATIENCE = timedelta(days=3)
"""A day with a fault, or with a transaction that stays pending, is sealed again and again for so long. Then finally."""
_MOST_DAYS = 7
"""The most days of one seal. After a longer pause the next ones hold the rest."""


class Untrusted(Exception):
    """The last seal can't be trusted, so none may follow it. The message names it and the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealer:
    """The sealing job of one environment."""

    environment: str
    books_of: Callable[[str], Books]
    """The books of a day."""
    store: SealStore
    signer: Signer
    check: Check
    clock: Callable[[], datetime]
    """UTC."""

    def seal(self) -> tuple[Seal | None, tuple[Break, ...]]:
        """Verify, sign and store. Returns the seal and the faults of the books, which it names; no seal when another
        job was faster. Raises ``Untrusted``, ``NotRead`` and the errors of the key."""
        now = self.clock()
        last = self._last(now)
        days: dict[str, SealedDay] = {}
        faults: list[Break] = []
        for day in _days(last, now.date()):
            seals = read_seals(self.store, self.check, self.environment, day, now)
            verified = verify(self.books_of(day))
            found = first_of_each([*verified.breaks, *seals.breaks, *seals.breaks_of(verified.entries)])
            faults += found
            fault = f"{found[0].key}: {found[0].reason}" if found else None
            since_end = now - datetime.combine(date.fromisoformat(day), time(tzinfo=UTC)) - timedelta(days=1)
            complete = not found and not verified.pending
            days[day] = sealed_day(verified, final=since_end >= (GRACE if complete else PATIENCE), fault=fault)
        seal = Seal(
            environment=self.environment,
            number=last.seal.number + 1 if last else 0,
            at=timestamp(now),
            days=days,
            previous=reference(last.key, last.body) if last else None,
            signing_key=self.signer.key,
        )
        return (seal if self._write(seal) else None), first_of_each(faults)

    def _write(self, seal: Seal) -> bool:
        last = self._last(self.clock())  # midnight may have passed
        if (reference(last.key, last.body) if last else None) != seal.previous:
            return False
        signed = SignedSeal(seal=seal, signature=self.signer.sign(seal.message()))
        return self.store.write(seal.key, signed.to_bytes())

    def _last(self, now: datetime) -> Stored | None:
        first = self.store.first()
        made = now.date()
        while first and made.isoformat() >= day_of_key(first):
            for key in reversed(self.store.keys(made.isoformat())):
                if body := self.store.read(key):
                    try:
                        return trusted(key, body, self.check, self.environment)
                    except NoSeal as error:
                        raise Untrusted(f"{key} is no seal: {error}") from error
            made -= timedelta(days=1)
        return None


def _days(last: Stored | None, today: date) -> list[str]:
    """The days that have begun and are not finally sealed, the oldest first."""
    if last is None:
        return [today.isoformat()]
    carried = [day for day, held in last.seal.days.items() if not held.final]
    begun = date.fromisoformat(max(last.seal.days))
    new = [(begun + timedelta(days=n)).isoformat() for n in range(1, (today - begun).days + 1)]
    return sorted([*carried, *new])[:_MOST_DAYS]
