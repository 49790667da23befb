"""Finishes the payments that a crash left pending, when no client repeats the request.

A pending transaction is decided, and counts in the limits. Its idempotency key must answer with that decision whenever
the client asks again, so it is finished as it was decided: the two steps of ``processing`` that are left. None is given
up, because nothing tells a payment that nobody will ask for. Who does not want it voids it.

Both steps are conditional. So several sweepers, the client's retry and the first attempt itself may run at once, and
each may be killed between any two writes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from lambdas.payments import transactions
from lambdas.payments.audit import AuditLog, Chain
from lambdas.payments.errors import Unavailable
from lambdas.payments.examination import utc_now
from lambdas.payments.processing import settle
from lambdas.payments.transactions import PENDING, Settling, Transaction

UNDER_WAY: Final = timedelta(minutes=5)
"""A younger transaction may still be under way. Functions end after 15 seconds."""
STALE: Final = timedelta(minutes=15)
"""An older one the sweeper should have finished. An alarm rings, and the books are not in order."""


class PendingLedger(Settling, Protocol):
    """The ledger as the sweeper needs it. Every method raises ``Unavailable``."""

    def pending(self, before: str) -> Sequence[tuple[str, str]]:
        """Id and ``created_at`` of pending transactions from before ``before``, oldest first: some hundreds at most.
        They may be settled meanwhile."""

    def current(self, transaction_id: str) -> Transaction | None:
        """The transaction as it is now. Raises ``ValueError`` for an item that is no transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep did."""

    finished: tuple[str, ...]
    """The ids of the transactions that it finished."""
    left: int
    """How many are pending still."""
    oldest_seconds: float
    """The age of the oldest of them; 0 when none is left."""


class Sweeper:
    """Sweeps. ``report`` takes the id of a transaction that could not be finished, and why."""

    def __init__(
        self,
        ledger: PendingLedger,
        audit_log: AuditLog,
        report: Callable[[str, str], None],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._ledger = ledger
        self._audit_log = audit_log
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
        for transaction_id, created_at in found:
            stopped = stopped or not may_go_on()
            if stopped:
                left.append(created_at)
                continue
            try:
                if self._finish(transaction_id):
                    finished.append(transaction_id)
            except Unavailable as error:  # the others would wait for the same store
                self._report(transaction_id, str(error))
                left.append(created_at)
                stopped = True
            except ValueError as error:
                self._report(transaction_id, f"no transaction: {error}")
                left.append(created_at)
        return Swept(finished=tuple(finished), left=len(left), oldest_seconds=self._age(min(left, default=None)))

    def _finish(self, transaction_id: str) -> bool:
        """Whether it was pending. The index that found it may be behind."""
        transaction = self._ledger.current(transaction_id)
        if transaction is None or transaction.status != PENDING:
            return False
        settle(transaction, self._chain, self._audit_log, self._ledger)
        return True

    def _age(self, created_at: str | None) -> float:
        if created_at is None:
            return 0.0
        try:
            begun = datetime.fromisoformat(created_at)
            return (self._clock() - begun).total_seconds()
        except (ValueError, TypeError):
            return UNDER_WAY.total_seconds()
