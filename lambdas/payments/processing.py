"""Making a payment: decide once, then write so that a crash between any two steps loses and doubles nothing.

The order of the writes is the guarantee:

1. ``Ledger.open``: the decision, as a pending transaction under an id that follows from principal and idempotency
   key. Written only if new; a retry gets back what the first attempt decided, and continues with that.
2. ``Chain.append``: the audit record under a key that follows from the transaction, written only if new.
3. ``Ledger.settle``: pending becomes the outcome, only now that the audit record exists.

Only after the third step is anybody answered. A crash leaves at most a pending transaction, never answered for, which
the client's retry completes.
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
class Evidence:
    """Customer and fraud assessment of a payment, and what the card is known by."""

    customer: Customer | None
    card: Card
    assessment: Assessment


class Examiner:
    """Gathers what is known about a payment and applies the fraud rules.

    The card's history is read beside the customer and the customer's history: two lanes, about equally long, for a
    third one would cost more in handing over than it saves.
    """

    def __init__(
        self, customers: Customers, ledger: Ledger, rules: Callable[[], Rules], card_key: Callable[[], bytes]
    ) -> None:
        self._customers = customers
        self._ledger = ledger
        self._rules = rules
        self._card_key = card_key
        self._beside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="card-history")

    def examine(self, payment: Payment, now: datetime) -> Evidence:
        """Look up customer and histories. Raises ``Unavailable``."""
        card = Card.of(payment.card_number, self._card_key())
        since = now - HISTORY
        by_card = self._beside.submit(self._ledger.by_card, card.fingerprint, since)
        customer = self._customers.find(payment.customer_id)
        by_customer = self._ledger.by_customer(payment.customer_id, since)
        attempt = Attempt(
            customer_id=payment.customer_id, card_fingerprint=card.fingerprint, money=payment.money,
            country=payment.country,
        )  # fmt: skip
        assessment = assess(attempt, customer, by_customer, by_card.result(), self._rules(), now)
        return Evidence(customer=customer, card=card, assessment=assessment)

    def payment_fingerprint(self, payment: Payment) -> str:
        return payment.fingerprint(self._card_key())


class Processor:
    """Makes payments."""

    def __init__(
        self, examiner: Examiner, ledger: Ledger, audit_log: AuditLog, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._examiner = examiner
        self._ledger = ledger
        self._audit_log = audit_log
        self._chain = Chain()
        self._clock = clock

    def process(self, payment: Payment, caller: str, idempotency_key: str, request_id: str) -> Transaction:
        """Decide ``payment`` and record the decision, or complete what an earlier attempt left; return the transaction.

        Raises ``KeyReused`` when the caller's principal and key already stand for another payment, ``Unavailable`` when
        a store can't serve: the same call may then be repeated.
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
        evidence = self._examiner.examine(payment, now)
        refused = refusals(payment, evidence.customer, now)
        assessment = evidence.assessment
        return Transaction(
            transaction_id=transactions.transaction_id(principal(caller), idempotency_key),
            status=transactions.PENDING,
            outcome="declined" if refused else _OUTCOMES[assessment.decision],
            created_at=transactions.timestamp(now),
            customer_id=payment.customer_id,
            caller=caller,
            minor=payment.money.minor,
            currency=payment.money.currency.code,
            card=evidence.card,
            reasons=(*refused, *assessment.reasons),
            score=assessment.score,
            request_id=request_id,
            payment_fingerprint=self._examiner.payment_fingerprint(payment),
            merchant_reference=payment.merchant_reference,
            client_ip=payment.client_ip,
            country=payment.country,
        )
