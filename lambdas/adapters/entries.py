"""Transactions with their history in DynamoDB. Look-ups read the indexes ``by-customer`` and ``by-status``.

An amendment is stored with its transaction, in one item: ``history`` lists those that are done, ``amending`` holds the
one that is being recorded, each as JSON. Meanwhile the item's status is ``amending``, so that ``by-status`` finds it.
"""

from collections.abc import Mapping
from typing import Any, Final

from lambdas.adapters import aws
from lambdas.adapters.ledger import DynamoLedger, from_item
from lambdas.payments.amendments import Amendment, Entry
from lambdas.payments.search import Page, Position, Search
from lambdas.payments.transactions import AMENDING
from lambdas.payments.velocity import Contended

_DEPENDENCY = "transactions"
_READS_PER_PAGE: Final = 4
"""A page may have to pass over transactions of other merchants. It ends early rather than read on."""


class DynamoEntries(DynamoLedger):
    """``amending.Entries`` and ``search.SearchableEntries``."""

    def get(self, transaction_id: str) -> Entry | None:
        with aws.available(_DEPENDENCY):
            answer = aws.client("dynamodb").get_item(
                TableName=self._table, Key={"transaction_id": {"S": transaction_id}}, ConsistentRead=True
            )
        return _entry(answer["Item"]) if "Item" in answer else None

    def begin(self, entry: Entry, amendment: Amendment) -> None:
        unchanged = "size(history) = :number" if entry.history else "attribute_not_exists(history)"
        # The import of a late change may have written another amount, or what was given back, meanwhile.
        recorded = "attribute_not_exists(audit_hash)" if entry.audit_hash is None else "audit_hash = :audit_hash"
        begun = self._update(
            entry,
            UpdateExpression="SET amending = :amendment, #status = :amending",
            ConditionExpression=f"attribute_not_exists(amending) AND #status = :status AND {unchanged} AND {recorded}",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={
                ":amendment": {"S": amendment.to_json()},
                ":amending": {"S": AMENDING},
                ":status": {"S": entry.transaction.status},
                **({":number": {"N": str(len(entry.history))}} if entry.history else {}),
                **({} if entry.audit_hash is None else {":audit_hash": {"S": entry.audit_hash}}),
            },
        )
        if not begun:
            raise Contended

    def complete(self, before: Entry, after: Entry) -> None:
        if before.amending is None:
            raise ValueError("nothing is being recorded")
        self._update(
            before,
            UpdateExpression="SET #status = :status, history = list_append(if_not_exists(history, :none), :done) "
            "REMOVE amending",
            ConditionExpression="amending = :amendment",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={
                ":amendment": {"S": before.amending.to_json()},
                ":status": {"S": after.transaction.status},
                ":done": {"L": [{"S": after.history[-1].to_json()}]},
                ":none": {"L": []},
            },
        )

    def _update(self, entry: Entry, **expressions: Any) -> bool:
        """Update the transaction's item. Returns whether the condition held."""
        client = aws.client("dynamodb")
        with aws.available(_DEPENDENCY):
            try:
                client.update_item(
                    TableName=self._table,
                    Key={"transaction_id": {"S": entry.transaction.transaction_id}},
                    **expressions,
                )
            except client.exceptions.ConditionalCheckFailedException:
                return False
        return True

    def page(self, search: Search) -> Page:
        found: list[Entry] = []
        query = _query(search)
        for _ in range(_READS_PER_PAGE):
            with aws.available(_DEPENDENCY):
                answer = aws.client("dynamodb").query(TableName=self._table, **query)
            found += map(_entry, answer["Items"])
            last = answer.get("LastEvaluatedKey")
            if len(found) > search.limit:
                return Page(found[: search.limit], _position_of(found[search.limit - 1]))
            if last is None or len(found) == search.limit:
                break
            query["ExclusiveStartKey"] = last
        return Page(found, _position(last) if last else None)


def _query(search: Search) -> dict[str, Any]:
    index, key, value = (
        ("by-customer", "customer_id", search.customer_id)
        if search.customer_id is not None
        else ("by-status", "status", str(search.status))
    )
    query: dict[str, Any] = {
        "IndexName": index,
        "KeyConditionExpression": "#key = :value AND created_at BETWEEN :begin AND :end",
        "ExpressionAttributeNames": {"#key": key},
        # BETWEEN includes its end. No time has fewer characters than the end without its "Z", and equals it so far.
        "ExpressionAttributeValues": {
            ":value": {"S": value},
            ":begin": {"S": search.begin},
            ":end": {"S": search.end.removesuffix("Z")},
        },
        "ScanIndexForward": False,
        "Limit": search.limit,
    }
    if search.merchant_id is not None:
        query["FilterExpression"] = "merchant_id = :merchant"
        query["ExpressionAttributeValues"][":merchant"] = {"S": search.merchant_id}
    if search.after is not None:
        query["ExclusiveStartKey"] = {
            key: {"S": value},
            "created_at": {"S": search.after.created_at},
            "transaction_id": {"S": search.after.transaction_id},
        }
    return query


def _position(key: Mapping[str, Any]) -> Position:
    return Position(key["created_at"]["S"], key["transaction_id"]["S"])


def _position_of(entry: Entry) -> Position:
    return Position(entry.transaction.created_at, entry.transaction.transaction_id)


def _entry(item: Mapping[str, Any]) -> Entry:
    amending = item.get("amending")
    return Entry(
        transaction=from_item(item),
        history=tuple(Amendment.of(each["S"]) for each in item.get("history", {"L": []})["L"]),
        amending=Amendment.of(amending["S"]) if amending else None,
        audit_hash=item.get("audit_hash", {}).get("S"),
    )
