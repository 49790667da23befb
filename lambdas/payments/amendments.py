"""Amendments: what is done to a payment after its decision. A reviewer decides it, a reversal gives it back.

This module reads no clock and no store. It says which amendment a transaction admits, and what the transaction is then.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from lambdas.payments.audit import Link, Record, canonical, digest, prefix
from lambdas.payments.callers import Caller, principal
from lambdas.payments.errors import InvalidField, Refused
from lambdas.payments.money import CURRENCIES, Money
from lambdas.payments.transactions import Transaction, timestamp

VOID_WITHIN: Final = timedelta(hours=24)
"""After this time a payment has been cleared, and only a refund gives it back."""
MOST_AMENDMENTS: Final = 50
"""Of one transaction. They are stored with it, and a DynamoDB item has an end."""


class Kind(StrEnum):
    """The sorts of amendments."""

    APPROVE = "approve"
    DECLINE = "decline"
    VOID = "void"
    """Cancels the whole payment before it is cleared. Limits do not count it any more."""
    REFUND = "refund"
    """Gives back a part, or all that is left. Limits go on counting the payment, so that nobody pays in circles."""


class Status(StrEnum):
    """What a transaction is after amendments."""

    APPROVED = "approved"
    REVIEW = "review"
    DECLINED = "declined"
    VOIDED = "voided"
    PARTLY_REFUNDED = "partly_refunded"
    REFUNDED = "refunded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """One amendment of a transaction."""

    amendment_id: str
    """Follows from who asked and under which key."""
    number: int
    """1 for the transaction's first."""
    kind: str
    created_at: str
    caller: str
    """The sender of the request, with its session."""
    party: str
    """In which role: ``merchant``, ``reviewer`` or ``operator``."""
    reason: str
    minor: int
    """What is given back, in minor units of the transaction's currency. 0 for a decision."""
    status: str
    """The transaction's after this amendment."""
    request_id: str
    request: str
    """Digest of what was asked for. It distinguishes a replay from a reused key."""
    audit_hash: str | None = None
    """Of its audit record; ``None`` until that is written."""

    def to_json(self) -> str:
        return canonical(asdict(self)).decode()

    @classmethod
    def of(cls, text: str) -> "Amendment":
        """The amendment that ``to_json`` gave."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A transaction in the ledger, with what was done to it since."""

    transaction: Transaction
    history: tuple[Amendment, ...] = ()
    """In order. All are in the audit log."""
    amending: Amendment | None = None
    """The one that is being recorded. It is decided, and becomes part of the history."""
    audit_hash: str | None = None
    """Of the record that the ledger names. An import that changes the payment names another one."""

    @property
    def left(self) -> int:
        """What was paid and not given back, in minor units."""
        transaction = self.transaction
        return transaction.minor - (transaction.given_back or 0) - sum(each.minor for each in self.history)

    def find(self, amendment_id: str) -> Amendment | None:
        return next((each for each in self.history if each.amendment_id == amendment_id), None)

    def begun(self, amendment: Amendment) -> "Entry":
        """With ``amendment`` being recorded."""
        return replace(self, amending=amendment)

    def completed(self, audit_hash: str) -> "Entry":
        """With what was being recorded in the history. ``audit_hash``: of its record."""
        if self.amending is None:
            raise ValueError("nothing is being recorded")
        done = replace(self.amending, audit_hash=audit_hash)
        return replace(
            self,
            transaction=replace(self.transaction, status=done.status),
            history=(*self.history, done),
            amending=None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A request for an amendment: what ``Entry`` is asked for, by whom."""

    kind: Kind
    reason: str
    caller: Caller
    party: str
    request_id: str
    key: str
    """The idempotency key of a reversal. A decision has none: a reviewer decides a transaction once."""
    amount: Any = None
    """Of a refund, in major units: ``Decimal``, whole number or text. ``None``: all that is left."""

    @property
    def amendment_id(self) -> str:
        who = self.caller.recorded if self.kind in DECISIONS else self.caller.principal
        return "amd_" + hashlib.sha256(f"{len(who)}:{who}{self.key}".encode()).hexdigest()[:32]

    def digest(self, minor: int | None) -> str:
        """``minor``: the amount asked for, if one was."""
        return hashlib.sha256(repr((str(self.kind), minor, self.reason)).encode()).hexdigest()


DECISIONS: Final = (Kind.APPROVE, Kind.DECLINE)


def amendment(entry: Entry, wish: Wish, now: datetime, *, four_eyes: bool, source_amends: bool = False) -> Amendment:
    """The amendment of ``entry`` that ``wish`` asks for, at ``now`` (UTC).

    Raises ``Refused`` when the transaction does not admit it, and ``InvalidField`` for an impossible amount. A wish
    that was granted before gives the amendment of that time; ``Refused`` when its key stood for another wish.
    ``four_eyes``: an approval needs two reviewers. ``source_amends``: what another system took is amended there only.
    """
    asked = _asked(entry, wish)
    if earlier := entry.find(wish.amendment_id):
        if earlier.request != wish.digest(asked):
            raise Refused("already_decided" if wish.kind in DECISIONS else "idempotency_key_reused")
        return earlier
    if source_amends and entry.transaction.origin is not None:
        raise Refused("amended_at_source")  # else both systems would give the same money back
    if len(entry.history) >= MOST_AMENDMENTS:
        raise Refused("too_many_amendments")
    if wish.kind in DECISIONS:
        status, minor = _decide(entry, wish, four_eyes=four_eyes), 0
    else:
        status, minor = _reverse(entry, wish.kind, asked, now)
    return Amendment(
        amendment_id=wish.amendment_id,
        number=len(entry.history) + 1,
        kind=wish.kind,
        created_at=timestamp(now),
        caller=wish.caller.recorded,
        party=wish.party,
        reason=wish.reason,
        minor=minor,
        status=status,
        request_id=wish.request_id,
        request=wish.digest(asked),
    )


def _asked(entry: Entry, wish: Wish) -> int | None:
    if wish.amount is None:
        return None
    if wish.kind is Kind.VOID:
        raise InvalidField("amount", "amount_of_void", "A void cancels the whole payment.")
    return Money.parse(wish.amount, CURRENCIES[entry.transaction.currency]).minor


def _decide(entry: Entry, wish: Wish, *, four_eyes: bool) -> Status:
    if entry.transaction.status != Status.REVIEW:
        raise Refused("not_in_review")
    if principal(entry.transaction.caller) == wish.caller.principal:
        raise Refused("decider_is_payer")
    if wish.kind is Kind.DECLINE:
        return Status.DECLINED
    # Who approved before had the same key, so every earlier approval is another reviewer's.
    return Status.REVIEW if four_eyes and not entry.history else Status.APPROVED


def _reverse(entry: Entry, kind: Kind, asked: int | None, now: datetime) -> tuple[Status, int]:
    """Status and amount. Never gives back more than is left."""
    if entry.transaction.status not in (Status.APPROVED, Status.PARTLY_REFUNDED):
        raise Refused("not_reversible")
    if kind is Kind.VOID:
        if entry.left != entry.transaction.minor:
            raise Refused("not_reversible")
        if now - datetime.fromisoformat(entry.transaction.created_at) > VOID_WITHIN:
            raise Refused("too_late_to_void")
        return Status.VOIDED, entry.left
    minor = entry.left if asked is None else asked
    if minor > entry.left:
        raise InvalidField("amount", "amount_over_rest", "More than is left of the payment.")
    return (Status.REFUNDED if minor == entry.left else Status.PARTLY_REFUNDED), minor


def key_of(transaction_id: str, number: int, created_at: str) -> str:
    """The key of the audit record of an amendment. It lies under the day of the amendment, not of the payment."""
    return f"{prefix(created_at[:10])}{transaction_id}.{number}.json"


OF_TRANSACTION: Final = ("transaction_id", "customer_id", "merchant_id", "currency", "synthetic")
"""The fields of its transaction that the audit record of an amendment has, too."""


def record(transaction: Transaction, amended: Amendment, link: Link) -> Record:
    """The audit record of ``amended`` at the place ``link`` of a chain: all its fields, the number as ``amendment``."""
    values = asdict(amended)
    del values["audit_hash"]
    body = canonical(
        {
            **{name: getattr(transaction, name) for name in OF_TRANSACTION},
            "amendment": values.pop("number"),
            **values,
            "chain": asdict(link),
        }
    )
    key = key_of(transaction.transaction_id, amended.number, amended.created_at)
    return Record(key=key, body=body, hash=digest(body))
