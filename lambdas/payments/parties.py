"""In which role somebody asks about transactions, and which of them are theirs to see."""

from dataclasses import dataclass
from enum import StrEnum

from lambdas.payments.amendments import Entry
from lambdas.payments.callers import Caller
from lambdas.payments.errors import CallerRefused
from lambdas.payments.merchants import Directory, Merchant


class Role(StrEnum):
    """Who asks."""

    MERCHANT = "merchant"
    """Its own transactions only."""
    REVIEWER = "reviewer"
    """Decides what stands in review."""
    OPERATOR = "operator"
    """Reverses payments for merchants and customers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Who asks, in which role."""

    caller: Caller
    role: Role
    merchant: Merchant | None = None

    @property
    def merchant_id(self) -> str | None:
        """Whose transactions this party may see; ``None``: all."""
        return self.merchant.merchant_id if self.merchant else None

    def may_see(self, entry: Entry) -> bool:
        return self.merchant is None or entry.transaction.merchant_id == self.merchant.merchant_id

    def check_may_decide(self) -> None:
        """Raises ``CallerRefused``."""
        if self.role is not Role.REVIEWER:
            raise CallerRefused("reviewers_only")

    def check_may_reverse(self) -> None:
        """Raises ``CallerRefused``."""
        if self.role is Role.REVIEWER:
            raise CallerRefused("reversal_not_allowed")
        if self.merchant is not None:
            self.merchant.check_active()


class Parties:
    """Knows each caller's role: the reviewers' and the operators' roles by their ARNs, everybody else by merchant."""

    def __init__(self, directory: Directory, *, reviewers: str, operators: str) -> None:
        self._directory = directory
        self._staff = {reviewers: Role.REVIEWER, operators: Role.OPERATOR}

    def of(self, caller: Caller) -> Party:
        """Raises ``CallerRefused`` for a caller of no merchant, and ``Unavailable``.

        A merchant that takes no payments now may still look up those that it took.
        """
        if role := self._staff.get(caller.principal_arn):
            return Party(caller=caller, role=role)
        found = self._directory.find(caller, customer_id="")
        if found is None:
            raise CallerRefused("caller_unknown")
        return Party(caller=caller, role=Role.MERCHANT, merchant=found.merchant)
