"""Merchants: who calls the API, and for which customers, currencies and amounts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from lambdas.payments.callers import Caller
from lambdas.payments.customers import Customer
from lambdas.payments.errors import CallerRefused
from lambdas.payments.payment import Payment


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """A merchant in the customer database."""

    merchant_id: str
    status: str
    """``active``, ``suspended`` or ``closed``."""
    allowed_currencies: frozenset[str]
    limits: Mapping[str, int]
    """The largest ``payment``, and the most in a ``day`` (UTC), in minor units of the base currency.

    The day's limit is soft. Payments that are decided within the same two seconds do not see each other, because a
    limit that holds exactly would let a busy merchant's payments through one at a time."""
    required_fields: frozenset[str]
    """Fields that the contract lets out, and that this merchant must send."""
    takes: str = "real"
    """Whose payments: those of ``real`` customers, of ``synthetic`` ones, or of ``any``."""

    def check_active(self) -> None:
        """Raises ``CallerRefused``."""
        if self.status != "active":
            raise CallerRefused("merchant_not_active")

    def serves(self, customer: Customer) -> bool:
        """Whether ``customer`` is of the kind whose payments this merchant takes."""
        return self.takes == "any" or customer.synthetic == (self.takes == "synthetic")


DAY_SHARDS = 32
"""A merchant's total of a day is spread over so many items. One item would let through one payment at a time."""


def day_totals(merchant_id: str, day: str) -> list[str]:
    """The keys of the parts of the merchant's total of ``day`` (UTC, ``YYYY-MM-DD``)."""
    return [f"merchant#{merchant_id}#{day}#{shard}" for shard in range(DAY_SHARDS)]


def day_total(merchant: Merchant, transaction_id: str, day: str) -> str | None:
    """The key of the part that a transaction counts in. ``None`` for a merchant without a limit of the day."""
    if "day" not in merchant.limits:
        return None
    return day_totals(merchant.merchant_id, day)[int(transaction_id[-4:], 16) % DAY_SHARDS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties:
    """The two sides of a payment."""

    merchant: Merchant
    customer: Customer | None
    """``None`` also for a customer of other merchants: nobody learns whose customer somebody is."""

    @property
    def synthetic(self) -> bool:
        """Whether the payment is made up, for a load test."""
        return self.merchant.takes == "synthetic" or (self.customer is not None and self.customer.synthetic)


class Directory(Protocol):
    """The store of merchants and customers."""

    def find(self, caller: Caller, customer_id: str) -> Parties | None:
        """The caller's merchant, and its customer; of a shadow request, the merchant that it names. ``None`` when the
        caller belongs to no merchant.

        Raises ``Unavailable``.
        """


def parties(directory: Directory, caller: Caller, customer_id: str) -> Parties:
    """Merchant and customer. Raises ``CallerRefused`` for a caller without an active merchant, and ``Unavailable``."""
    found = directory.find(caller, customer_id)
    if found is None:
        raise CallerRefused("caller_unknown")
    found.merchant.check_active()
    if found.customer is not None and not found.merchant.serves(found.customer):
        return Parties(merchant=found.merchant, customer=None)
    return found


def merchant_refusals(payment: Payment, base_minor: int, merchant: Merchant, paid_today: int) -> tuple[str, ...]:
    """Reason codes of the merchant's own terms that forbid this payment.

    ``paid_today``: what the merchant's payments that were not declined amount to, in the base currency.
    """
    reasons = [
        f"{field}_missing" for field in sorted(merchant.required_fields) if getattr(payment, field, None) is None
    ]
    if payment.money.currency.code not in merchant.allowed_currencies:
        reasons.append("currency_not_allowed_for_merchant")
    if base_minor > merchant.limits.get("payment", base_minor):
        reasons.append("amount_over_merchant_limit")
    if paid_today + base_minor > merchant.limits.get("day", paid_today + base_minor):
        reasons.append("amount_over_merchant_day_limit")
    return tuple(reasons)
