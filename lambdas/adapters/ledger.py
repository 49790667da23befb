"""The ledger in DynamoDB: table ``transaction_id``, indexes ``by-customer``, ``by-card``, ``by-day``."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from lambdas.adapters import aws
from lambdas.payments import transactions
from lambdas.payments.cards import Card
from lambdas.payments.fraud import PastPayment
from lambdas.payments.transactions import Transaction

_HISTORY_ITEMS = 50
"""The most items that are read of a history: one page, about 10 KB."""

_CARD_FIELDS = tuple(f"card_{field.name}" for field in fields(Card))


class DynamoLedger:
    """``transactions.Ledger`` on the table ``TRANSACTION_TABLE``."""

    def __init__(self) -> None:
        self._table = os.environ["TRANSACTION_TABLE"]

    def open(self, transaction: Transaction) -> Transaction:
        client = aws.client("dynamodb")
        with aws.available("transactions"):
            try:
                client.put_item(
                    TableName=self._table,
                    Item=_to_item(transaction),
                    ConditionExpression="attribute_not_exists(transaction_id)",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except client.exceptions.ConditionalCheckFailedException as taken:
                return _from_item(taken.response["Item"])
        return transaction

    def settle(self, transaction: Transaction, audit_key: str, audit_hash: str) -> None:
        client = aws.client("dynamodb")
        with aws.available("transactions"):
            try:
                client.update_item(
                    TableName=self._table,
                    Key={"transaction_id": {"S": transaction.transaction_id}},
                    UpdateExpression="SET #status = :outcome, audit_key = :key, audit_hash = :hash",
                    ConditionExpression="#status = :pending",
                    ExpressionAttributeNames={"#status": "status"},
                    ExpressionAttributeValues={
                        ":outcome": {"S": transaction.outcome},
                        ":pending": {"S": transactions.PENDING},
                        ":key": {"S": audit_key},
                        ":hash": {"S": audit_hash},
                    },
                )
            except client.exceptions.ConditionalCheckFailedException:
                return  # another attempt at the same payment settled it, with the same outcome

    def by_customer(self, customer_id: str, since: datetime) -> Sequence[PastPayment]:
        return self._history("by-customer", "customer_id", customer_id, since)

    def by_card(self, fingerprint: str, since: datetime) -> Sequence[PastPayment]:
        return self._history("by-card", "card_fingerprint", fingerprint, since)

    def _history(self, index: str, attribute: str, value: str, since: datetime) -> Sequence[PastPayment]:
        with aws.available("transactions"):
            page = aws.client("dynamodb").query(
                TableName=self._table,
                IndexName=index,
                KeyConditionExpression=f"{attribute} = :value AND created_at > :since",
                ProjectionExpression="created_at, customer_id, card_fingerprint, currency, minor, #status",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={":value": {"S": value}, ":since": {"S": transactions.timestamp(since)}},
                ScanIndexForward=False,
                Limit=_HISTORY_ITEMS,
            )
        return [_past_payment(item) for item in page["Items"]]


def _past_payment(item: Mapping[str, Any]) -> PastPayment:
    return PastPayment(
        created_at=datetime.fromisoformat(item["created_at"]["S"]),
        customer_id=item["customer_id"]["S"],
        card_fingerprint=item["card_fingerprint"]["S"],
        currency=item["currency"]["S"],
        minor=int(item["minor"]["N"]),
        status=item["status"]["S"],
    )


def _to_item(transaction: Transaction) -> dict[str, Any]:
    values = {field.name: getattr(transaction, field.name) for field in fields(transaction)}
    card = values.pop("card")
    values |= {name: getattr(card, name.removeprefix("card_")) for name in _CARD_FIELDS}
    values["day_shard"] = transactions.day_shard(transaction)
    return {name: _attribute(value) for name, value in values.items() if value is not None}


def _attribute(value: str | int | tuple[str, ...]) -> dict[str, Any]:
    match value:
        case int():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case _:
            return {"L": [{"S": text} for text in value]}


def _from_item(item: Mapping[str, Any]) -> Transaction:
    values = {name: _value(attribute) for name, attribute in item.items()}
    card = Card(**{name.removeprefix("card_"): values.get(name) for name in _CARD_FIELDS})  # type: ignore[arg-type]
    known = {field.name for field in fields(Transaction)}
    return Transaction(card=card, **{name: value for name, value in values.items() if name in known})  # type: ignore[arg-type]


def _value(attribute: Mapping[str, Any]) -> str | int | tuple[str, ...]:
    [(kind, value)] = attribute.items()
    return int(value) if kind == "N" else tuple(text["S"] for text in value) if kind == "L" else str(value)
