"""Amends a transaction, and writes the amendment so that a crash between two steps neither loses nor doubles it.

The order of the writes is the guarantee, as for payments (``processing``):

1. ``Entries.begin`` writes the amendment beside the transaction, if nothing was done to that since it was read. From
   now on it is decided: another request can't give the same money back. The stored status is ``amending`` meanwhile.
2. ``Chain.add`` writes the audit record, if it is new. Its key follows from the transaction and the amendment's number.
3. Limits do not count the payment any more, if it was declined or voided.
4. ``Entries.complete`` moves the amendment into the transaction's history, and changes the status.

The client gets its answer after that. A crash leaves at most an amendment that is being recorded. The next request to
amend the transaction, whoever sends it, completes it first, or else the sweeper does (``sweeping``).
"""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from lambdas.payments import amendments
from lambdas.payments.amendments import Amendment, Entry, Status, Wish, amendment
from lambdas.payments.audit import AuditLog, Chain
from lambdas.payments.errors import Refused
from lambdas.payments.examination import activity_of, utc_now
from lambdas.payments.processing import release, undisputed
from lambdas.payments.transactions import ID_FORM, PENDING, Releasing
from lambdas.payments.velocity import Velocity


class Completing(Releasing, Protocol):
    """The part of the ledger that ends an amendment. Every method raises ``Unavailable``."""

    def complete(self, before: Entry, after: Entry) -> None:
        """Write ``after``, in which the amendment that ``before`` records is part of the history. Nothing changes when
        another attempt has done so."""


class Entries(Completing, Protocol):
    """The ledger's transactions with their history. Every method raises ``Unavailable``."""

    def get(self, transaction_id: str) -> Entry | None:
        """The transaction as it is now."""

    def begin(self, entry: Entry, amendment: Amendment) -> None:
        """Write that ``amendment`` is being recorded. Raises ``Contended`` when the transaction is not ``entry`` any
        more."""


Allowed = Callable[[Entry], bool]
"""Whether the caller may see a transaction. To whom it is not allowed, it does not exist."""


class Amender:
    """Amends transactions. ``four_eyes``: an approval needs two reviewers. ``source_amends``: payments that another
    system took are decided and given back there, and not here."""

    def __init__(
        self,
        entries: Entries,
        audit_log: AuditLog,
        velocity: Velocity,
        *,
        four_eyes: bool,
        source_amends: bool = False,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._entries = entries
        self._audit_log = audit_log
        self._velocity = velocity
        self._four_eyes = four_eyes
        self._source_amends = source_amends
        self._clock = clock
        self._chain = Chain()

    def find(self, transaction_id: str, allowed: Allowed) -> Entry:
        """The transaction as it is now. Raises ``Refused`` (``transaction_unknown``) and ``Unavailable``."""
        entry = self._entries.get(transaction_id) if ID_FORM.fullmatch(transaction_id) else None
        if entry is None or not allowed(entry):
            raise Refused("transaction_unknown")
        return entry

    def amend(self, transaction_id: str, wish: Wish, allowed: Allowed) -> tuple[Entry, Amendment]:
        """Do what ``wish`` asks for, or complete an earlier attempt. Returns the transaction and the amendment.

        Raises what ``amendments.amendment`` and ``find`` raise. After ``Unavailable`` the same call may be repeated.
        """

        def amend_once() -> tuple[Entry, Amendment]:
            entry = self._completed(self.find(transaction_id, allowed))
            if entry.transaction.status == PENDING:
                raise Refused("transaction_pending")
            made = amendment(entry, wish, self._clock(), four_eyes=self._four_eyes, source_amends=self._source_amends)
            if made not in entry.history:
                self._entries.begin(entry, made)
                entry = self._completed(entry.begun(made))
            return entry, entry.history[made.number - 1]

        return undisputed(amend_once)

    def _completed(self, entry: Entry) -> Entry:
        return completed(entry, self._chain, self._audit_log, self._velocity, self._entries)


def completed(entry: Entry, chain: Chain, audit_log: AuditLog, velocity: Velocity, entries: Completing) -> Entry:
    """``entry`` with the amendment in its history that is being recorded, if one is: the writes that it lacks.

    They may be repeated. Raises ``Unavailable``.
    """
    if (made := entry.amending) is None:
        return entry
    transaction = entry.transaction
    audited = chain.add(lambda link: amendments.record(transaction, made, link), audit_log)
    if made.status in (Status.DECLINED, Status.VOIDED):
        release(transaction, lambda: activity_of(velocity, transaction), entries)
    after = entry.completed(audited.hash)
    entries.complete(entry, after)
    return after
