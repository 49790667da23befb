"""Examines a payment: looks up who pays and what they did lately, and decides by limits and fraud rules."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from lambdas.payments.callers import Caller
from lambdas.payments.card_testing import watches
from lambdas.payments.cards import Card
from lambdas.payments.customers import Customer, refusals
from lambdas.payments.fraud import Assessment, Attempt, Rules, assess, is_near_limit
from lambdas.payments.limits import over_limits
from lambdas.payments.merchants import Directory, Merchant, day_totals, merchant_refusals, parties
from lambdas.payments.payment import Payment
from lambdas.payments.transactions import Transaction
from lambdas.payments.velocity import Activity, State, Velocity

_OUTCOMES = {"approve": "approved", "review": "review", "decline": "declined"}


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What no other payment changes while this one is decided."""

    payment: Payment
    attempt: Attempt
    merchant: Merchant
    customer: Customer | None
    card: Card
    rules: Rules
    watched: frozenset[str]
    """The rules against card testing that fired."""
    paid_today: int
    """What the merchant's payments amount to, in the base currency; 0 for a merchant without a limit of the day."""
    now: datetime

    @property
    def refused(self) -> tuple[str, ...]:
        """Reason codes that forbid the payment whatever was paid before."""
        return (
            *refusals(self.payment, self.customer, self.now),
            *merchant_refusals(self.payment, self.attempt.base_minor, self.merchant, self.paid_today),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The decision on a payment, and why."""

    outcome: str
    """``approved``, ``review`` or ``declined``."""
    reasons: tuple[str, ...]
    score: int


class Examiner:
    """Reads what a payment is decided by.

    A second thread counts the card against card testing, while this one reads the customer database.
    """

    def __init__(
        self, directory: Directory, velocity: Velocity, rules: Callable[[], Rules], card_key: Callable[[], bytes]
    ) -> None:
        self._directory = directory
        self._velocity = velocity
        self._rules = rules
        self._card_key = card_key
        self._watcher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="card-testing")

    def look_up(self, payment: Payment, caller: Caller, now: datetime) -> Facts:
        """Look up merchant and customer, and count the card. Raises ``CallerRefused`` and ``Unavailable``."""
        rules = self._rules()
        card = Card.of(payment.card_number, self._card_key())
        attempt = Attempt(
            customer_id=payment.customer_id, card_fingerprint=card.fingerprint, money=payment.money,
            country=payment.country,
        )  # fmt: skip
        watched = self._watcher.submit(
            self._velocity.watch, watches(payment, attempt.base_minor, card, caller.principal, rules, now)
        )
        try:
            found = parties(self._directory, caller, payment.customer_id)
        finally:
            full = watched.result()
        merchant = found.merchant
        paid_today = 0
        if "day" in merchant.limits:
            paid_today = self._velocity.total(day_totals(merchant.merchant_id, f"{now:%Y-%m-%d}"))
        return Facts(
            payment=payment, attempt=attempt, merchant=merchant, customer=found.customer, card=card, rules=rules,
            watched=full, paid_today=paid_today, now=now,
        )  # fmt: skip

    def activity(self, facts: Facts) -> Activity:
        """What customer and card did lately, as of now. Raises ``Unavailable``."""
        keys = Activity.keys(facts.attempt.customer_id, facts.card.fingerprint, facts.merchant.merchant_id)
        return Activity(*self._velocity.read(keys))

    def activity_of(self, transaction: Transaction) -> Activity:
        """What customer and card of ``transaction`` did lately. Raises ``Unavailable``."""
        return activity_of(self._velocity, transaction)

    def payment_fingerprint(self, payment: Payment) -> str:
        return payment.fingerprint(self._card_key())


def activity_of(velocity: Velocity, transaction: Transaction) -> Activity:
    """What customer and card of ``transaction`` did lately. Raises ``Unavailable``."""
    keys = Activity.keys(transaction.customer_id, transaction.card.fingerprint, str(transaction.merchant_id))
    return Activity(*velocity.read(keys))


def assessment(facts: Facts, activity: Activity) -> Assessment:
    """The fraud rules' opinion."""
    return assess(facts.attempt, facts.customer, activity, facts.watched, facts.rules, facts.now)


def decide(facts: Facts, activity: Activity) -> Decision:
    """The decision, by limits and fraud rules."""
    refused = facts.refused
    if facts.customer is not None:
        now = int(facts.now.timestamp())
        refused += over_limits(facts.attempt.money, facts.customer, activity.customer, now)
    found = assessment(facts, activity)
    outcome = "declined" if refused else _OUTCOMES[found.decision]
    return Decision(outcome=outcome, reasons=(*refused, *found.reasons), score=found.score)


def counted(facts: Facts, activity: Activity, outcome: str) -> list[State]:
    """The states that this payment changes, with it counted.

    A declined payment uses up no limit, and counts at its own merchant only. One with an impossible card number or an
    unknown customer counts nowhere.
    """
    if facts.customer is None or facts.payment.card_number.faults():
        return []
    now, minor, card = int(facts.now.timestamp()), facts.attempt.base_minor, facts.card.fingerprint
    customer, of_card, at_merchant = activity
    at_merchant = at_merchant.saw(card, now)
    if outcome == "declined":
        return [replace(at_merchant, declined=at_merchant.declined.plus(now, minor))]
    customer = replace(customer, paid=customer.paid.plus(now, minor))
    if is_near_limit(facts.attempt, facts.customer, facts.rules):
        customer = replace(customer, near_limit=customer.near_limit.plus(now, minor))
    if outcome == "approved":
        customer = customer.approved(minor)
    of_card = replace(of_card, paid=of_card.paid.plus(now, minor)).saw(facts.attempt.customer_id, now)
    return [customer, of_card, at_merchant]


def uncounted(transaction: Transaction, activity: Activity) -> list[State]:
    """The states with the amount of ``transaction`` given back. Its attempt still counts as one."""
    minor = transaction.base_minor or 0
    return [
        replace(state, paid=state.paid.minus(transaction.moment, minor))
        for state in (activity.customer, activity.card)
    ]  # fmt: skip
