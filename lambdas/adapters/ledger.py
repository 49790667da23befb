"""The ledger in DynamoDB: table ``transaction_id``, indexes ``by-customer``, ``by-card``, ``by-day``."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from lambdas.adapters import aws, velocity
from lambdas.payments import transactions
from lambdas.payments.cards import Card
from lambdas.payments.errors import Unavailable
from lambdas.payments.transactions import Ids, Transaction
from lambdas.payments.velocity import Addition, Contended, State

_CARD_FIELDS = tuple(f"card_{field.name}" for field in fields(Card))

_DEPENDENCY = "transactions"
_CONTENDED = {"ConditionalCheckFailed", "TransactionConflict"}
"""Why a transaction of DynamoDB was cancelled: a version has changed, or another transaction holds the item."""
_OVERLOADED = {"ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded"}


class DynamoLedger:
    """``transactions.Ledger`` on the tables ``TRANSACTION_TABLE`` and ``VELOCITY_TABLE``."""

    def __init__(self) -> None:
        self._table = os.environ["TRANSACTION_TABLE"]
        self._velocity_table = os.environ["VELOCITY_TABLE"]

    def find(self, ids: Ids) -> Transaction | None:
        wanted = {"Keys": [{"transaction_id": {"S": each}} for each in ids], "ConsistentRead": True}
        with aws.available(_DEPENDENCY):
            answer = aws.client("dynamodb").batch_get_item(RequestItems={self._table: wanted})
        if answer.get("UnprocessedKeys"):
            raise Unavailable(_DEPENDENCY)
        return next(map(from_item, answer["Responses"].get(self._table, [])), None)

    def open(
        self, transaction: Transaction, other_id: str, states: Sequence[State], additions: Sequence[Addition] = ()
    ) -> Transaction:
        free = {
            "TableName": self._table,
            "ConditionExpression": "attribute_not_exists(transaction_id)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        put = {"Put": {**free, "Item": to_item(transaction)}}
        check = {"ConditionCheck": {**free, "Key": {"transaction_id": {"S": other_id}}}}
        taken = self._write([put, check], states, additions)
        return from_item(taken["Item"]) if taken else transaction

    def release(self, transaction: Transaction, states: Sequence[State], additions: Sequence[Addition] = ()) -> None:
        update = {
            "TableName": self._table,
            "Key": {"transaction_id": {"S": transaction.transaction_id}},
            "UpdateExpression": "SET released = :yes",
            "ConditionExpression": "attribute_exists(transaction_id) AND attribute_not_exists(released)",
            "ExpressionAttributeValues": {":yes": {"BOOL": True}},
        }
        self._write([{"Update": update}], states, additions)

    def _write(
        self, own: Sequence[Mapping[str, Any]], states: Sequence[State], additions: Sequence[Addition]
    ) -> Mapping[str, Any] | None:
        """Write ``own``, states and additions, all or none. Returns why one of ``own`` was refused, or ``None``.

        Raises ``Contended``.
        """
        client, now = aws.client("dynamodb"), int(time.time())
        parts = [
            *own,
            *(velocity.put(self._velocity_table, state, now) for state in states),
            *(velocity.add(self._velocity_table, addition, now) for addition in additions),
        ]
        with aws.available(_DEPENDENCY):
            try:
                client.transact_write_items(TransactItems=parts)
            except client.exceptions.TransactionCanceledException as cancelled:
                reasons = cancelled.response["CancellationReasons"]
                for reason in reasons[: len(own)]:
                    if reason["Code"] == "ConditionalCheckFailed":
                        return reason  # type: ignore[no-any-return]
                codes = {reason["Code"] for reason in reasons}
                if codes & _CONTENDED:
                    raise Contended from None
                if codes & _OVERLOADED:
                    raise Unavailable(_DEPENDENCY) from cancelled
                raise
        return None

    def settle(self, transaction: Transaction, audit_key: str, audit_hash: str) -> None:
        client = aws.client("dynamodb")
        with aws.available(_DEPENDENCY):
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


def to_item(transaction: Transaction) -> dict[str, Any]:
    """``transaction`` as the table holds it when it is written first."""
    values = transactions.flat(transaction)
    values["day_shard"] = transactions.day_shard(transaction.transaction_id, transaction.created_at)
    return {name: _attribute(value) for name, value in values.items() if value is not None}


def _attribute(value: bool | str | int | tuple[str, ...]) -> dict[str, Any]:
    match value:
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case _:
            return {"L": [{"S": text} for text in value]}


def from_item(item: Mapping[str, Any]) -> Transaction:
    """The transaction in ``item``. While an amendment is being recorded, its status is the one from before."""
    values = {name: _value(attribute) for name, attribute in item.items()}
    if values["status"] == transactions.AMENDING and "amending" in item:
        history = item.get("history", {"L": []})["L"]
        values["status"] = json.loads(history[-1]["S"])["status"] if history else values["outcome"]
    of_card = {name.removeprefix("card_"): value for name, value in values.items() if name in _CARD_FIELDS}
    card = Card(**{"brand": None} | of_card)  # type: ignore[arg-type]
    known = {field.name for field in fields(Transaction)}
    return Transaction(card=card, **{name: value for name, value in values.items() if name in known})  # type: ignore[arg-type]


def _value(attribute: Mapping[str, Any]) -> bool | str | int | tuple[str, ...]:
    [(kind, value)] = attribute.items()
    match kind:
        case "BOOL":
            return bool(value)
        case "N":
            return int(value)
        case "L":
            return tuple(text["S"] for text in value)
        case _:
            return str(value)
