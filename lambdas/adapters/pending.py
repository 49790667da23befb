"""Transactions in DynamoDB of which something is pending, by the index ``by-status``. Few are ever there: finished ones
leave it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from lambdas.adapters import aws
from lambdas.adapters.entries import DynamoEntries
from lambdas.payments.amendments import Amendment, Entry
from lambdas.payments.transactions import AMENDING, PENDING

_DEPENDENCY = "transactions"
_MOST: Final = 500
"""Of each sort."""


class DynamoPending(DynamoEntries):
    """``sweeping.PendingLedger``."""

    def pending(self, before: str) -> Sequence[tuple[str, str]]:
        # A payment is older than its amendments, so no amendment from before is left out.
        items = [item for status in (PENDING, AMENDING) for item in self._items(status, before)]
        found = [(item["transaction_id"]["S"], _since(item)) for item in items]
        return sorted([each for each in found if each[1] < before], key=lambda each: each[1])

    def _items(self, status: str, before: str) -> Sequence[Mapping[str, Any]]:
        with aws.available(_DEPENDENCY):
            answer = aws.client("dynamodb").query(
                TableName=self._table,
                IndexName="by-status",
                KeyConditionExpression="#status = :status AND created_at < :before",
                ProjectionExpression="transaction_id, created_at, amending",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={":status": {"S": status}, ":before": {"S": before}},
                Limit=_MOST,
            )
        items: list[Mapping[str, Any]] = answer["Items"]
        return items

    def current(self, transaction_id: str) -> Entry | None:
        try:
            return self.get(transaction_id)
        except (KeyError, TypeError) as error:
            raise ValueError(repr(error)) from error


def _since(item: Mapping[str, Any]) -> str:
    """The time since when something of a transaction is being recorded."""
    try:
        return str(Amendment.of(item["amending"]["S"]).created_at)
    except (KeyError, TypeError, ValueError):  # a payment, or an item that no amendment left so
        return str(item["created_at"]["S"])
