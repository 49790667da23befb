"""Customers, and the reasons that forbid a customer's payment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from lambdas.payments.money import Currency
from lambdas.payments.payment import Payment


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A customer in the customer database."""

    customer_id: str
    status: str
    """``active``, ``blocked`` or ``closed``."""
    country: str
    """ISO 3166-1 alpha-2 of the customer's home."""
    allowed_currencies: frozenset[str]
    payment_limits: Mapping[str, int]
    """The largest single payment by currency, in minor units. Absent currencies have the platform's limit."""
    spending_limits: Mapping[str, int] = field(default_factory=dict)
    """The most in a ``day`` and a ``month`` (24 hours, 30 days), in minor units of the base currency."""
    synthetic: bool = False
    """Made up, for load tests."""

    def limit(self, currency: Currency) -> int:
        """The largest single payment in ``currency``, in minor units."""
        return min(currency.limit, self.payment_limits.get(currency.code, currency.limit))


def refusals(payment: Payment, customer: Customer | None, now: datetime) -> tuple[str, ...]:
    """Reason codes that forbid this payment, most fundamental first; empty for an allowed payment.

    ``now`` is in UTC.
    """
    reasons = list(payment.card_number.faults())
    if payment.card_expiry is not None and payment.card_expiry < f"{now:%Y-%m}":
        reasons.append("card_expired")
    if customer is None:
        return (*reasons, "customer_unknown")
    if customer.status != "active":
        reasons.append("customer_not_active")
    if payment.money.currency.code not in customer.allowed_currencies:
        reasons.append("currency_not_allowed")
    if payment.money.minor > customer.limit(payment.money.currency):
        reasons.append("amount_over_limit")
    return tuple(reasons)
