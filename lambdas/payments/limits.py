"""Limits of totals, in the base currency: amounts of different currencies are converted before they are added.

The prices in ``base_currency.json`` belong to the function's version, so a release takes them forward and back. They
are limits' prices, not exchange rates: nobody is paid by them. Round them up when you change them.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Final

from lambdas.payments.customers import Customer
from lambdas.payments.money import CURRENCIES, Currency, Money
from lambdas.payments.velocity import DAY, MONTH, State

_TABLE: Final = json.loads(Path(__file__).with_name("base_currency.json").read_bytes())
BASE: Final[Currency] = CURRENCIES[_TABLE["currency"]]

PAYMENTS_A_DAY: Final = 5
PAYMENTS_A_MONTH: Final = 30
"""A customer without spending limits may pay this many times the largest single payment in 24 hours and 30 days."""


def _factors() -> Mapping[str, tuple[int, int]]:
    """Numerator and denominator that turn minor units of a currency into those of the base currency."""
    missing = CURRENCIES.keys() - _TABLE["price_of_one"].keys()
    if missing:
        raise ValueError(f"base_currency.json has no price of {sorted(missing)}")
    factors = {}
    for code, price in _TABLE["price_of_one"].items():
        numerator, denominator = Decimal(price).as_integer_ratio()
        factors[code] = (numerator * 10**BASE.decimals, denominator * 10 ** CURRENCIES[code].decimals)
    return factors


_FACTORS: Final = _factors()


def in_base(minor: int, currency: str) -> int:
    """``minor`` units of ``currency`` in minor units of the base currency, rounded up."""
    numerator, denominator = _FACTORS[currency]
    return -(-minor * numerator // denominator)


def largest_payment(customer: Customer | None) -> int:
    """The customer's largest single payment in the base currency: the smallest of its own limits, or the platform's."""
    own = customer.payment_limits.items() if customer else ()
    return min([BASE.limit, *(in_base(minor, code) for code, minor in own if code in _FACTORS)])


def over_limits(money: Money, customer: Customer, spending: State, now: int) -> tuple[str, ...]:
    """Reason codes of the customer's limits that this payment would pass. ``now``: seconds since 1970."""
    minor, single, own = in_base(money.minor, money.currency.code), largest_payment(customer), customer.spending_limits
    day = own.get("day", single * PAYMENTS_A_DAY)
    month = own.get("month", single * PAYMENTS_A_MONTH)
    reasons = []
    if spending.paid.minor(DAY, now) + minor > day:
        reasons.append("amount_over_day_limit")
    if spending.paid.minor(MONTH, now) + minor > month:
        reasons.append("amount_over_month_limit")
    return tuple(reasons)
