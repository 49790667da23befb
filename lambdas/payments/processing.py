"""Processes a payment: decides it once, and writes it so that a crash between two steps neither loses nor doubles it.

The order of the writes is the guarantee:

1. ``Ledger.open`` writes the decision as a pending transaction. Its id is derived from principal and idempotency key.
   A retry finds the transaction of the first attempt, and continues with it.
2. ``Chain.append`` writes the audit record, if it is new. Its key is derived from the transaction.
3. ``Ledger.settle`` changes the status from pending to the outcome, because the audit record now exists.

The client gets its answer after the third step. A crash leaves at most a pending transaction without an answer. The
client's retry completes it.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from lambdas.payments import transactions
from lambdas.payments.audit import AuditLog, Chain
from lambdas.payments.callers import principal
from lambdas.payments.cards import Card
from lambdas.payments.customers import Customer, Customers, refusals
from lambdas.payments.errors import KeyReused
from lambdas.payments.fraud import HISTORY, Assessment, Attempt, Rules, assess
from lambdas.payments.payment import Payment
from lambdas.payments.transactions import Ledger, Transaction

_OUTCOMES = {"approve": "approved", "review": "review", "decline": "declined"}


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """The result of an examination: customer, card and fraud assessment of a payment."""

    customer: Customer | None
    card: Card
    assessment: Assessment


class Examiner:
    """Reads the customer and the histories of a payment, and applies the fraud rules.

    A second thread reads the card's history, while this one reads the customer and the customer's history. Both take
    about the same time. A third thread would cost more than it saves.
    """

    def __init__(
        self, customers: Customers, ledger: Ledger, rules: Callable[[], Rules], card_key: Callable[[], bytes]
    ) -> None:
        self._customers = customers
        self._ledger = ledger
        self._rules = rules
        self._card_key = card_key
        self._history_reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="card-history")

    def examine(self, payment: Payment, now: datetime) -> Examination:
        """Look up customer and histories. Raises ``Unavailable``."""
        card = Card.of(payment.card_number, self._card_key())
        since = now - HISTORY
        by_card = self._history_reader.submit(self._ledger.by_card, card.fingerprint, since)
        customer = self._customers.find(payment.customer_id)
        by_customer = self._ledger.by_customer(payment.customer_id, since)
        attempt = Attempt(
            customer_id=payment.customer_id, card_fingerprint=card.fingerprint, money=payment.money,
            country=payment.country,
        )  # fmt: skip
        assessment = assess(attempt, customer, by_customer, by_card.result(), self._rules(), now)
        return Examination(customer=customer, card=card, assessment=assessment)

    def payment_fingerprint(self, payment: Payment) -> str:
        return payment.fingerprint(self._card_key())


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

    def process(self, payment: Payment, caller: str, idempotency_key: str, request_id: str) -> Transaction:
        """Decide ``payment`` and record the decision, or complete an earlier attempt. Returns the transaction.

        Raises ``KeyReused`` when the caller's principal has used the key for another payment. Raises ``Unavailable``
        when a store is unavailable; the same call may then be repeated.
        """
        decided = self._decide(payment, caller, idempotency_key, request_id)
        stored = self._ledger.open(decided)
        if stored.payment_fingerprint != decided.payment_fingerprint:
            raise KeyReused
        if stored.status == transactions.PENDING:
            audited = self._chain.append(stored, self._audit_log)
            self._ledger.settle(stored, audited.key, audited.hash)
        return stored

    def _decide(self, payment: Payment, caller: str, idempotency_key: str, request_id: str) -> Transaction:
        now = self._clock()
        examination = self._examiner.examine(payment, now)
        refused = refusals(payment, examination.customer, now)
        assessment = examination.assessment
        return Transaction(
            transaction_id=transactions.transaction_id(principal(caller), idempotency_key),
            status=transactions.PENDING,
            outcome="declined" if refused else _OUTCOMES[assessment.decision],
            created_at=transactions.timestamp(now),
            customer_id=payment.customer_id,
            caller=caller,
            minor=payment.money.minor,
            currency=payment.money.currency.code,
            card=examination.card,
            reasons=(*refused, *assessment.reasons),
            score=assessment.score,
            request_id=request_id,
            payment_fingerprint=self._examiner.payment_fingerprint(payment),
            merchant_reference=payment.merchant_reference,
            client_ip=payment.client_ip,
            country=payment.country,
        )
