"""Processes a payment: decides it once, and writes it so that a crash between two steps neither loses nor doubles it.

The order of the writes is the guarantee:

1. ``Ledger.open`` writes the decision as a pending transaction, and with it what the payment uses up of the limits. Its
   id is derived from principal and idempotency key. A retry finds the transaction of the first attempt, and continues
   with it: it uses up nothing.
2. ``Chain.append`` writes the audit record, if it is new. Its key is derived from the transaction.
3. ``Ledger.settle`` changes the status from pending to the outcome, because the audit record now exists.

The client gets its answer after the third step. A crash leaves at most a pending transaction without an answer. The
client's retry completes it, or else the sweeper (``sweeping``).
"""

import random
import time
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from lambdas.payments import transactions
from lambdas.payments.audit import AuditLog, Chain
from lambdas.payments.callers import Caller
from lambdas.payments.errors import InFlight, KeyReused
from lambdas.payments.examination import Examiner, counted, decide, uncounted, utc_now
from lambdas.payments.merchants import day_total
from lambdas.payments.payment import Payment
from lambdas.payments.transactions import Ledger, Releasing, Settling, Transaction
from lambdas.payments.velocity import Activity, Addition, Contended

_LONGEST_PAUSE_SECONDS = 0.3

T = TypeVar("T")


def undisputed(step: Callable[[], T]) -> T:
    """The result of ``step``, repeated after a random pause while other payments get in between (``Contended``).

    Each round lets one of the contenders through. The stores' deadline ends the rounds with ``Unavailable``.
    """
    longest = 0.005
    while True:
        try:
            return step()
        except Contended:
            time.sleep(random.uniform(0, longest))  # noqa: S311  # it spreads contenders, and hides nothing
            longest = min(2 * longest, _LONGEST_PAUSE_SECONDS)


class Processor:
    """Processes payments."""

    def __init__(
        self, examiner: Examiner, ledger: Ledger, audit_log: AuditLog, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._examiner = examiner
        self._ledger = ledger
        self._audit_log = audit_log
        self._chain = Chain()
        self._clock = clock

    def process(self, payment: Payment, caller: Caller, idempotency_key: str, request_id: str) -> Transaction:
        """Decide ``payment`` and record the decision, or complete an earlier attempt. Returns the transaction.

        Raises ``CallerRefused`` for a caller that may not pay, and ``KeyReused`` when the caller's principal has used
        the key for another payment. Raises ``Unavailable`` when a store is unavailable, or when so many payments of
        the same customer or card arrive at once that this one did not get its turn; the same call may then be repeated.
        """
        facts = self._examiner.look_up(payment, caller, self._clock())
        ids = transactions.transaction_ids(caller.principal, idempotency_key, facts.keys)
        created_at = transactions.timestamp(facts.now)
        part = day_total(facts.merchant, ids.own, created_at[:10])

        def open_once() -> tuple[Transaction, Transaction]:
            activity = self._examiner.activity(facts)
            decision = decide(facts, activity)
            decided = Transaction(
                transaction_id=ids.own,
                status=transactions.PENDING,
                outcome=decision.outcome,
                created_at=created_at,
                customer_id=payment.customer_id,
                caller=caller.recorded,
                minor=payment.money.minor,
                currency=payment.money.currency.code,
                card=facts.card,
                reasons=decision.reasons,
                score=decision.score,
                request_id=request_id,
                payment_fingerprint=payment.fingerprint(facts.keys.newest.key),
                merchant_reference=payment.merchant_reference,
                client_ip=payment.client_ip,
                country=payment.country,
                merchant_id=facts.merchant.merchant_id,
                base_minor=facts.attempt.base_minor,
                synthetic=facts.synthetic,
                day_total=part if decision.outcome != "declined" else None,
                rules=facts.rules.version,
            )
            states, additions = counted(facts, activity, decision.outcome), _additions(decided, decided.base_minor or 0)
            return decided, self._ledger.open(decided, ids.other, states, additions)

        decided, stored = undisputed(open_once)
        return self._completed(stored, payment, known=stored is decided)

    def repeat(self, payment: Payment, caller: Caller, idempotency_key: str) -> Transaction:
        """The transaction of an earlier request with this key, completed. It needs no decision.

        Raises ``KeyReused`` as ``process`` does, ``InFlight`` when that request has not been decided yet, and
        ``Unavailable``.
        """
        ids = transactions.transaction_ids(caller.principal, idempotency_key, self._examiner.card_keys())
        stored = self._ledger.find(ids)
        if stored is None:
            raise InFlight
        return self._completed(stored, payment)

    def _completed(self, stored: Transaction, payment: Payment, *, known: bool = False) -> Transaction:
        """``known``: whether ``stored`` was made of ``payment`` just now."""
        if not known and not self._examiner.is_of(stored, payment):
            raise KeyReused
        if stored.status == transactions.PENDING:
            settle(stored, self._chain, self._audit_log, self._ledger)
        return stored

    def release(self, transaction: Transaction) -> None:
        """Give back what ``transaction`` uses up of the limits, once: for a payment that was declined or given up after
        it had been approved or held for review. Raises ``Unavailable``; the call may be repeated."""
        release(transaction, lambda: self._examiner.activity_of(transaction), self._ledger)


def settle(pending: Transaction, chain: Chain, audit_log: AuditLog, ledger: Settling) -> None:
    """The two writes that a pending transaction lacks. They may be repeated. Raises ``Unavailable``."""
    audited = chain.append(pending, audit_log)
    ledger.settle(pending, audited.key, audited.hash)


def release(transaction: Transaction, activity: Callable[[], Activity], ledger: Releasing) -> None:
    """Give back what ``transaction`` uses up of the limits, once.

    ``activity``: reads what its customer and card did.
    """
    if transaction.outcome == "declined":
        return

    def release_once() -> None:
        states = uncounted(transaction, activity())
        ledger.release(transaction, states, _additions(transaction, -(transaction.base_minor or 0)))

    undisputed(release_once)


def _additions(transaction: Transaction, minor: int) -> list[Addition]:
    return [Addition(transaction.day_total, minor)] if transaction.day_total else []
