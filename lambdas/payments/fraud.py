"""Explainable fraud rules. Each rule that fires adds a reason code and a score. The sum of the scores decides.

This module reads no clock and no store: ``assess`` is a pure function of payment, customer, activity, rules and time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lambdas.payments.customers import Customer
from lambdas.payments.limits import BASE, in_base, largest_payment
from lambdas.payments.money import Money
from lambdas.payments.rules import Rules
from lambdas.payments.velocity import Activity, Sums


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The payment that is assessed."""

    customer_id: str
    card_names: tuple[str, ...]
    """The card's fingerprints, first the one by which cards are counted."""
    money: Money
    country: str | None

    @property
    def base_minor(self) -> int:
        """The amount in minor units of the base currency."""
        return in_base(self.money.minor, self.money.currency.code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """The result of the rules for a payment."""

    decision: str
    """``approve``, ``review`` or ``decline``."""
    score: int
    """0 to 100."""
    reasons: tuple[str, ...]
    """Codes of the rules that fired, in the order of ``rules``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """The input of a rule."""

    attempt: Attempt
    customer: Customer | None
    activity: Activity
    watched: frozenset[str]
    now: int
    """Seconds since 1970."""


def assess(
    attempt: Attempt,
    customer: Customer | None,
    activity: Activity,
    watched: frozenset[str],
    rules: Rules,
    now: datetime,
) -> Assessment:
    """Assess ``attempt`` at ``now`` (UTC) by what its customer and card did before.

    ``watched``: the rules against card testing whose sets are full. A rule that is not in the configuration is off.
    """
    case = _Case(attempt=attempt, customer=customer, activity=activity, watched=watched, now=int(now.timestamp()))
    fired = tuple(name for name, values in rules.values.items() if _FIRES[name](name, case, values))
    score = min(100, sum(rules.values[name]["score"] for name in fired))
    decision = "decline" if score >= rules.decline_at else "review" if score >= rules.review_at else "approve"
    return Assessment(decision=decision, score=score, reasons=fired)


def is_near_limit(attempt: Attempt, customer: Customer | None, rules: Rules) -> bool:
    """Whether the rule ``just_under_limit`` counts this payment."""
    values = rules.values.get("just_under_limit")
    return values is not None and _near(attempt, customer, values["percent_of_limit"])


def _near(attempt: Attempt, customer: Customer | None, percent: int) -> bool:
    money = attempt.money
    limit = customer.limit(money.currency) if customer else money.currency.limit
    return limit * percent <= money.minor * 100 <= limit * 100


def _count_over(sums: Sums, case: _Case, values: Mapping[str, int]) -> bool:
    return sums.count(values["seconds"], case.now) + 1 > values["count"]


def _sum_over(sums: Sums, limit: int, case: _Case, values: Mapping[str, int]) -> bool:
    total = sums.minor(values["seconds"], case.now) + case.attempt.base_minor
    return total * 100 > limit * values["percent_of_limit"]


def _customer_velocity_count(_: str, case: _Case, values: Mapping[str, int]) -> bool:
    return _count_over(case.activity.customer.paid, case, values)


def _customer_velocity_amount(_: str, case: _Case, values: Mapping[str, int]) -> bool:
    return _sum_over(case.activity.customer.paid, largest_payment(case.customer), case, values)


def _card_velocity_count(_: str, case: _Case, values: Mapping[str, int]) -> bool:
    return _count_over(case.activity.card.paid, case, values)


def _card_velocity_amount(_: str, case: _Case, values: Mapping[str, int]) -> bool:
    return _sum_over(case.activity.card.paid, BASE.limit, case, values)


def _amount_anomaly(_: str, case: _Case, values: Mapping[str, int]) -> bool:
    own = sorted(case.activity.customer.amounts)
    if len(own) < max(1, values["at_least"]):
        return False
    return case.attempt.base_minor > values["times_median"] * own[(len(own) - 1) // 2]


def _many_cards(_: str, case: _Case, values: Mapping[str, int]) -> bool:
    cards = case.activity.at_merchant
    return cards.distinct_others(case.attempt.card_names, values["seconds"], case.now) > values["cards"]


def _many_customers(_: str, case: _Case, values: Mapping[str, int]) -> bool:
    customers = case.activity.card
    return customers.distinct_others([case.attempt.customer_id], values["seconds"], case.now) > values["customers"]


def _country_mismatch(_: str, case: _Case, values: Mapping[str, int]) -> bool:
    return case.customer is not None and case.attempt.country not in (None, case.customer.country)


def _just_under_limit(_: str, case: _Case, values: Mapping[str, int]) -> bool:
    earlier = case.activity.customer.near_limit.count(values["seconds"], case.now)
    return _near(case.attempt, case.customer, values["percent_of_limit"]) and earlier + 1 >= values["count"]


def _repeated_declines(_: str, case: _Case, values: Mapping[str, int]) -> bool:
    return case.activity.at_merchant.declined.count(values["seconds"], case.now) >= values["count"]


def _card_testing(name: str, case: _Case, values: Mapping[str, int]) -> bool:
    return name in case.watched


_FIRES: Final[Mapping[str, Callable[[str, _Case, Mapping[str, int]], bool]]] = {
    "customer_velocity_count": _customer_velocity_count,
    "customer_velocity_amount": _customer_velocity_amount,
    "card_velocity_count": _card_velocity_count,
    "card_velocity_amount": _card_velocity_amount,
    "amount_anomaly": _amount_anomaly,
    "many_cards_on_customer": _many_cards,
    "many_customers_on_card": _many_customers,
    "country_mismatch": _country_mismatch,
    "just_under_limit": _just_under_limit,
    "repeated_declines": _repeated_declines,
    "many_cards_from_address": _card_testing,
    "many_small_payments_in_bin": _card_testing,
    "many_small_payments_of_caller": _card_testing,
}
"""When each rule of ``rules.FIELDS`` fires."""
