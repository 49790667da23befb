"""Velocity in DynamoDB: table ``counter``, one item for each state, watched set of cards and part of a total."""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lambdas.adapters import aws
from lambdas.payments.errors import Unavailable
from lambdas.payments.velocity import KEPT_SECONDS, Addition, State, Watch

_DEPENDENCY = "velocity"
_TOTAL_SECONDS = 2


class DynamoVelocity:
    """``velocity.Velocity`` on the table ``VELOCITY_TABLE``."""

    def __init__(self) -> None:
        self._table = os.environ["VELOCITY_TABLE"]
        self._totals: dict[str, tuple[float, int]] = {}
        """The total that was asked for last, by its first key: when it was read, and what."""

    def read(self, keys: Sequence[str]) -> list[State]:
        found = {item["counter"]["S"]: item for item in self._items(keys, consistent=True)}
        return [_state(key, found.get(key)) for key in keys]

    def total(self, keys: Sequence[str]) -> int:
        now = time.monotonic()
        if keys[0] not in self._totals or now - self._totals[keys[0]][0] > _TOTAL_SECONDS:
            total = sum(int(item["minor"]["N"]) for item in self._items(keys, consistent=False))
            self._totals = {keys[0]: (now, total)}
        return self._totals[keys[0]][1]

    def _items(self, keys: Sequence[str], *, consistent: bool) -> list[dict[str, Any]]:
        wanted = {"Keys": [{"counter": {"S": key}} for key in keys], "ConsistentRead": consistent}
        with aws.available(_DEPENDENCY):
            answer = aws.client("dynamodb").batch_get_item(RequestItems={self._table: wanted})
        if answer.get("UnprocessedKeys"):
            raise Unavailable(_DEPENDENCY)
        items: list[dict[str, Any]] = answer["Responses"].get(self._table, [])
        return items

    def watch(self, watches: Iterable[Watch]) -> frozenset[str]:
        return frozenset(watch.rule for watch in watches if self._is_full(watch))

    def full(self, watches: Iterable[Watch]) -> frozenset[str]:
        by_key = {watch.key: watch for watch in watches}
        if not by_key:
            return frozenset()
        sets = {item["counter"]["S"]: item["cards"]["SS"] for item in self._items([*by_key], consistent=True)}
        return frozenset(
            watch.rule
            for key, watch in by_key.items()
            if len(sets.get(key, ())) >= watch.most and watch.card not in sets[key]
        )

    def _is_full(self, watch: Watch) -> bool:
        """Add the card, unless the set is full. So no attack makes an item large, which would make it slow and dear."""
        client = aws.client("dynamodb")
        with aws.available(_DEPENDENCY):
            try:
                client.update_item(
                    TableName=self._table,
                    Key={"counter": {"S": watch.key}},
                    UpdateExpression="ADD cards :card SET expires = :expires",
                    ConditionExpression="attribute_not_exists(cards) OR size(cards) < :most OR contains(cards, :one)",
                    ExpressionAttributeValues={
                        ":card": {"SS": [watch.card]},
                        ":one": {"S": watch.card},
                        ":most": {"N": str(watch.most)},
                        ":expires": {"N": str(watch.expires)},
                    },
                )
            except client.exceptions.ConditionalCheckFailedException:
                return True
        return False


def put(table: str, state: State, now: int) -> dict[str, Any]:
    """The part of a transaction that writes the next version of ``state``, if its version is still the one read."""
    return {
        "Put": {
            "TableName": table,
            "Item": {
                "counter": {"S": state.key},
                "state_version": {"N": str(state.version + 1)},
                "state": {"S": state.to_json()},
                "expires": {"N": str(now + KEPT_SECONDS)},
            },
            **_unchanged_since(state.version),
        }
    }


def add(table: str, addition: Addition, now: int) -> dict[str, Any]:
    """The part of a transaction that adds to a total."""
    return {
        "Update": {
            "TableName": table,
            "Key": {"counter": {"S": addition.key}},
            "UpdateExpression": "ADD minor :minor SET expires = :expires",
            "ExpressionAttributeValues": {
                ":minor": {"N": str(addition.minor)},
                ":expires": {"N": str(now + KEPT_SECONDS)},
            },
        }
    }


def _unchanged_since(version: int) -> dict[str, Any]:
    if version == 0:
        return {"ConditionExpression": "attribute_not_exists(state_version)"}
    return {
        "ConditionExpression": "state_version = :version",
        "ExpressionAttributeValues": {":version": {"N": str(version)}},
    }


def _state(key: str, item: Mapping[str, Any] | None) -> State:
    if item is None:
        return State(key=key)
    return State.of(key, int(item["state_version"]["N"]), item["state"]["S"])
