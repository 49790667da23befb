"""Explainable fraud rules. Each rule that fires adds a reason code and a score. The sum of the scores decides.

This module reads no clock and no store: ``assess`` is a pure function of payment, customer, histories, rules and time.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from lambdas.payments.customers import Customer
from lambdas.payments.money import Money

HISTORY = timedelta(days=1)
"""The length of the histories. No rule's window may be longer."""


class PastPayment(NamedTuple):
    """An earlier transaction, with the fields that rules read. A tuple, because a request creates a hundred of them."""

    created_at: datetime
    """UTC."""
    customer_id: str
    card_fingerprint: str
    currency: str
    minor: int
    status: str
    """``pending``, ``approved``, ``review`` or ``declined``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The payment that is assessed."""

    customer_id: str
    card_fingerprint: str
    money: Money
    country: str | None


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
class Rules:
    """The thresholds. A parameter holds them; its initial value is ``fraud_rules.json``.

    ``values`` maps each rule's name, which is its reason code, to its ``score`` and its thresholds.
    """

    review_at: int
    decline_at: int
    values: Mapping[str, Mapping[str, int]]

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Rules":
        """Read the configuration document. Raises ``ValueError`` that names the wrong rule."""
        values = {str(name): {str(k): int(v) for k, v in rule.items()} for name, rule in document["rules"].items()}
        if unknown := values.keys() - _RULES.keys():
            raise ValueError(f"fraud rules: unknown {sorted(unknown)}")
        for name, rule in values.items():
            if missing := {"score", *_RULES[name].thresholds} - rule.keys():
                raise ValueError(f"fraud rule {name}: missing {sorted(missing)}")
            if timedelta(seconds=rule.get("seconds", 0)) > HISTORY:
                raise ValueError(f"fraud rule {name}: the window is longer than {HISTORY}")
        return cls(review_at=int(document["review_at"]), decline_at=int(document["decline_at"]), values=values)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """The input of a rule. The ledger limits both histories; they are newest first."""

    attempt: Attempt
    customer: Customer | None
    by_customer: Sequence[PastPayment]
    by_card: Sequence[PastPayment]
    now: datetime


def assess(
    attempt: Attempt,
    customer: Customer | None,
    by_customer: Sequence[PastPayment],
    by_card: Sequence[PastPayment],
    rules: Rules,
    now: datetime,
) -> Assessment:
    """Assess ``attempt`` at ``now`` (UTC) by the customer's and the card's earlier payments.

    A rule that is not in the configuration is off.
    """
    case = _Case(attempt=attempt, customer=customer, by_customer=by_customer, by_card=by_card, now=now)
    fired = tuple(name for name, values in rules.values.items() if _RULES[name].fires(case, values))
    score = min(100, sum(rules.values[name]["score"] for name in fired))
    decision = "decline" if score >= rules.decline_at else "review" if score >= rules.review_at else "approve"
    return Assessment(decision=decision, score=score, reasons=fired)


def _since(history: Iterable[PastPayment], now: datetime, seconds: int) -> Iterator[PastPayment]:
    """The payments in a sliding window that ends at ``now``. Its start is excluded."""
    start = now - timedelta(seconds=seconds)
    return (past for past in history if past.created_at > start)


def _count_over(history: Sequence[PastPayment], case: _Case, values: Mapping[str, int]) -> bool:
    earlier = sum(1 for _ in _since(history, case.now, values["seconds"]))
    return earlier + 1 > values["count"]


def _sum_over(history: Sequence[PastPayment], case: _Case, values: Mapping[str, int]) -> bool:
    money = case.attempt.money
    spent = sum(
        past.minor
        for past in _since(history, case.now, values["seconds"])
        if past.currency == money.currency.code and past.status != "declined"
    )
    return (spent + money.minor) * 100 > money.currency.limit * values["percent_of_limit"]


def _amount_anomaly(case: _Case, values: Mapping[str, int]) -> bool:
    money = case.attempt.money
    own = sorted(p.minor for p in case.by_customer if p.currency == money.currency.code and p.status == "approved")
    return len(own) >= values["at_least"] and money.minor > values["times_median"] * own[(len(own) - 1) // 2]


def _many_cards(case: _Case, values: Mapping[str, int]) -> bool:
    cards = {past.card_fingerprint for past in _since(case.by_customer, case.now, values["seconds"])}
    return len(cards | {case.attempt.card_fingerprint}) > values["cards"]


def _many_customers(case: _Case, values: Mapping[str, int]) -> bool:
    customers = {past.customer_id for past in _since(case.by_card, case.now, values["seconds"])}
    return len(customers | {case.attempt.customer_id}) > values["customers"]


def _country_mismatch(case: _Case, values: Mapping[str, int]) -> bool:
    return case.customer is not None and case.attempt.country not in (None, case.customer.country)


def _just_under_limit(case: _Case, values: Mapping[str, int]) -> bool:
    money = case.attempt.money
    limit = case.customer.limit(money.currency) if case.customer else money.currency.limit

    def close(minor: int) -> bool:
        return limit * values["percent_of_limit"] <= minor * 100 <= limit * 100

    earlier = _since(case.by_customer, case.now, values["seconds"])
    similar = sum(1 for past in earlier if past.currency == money.currency.code and close(past.minor))
    return close(money.minor) and similar + 1 >= values["count"]


def _repeated_declines(case: _Case, values: Mapping[str, int]) -> bool:
    recent = _since(case.by_customer, case.now, values["seconds"])
    return sum(1 for past in recent if past.status == "declined") >= values["count"]


@dataclass(frozen=True, slots=True)
class _Rule:
    fires: Any
    thresholds: frozenset[str]


_RULES: Mapping[str, _Rule] = {
    "customer_velocity_count": _Rule(lambda c, v: _count_over(c.by_customer, c, v), frozenset({"seconds", "count"})),
    "customer_velocity_amount": _Rule(
        lambda c, v: _sum_over(c.by_customer, c, v), frozenset({"seconds", "percent_of_limit"})
    ),
    "card_velocity_count": _Rule(lambda c, v: _count_over(c.by_card, c, v), frozenset({"seconds", "count"})),
    "card_velocity_amount": _Rule(lambda c, v: _sum_over(c.by_card, c, v), frozenset({"seconds", "percent_of_limit"})),
    "amount_anomaly": _Rule(_amount_anomaly, frozenset({"at_least", "times_median"})),
    "many_cards_on_customer": _Rule(_many_cards, frozenset({"seconds", "cards"})),
    "many_customers_on_card": _Rule(_many_customers, frozenset({"seconds", "customers"})),
    "country_mismatch": _Rule(_country_mismatch, frozenset()),
    "just_under_limit": _Rule(_just_under_limit, frozenset({"seconds", "percent_of_limit", "count"})),
    "repeated_declines": _Rule(_repeated_declines, frozenset({"seconds", "count"})),
}
