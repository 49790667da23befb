"""Examines a payment: looks up who pays and what they did lately, and decides by limits and fraud rules."""

import hmac
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from lambdas.payments.callers import Caller
from lambdas.payments.card_keys import CardKeys
from lambdas.payments.card_testing import watches
from lambdas.payments.cards import Card
from lambdas.payments.customers import Customer, refusals
from lambdas.payments.errors import Unavailable
from lambdas.payments.fraud import Assessment, Attempt, assess, is_near_limit
from lambdas.payments.limits import over_limits
from lambdas.payments.merchants import Directory, Merchant, day_totals, merchant_refusals, parties
from lambdas.payments.payment import Payment
from lambdas.payments.rules import Rules
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
    keys: CardKeys
    rules: Rules
    watched: frozenset[str]
    """The rules against card testing that fired."""
    paid_today: int
    """What the merchant's payments amount to, in the base currency; 0 for a merchant without a limit of the day."""
    synthetic: bool
    """Whether the payment is made up, for a load test."""
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


class Keyring(Protocol):
    def __call__(self, *, fresh: bool = False) -> CardKeys:
        """The card keys; ``fresh``: as they are now. Raises ``Unavailable``."""


class Examiner:
    """Reads what a payment is decided by.

    A second thread counts the card against card testing, while this one reads the customer database.
    """

    def __init__(
        self, directory: Directory, velocity: Velocity, rules: Callable[[], Rules], card_keys: Keyring
    ) -> None:
        self._directory = directory
        self._velocity = velocity
        self._rules = rules
        self.card_keys = card_keys
        self._watcher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="card-testing")

    def look_up(self, payment: Payment, caller: Caller, now: datetime) -> Facts:
        """Look up merchant and customer, and count the card, unless the request is a shadow. Raises ``CallerRefused``
        and ``Unavailable``."""
        rules = self._rules()
        keys = self.card_keys()
        attempt = Attempt(
            customer_id=payment.customer_id, card_names=_card_names(payment, keys, now), money=payment.money,
            country=payment.country,
        )  # fmt: skip
        watch = self._velocity.watch if caller.shadow_of is None else self._velocity.full
        watched = self._watcher.submit(watch, watches(payment, attempt.base_minor, keys, caller.principal, rules, now))
        try:
            found = parties(self._directory, caller, payment.customer_id)
        finally:
            full = watched.result()
        merchant = found.merchant
        paid_today = 0
        if "day" in merchant.limits:
            paid_today = self._velocity.total(day_totals(merchant.merchant_id, f"{now:%Y-%m-%d}"))
        return Facts(
            payment=payment, attempt=attempt, merchant=merchant, customer=found.customer,
            card=Card.of(payment.card_number, keys.newest), keys=keys, rules=rules, watched=full, paid_today=paid_today,
            synthetic=found.synthetic, now=now,
        )  # fmt: skip

    def activity(self, facts: Facts) -> Activity:
        """What customer and card did lately, as of now. Raises ``Unavailable``."""
        counted = facts.attempt.card_names[: len(facts.keys.counted(int(facts.now.timestamp())))]
        keys = Activity.keys(facts.attempt.customer_id, counted, facts.merchant.merchant_id)
        return Activity.of(self._velocity.read(keys))

    def activity_of(self, transaction: Transaction) -> Activity:
        """What customer and card of ``transaction`` did lately. Raises ``Unavailable``."""
        return activity_of(self._velocity, transaction)

    def is_of(self, transaction: Transaction, payment: Payment) -> bool:
        """Whether ``transaction`` was made by this ``payment``. Raises ``Unavailable`` when the version of the keys
        under which it was made can't be read.

        Once that version was dropped, what is stored in clear decides.
        """
        number = transaction.card.key_version
        keys = self.card_keys()
        if keys.has_dropped(number):
            return transaction.shows(payment)
        version = keys.version(number) or self.card_keys(fresh=True).version(number)
        if version is None:
            raise Unavailable(f"version {number} of the card keys")
        return hmac.compare_digest(transaction.payment_fingerprint, payment.fingerprint(version.key))


def _card_names(payment: Payment, keys: CardKeys, now: datetime) -> tuple[str, ...]:
    """The card's fingerprints: those under which it is counted, then those of former versions."""
    counted = keys.counted(int(now.timestamp()))
    former = keys.versions[: -len(counted)]
    return tuple(payment.card_number.fingerprint(version.key) for version in (*counted, *former))


def activity_of(velocity: Velocity, transaction: Transaction) -> Activity:
    """What customer and card of ``transaction`` did lately. Raises ``Unavailable``."""
    keys = Activity.keys(transaction.customer_id, [transaction.card.fingerprint], str(transaction.merchant_id))
    return Activity.of(velocity.read(keys))


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
    now, minor = int(facts.now.timestamp()), facts.attempt.base_minor
    customer = activity.customer
    at_merchant = activity.at_merchant.saw(facts.attempt.card_names, now)
    if outcome == "declined":
        return [replace(at_merchant, declined=at_merchant.declined.plus(now, minor))]
    customer = replace(customer, paid=customer.paid.plus(now, minor))
    if is_near_limit(facts.attempt, facts.customer, facts.rules):
        customer = replace(customer, near_limit=customer.near_limit.plus(now, minor))
    if outcome == "approved":
        customer = customer.approved(minor)
    of_card = [
        replace(state, paid=state.paid.plus(now, minor)).saw([facts.attempt.customer_id], now)
        for state in (activity.card, *activity.next_card)
    ]
    return [customer, at_merchant, *of_card]


def uncounted(transaction: Transaction, activity: Activity) -> list[State]:
    """The states with the amount of ``transaction`` given back. Its attempt still counts as one."""
    minor = transaction.base_minor or 0
    return [
        replace(state, paid=state.paid.minus(transaction.moment, minor))
        for state in (activity.customer, activity.card)
    ]  # fmt: skip
