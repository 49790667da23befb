"""Finishes the payments and amendments that a crash left pending, when no client repeats the request.

A pending transaction is decided, and counts in the limits. Its idempotency key must answer with that decision whenever
the client asks again, so it is finished as it was decided: the two steps of ``processing`` that are left. None is given
up, because nothing tells a payment that nobody will ask for. Who does not want it voids it.

An amendment that is being recorded is decided, too: nothing else can be done to its payment before. It is finished by
the steps of ``amending`` that are left.

All steps are conditional. So several sweepers, the client's retry and the first attempt itself may run at once, and
each may be killed between any two writes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from lambdas.payments import transactions
from lambdas.payments.amending import Completing, completed
from lambdas.payments.amendments import Entry
from lambdas.payments.audit import AuditLog, Chain
from lambdas.payments.errors import Unavailable
from lambdas.payments.examination import utc_now
from lambdas.payments.processing import settle
from lambdas.payments.transactions import AMENDING, PENDING, Settling
from lambdas.payments.velocity import Velocity

UNDER_WAY: Final = timedelta(minutes=5)
"""A younger payment or amendment may still be under way. Functions end after 15 seconds."""
STALE: Final = timedelta(minutes=15)
"""An older one the sweeper should have finished. An alarm rings, and the books are not in order."""


class PendingLedger(Settling, Completing, Protocol):
    """The ledger as the sweeper needs it. Every method raises ``Unavailable``."""

    def pending(self, before: str) -> Sequence[tuple[str, str]]:
        """Transactions of which a payment or an amendment is being recorded since before ``before``: id, and since
        when. Oldest first, some hundreds at most. They may be finished meanwhile."""

    def current(self, transaction_id: str) -> Entry | None:
        """The transaction as it is now. Raises ``ValueError`` for an item that is no transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep did."""

    finished: tuple[str, ...]
    """The ids of the transactions of which it finished the payment or an amendment."""
    left: int
    """Of how many something is pending still."""
    oldest_seconds: float
    """The age of the oldest of them; 0 when none is left."""


class Sweeper:
    """Sweeps. ``report`` takes the id of a transaction that could not be finished, and why."""

    def __init__(
        self,
        ledger: PendingLedger,
        audit_log: AuditLog,
        velocity: Velocity,
        report: Callable[[str, str], None],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._ledger = ledger
        self._audit_log = audit_log
        self._velocity = velocity
        self._report = report
        self._clock = clock
        self._chain = Chain()

    def sweep(self, may_go_on: Callable[[], bool]) -> Swept:
        """Finish what is pending, while ``may_go_on`` before each. Raises ``Unavailable`` when the ledger can't be
        asked. Transactions that are left are found again by the next sweep."""
        found = self._ledger.pending(transactions.timestamp(self._clock() - UNDER_WAY))
        finished: list[str] = []
        left: list[str] = []
        stopped = False
        for transaction_id, since in found:
            stopped = stopped or not may_go_on()
            if stopped:
                left.append(since)
                continue
            try:
                if self._finish(transaction_id):
                    finished.append(transaction_id)
            except Unavailable as error:  # the others would wait for the same store
                self._report(transaction_id, str(error))
                left.append(since)
                stopped = True
            except (ValueError, TypeError, KeyError) as error:  # somebody wrote another item there
                self._report(transaction_id, f"no transaction: {error!r}")
                left.append(since)
        return Swept(finished=tuple(finished), left=len(left), oldest_seconds=self._age(min(left, default=None)))

    def _finish(self, transaction_id: str) -> bool:
        """Whether something of it was pending. The index that found it may be behind."""
        entry = self._ledger.current(transaction_id)
        if entry is None:
            return False
        if entry.transaction.status == PENDING:
            settle(entry.transaction, self._chain, self._audit_log, self._ledger)
        elif entry.amending is not None:
            completed(entry, self._chain, self._audit_log, self._velocity, self._ledger)
        elif entry.transaction.status == AMENDING:
            raise ValueError("it is being amended, and has no amendment")
        else:
            return False
        return True

    def _age(self, since: str | None) -> float:
        if since is None:
            return 0.0
        try:
            begun = datetime.fromisoformat(since)
            return (self._clock() - begun).total_seconds()
        except (ValueError, TypeError):
            return UNDER_WAY.total_seconds()
