"""What callers see of a transaction: never the card's fingerprint, the payer's address or who sent a request."""

from typing import Any

from lambdas.payments.amendments import Amendment, Entry
from lambdas.payments.money import CURRENCIES, Money
from lambdas.payments.transactions import PENDING


def view(entry: Entry) -> dict[str, Any]:
    """The transaction. ``settled`` is false while its payment or an amendment is being recorded: the status may change
    at once."""
    transaction = entry.transaction
    return {
        "transaction_id": transaction.transaction_id,
        "status": transaction.status,
        "settled": transaction.status != PENDING and entry.amending is None,
        "created_at": transaction.created_at,
        "amount": _amount(entry, transaction.minor),
        "left": _amount(entry, entry.left),
        "currency": transaction.currency,
        "customer_id": transaction.customer_id,
        "merchant_id": transaction.merchant_id,
        "merchant_reference": transaction.merchant_reference,
        "card": {"brand": transaction.card.brand, "last4": transaction.card.last4},
        "reasons": transaction.reasons,
        "score": transaction.score,
        "origin": transaction.origin or "platform",
        "source_id": transaction.source_id,
    }


def history_view(entry: Entry) -> list[dict[str, Any]]:
    """What was done to the transaction, in order."""
    return [
        {
            "number": each.number,
            "kind": each.kind,
            "party": each.party,
            "created_at": each.created_at,
            "amount": _amount(entry, each.minor),
            "status": each.status,
            "reason": each.reason,
        }
        for each in entry.history
    ]


def amendment_view(entry: Entry, made: Amendment) -> dict[str, Any]:
    """The answer to the request for an amendment. A repeated request gets the same, whatever was done since."""
    left = entry.transaction.minor - sum(each.minor for each in entry.history[: made.number])
    return {
        "transaction_id": entry.transaction.transaction_id,
        "number": made.number,
        "kind": made.kind,
        "status": made.status,
        "amount": _amount(entry, made.minor),
        "left": _amount(entry, left),
        "currency": entry.transaction.currency,
        "created_at": made.created_at,
        "request_id": made.request_id,
    }


def _amount(entry: Entry, minor: int) -> str:
    return str(Money(minor, CURRENCIES[entry.transaction.currency]))
