"""Pending transactions in DynamoDB, by the index ``by-status``. Few are ever in it, because settled ones leave it."""

from collections.abc import Sequence
from typing import Final

from lambdas.adapters import aws
from lambdas.adapters.ledger import DynamoLedger, from_item
from lambdas.payments.transactions import PENDING, Transaction

_DEPENDENCY = "transactions"
_MOST: Final = 500


class DynamoPending(DynamoLedger):
    """``sweeping.PendingLedger``."""

    def pending(self, before: str) -> Sequence[tuple[str, str]]:
        with aws.available(_DEPENDENCY):
            answer = aws.client("dynamodb").query(
                TableName=self._table,
                IndexName="by-status",
                KeyConditionExpression="#status = :pending AND created_at < :before",
                ProjectionExpression="transaction_id, created_at",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={":pending": {"S": PENDING}, ":before": {"S": before}},
                Limit=_MOST,
            )
        return [(item["transaction_id"]["S"], item["created_at"]["S"]) for item in answer["Items"]]

    def current(self, transaction_id: str) -> Transaction | None:
        with aws.available(_DEPENDENCY):
            answer = aws.client("dynamodb").get_item(
                TableName=self._table, Key={"transaction_id": {"S": transaction_id}}, ConsistentRead=True
            )
        if "Item" not in answer:
            return None
        try:
            return from_item(answer["Item"])
        except (KeyError, TypeError) as error:
            raise ValueError(repr(error)) from error
