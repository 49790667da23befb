"""A fake AWS for the commands of the audit: a day's objects and items, page by page, while payments arrive."""

import io
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from pipeline.audit.__main__ import main
from tests.unit.lambdas.test_processing import START, Bench

Item = dict[str, Any]


class Cloud:
    """A platform with a function that pays, and everything that an attacker may change."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.forge: Callable[[dict[str, Item]], None] = lambda items: None
        """Changes the table's items, by id, before they are read."""
        self.by_status = True
        """Whether the table still has the older index."""
        self.on_read: Callable[[str], None] = lambda what: None
        """Called after each page that was read."""
        self._function = self.bench.function()
        self._paid = 0

    def pay(self) -> None:
        """Make a payment with the same function as before: its record continues the chain."""
        self._paid += 1
        self.bench.pay(self._function, key=f"key {self._paid}", customer_id=f"c{self._paid}")

    def client(self, service: str) -> "Cloud":
        return self

    def describe_stacks(self, StackName: str) -> Any:
        names = ("AuditLogBucket", "TransactionTableName")
        return {"Stacks": [{"Outputs": [{"OutputKey": name, "OutputValue": name} for name in names]}]}

    def get_object(self, Bucket: str, Key: str) -> Any:
        if Key not in self.bench.audit_log.records:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return {"Body": io.BytesIO(self.bench.audit_log.records[Key].body)}

    def get_paginator(self, operation: str) -> Any:
        return {"list_objects_v2": _Paginator(self._objects), "query": _Paginator(self._query)}[operation]

    def _objects(self, Prefix: str, **_: Any) -> Iterator[dict[str, Any]]:
        """One key a page, in order, from the keys that exist when the page is requested."""
        last = ""
        while left := sorted(key for key in self.bench.audit_log.records if key.startswith(Prefix) and key > last):
            last = left[0]
            yield {"Contents": [{"Key": last}]}
            self.on_read("objects")

    def batch_get_item(self, RequestItems: Any) -> Any:
        [(table, wanted)] = RequestItems.items()
        ids = [key["transaction_id"]["S"] for key in wanted["Keys"]]
        items = self.items()
        return {"Responses": {table: [items[id] for id in ids if id in items]}}

    def items(self) -> dict[str, Item]:
        items = self.bench.ledger.rows()
        self.forge(items)
        return items

    def _query(self, IndexName: str, ExpressionAttributeValues: Any, **_: Any) -> Iterator[dict[str, Any]]:
        value, key = ExpressionAttributeValues[":value"], {"by-day": "day_shard", "by-status": "status"}[IndexName]
        shown = self.items().values() if key == "day_shard" or self.by_status else ()
        day = ExpressionAttributeValues[":day"]["S"]
        yield {"Items": [item for item in shown if item.get(key) == value and item["created_at"]["S"].startswith(day)]}
        self.on_read("items")


class _Paginator:
    def __init__(self, paginate: Callable[..., Iterator[dict[str, Any]]]) -> None:
        self.paginate = paginate


def verify(*options: str) -> int:
    """The exit code of the command for the day of the payments."""
    return main(["verify", "--env", "dev", "--day", START.date().isoformat(), *options])
