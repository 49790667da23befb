"""The stored books of a day are read whole, although indexes of the ledger show what was written a moment later."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from lambdas.books.stored import StoredBooks
from lambdas.payments.audit import key_of_id

DAY, BEGAN = "2026-12-01", datetime(2026, 12, 1, tzinfo=UTC)
IMPORT = f"imp_{1:032}"


def item(n: int, **changes: Any) -> dict[str, Any]:
    texts = {"transaction_id": f"txn_{n:032x}", "created_at": f"{DAY}T10:00:00.000000Z", "status": "approved"}
    return {name: {"S": text} for name, text in (texts | changes).items()}


@dataclass
class Store:
    """S3 and DynamoDB. ``shown``: what the indexes show; ``items``: what the table has."""

    shown: list[dict[str, Any]] = field(default_factory=list)
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    written: list[tuple[str, datetime]] = field(default_factory=list)

    def books(self) -> StoredBooks:
        return StoredBooks(s3=self, dynamodb=self, bucket="b", table="t", day=DAY)

    def get_paginator(self, operation: str) -> Any:
        pages = {"query": self._query, "list_objects_v2": self._list}[operation]
        return SimpleNamespace(paginate=lambda **asked: [pages(asked)])

    def _query(self, asked: Mapping[str, Any]) -> Any:
        values = asked["ExpressionAttributeValues"]
        [key] = asked["ExpressionAttributeNames"].values()
        begin = values.get(":begin", {"S": ""})["S"]
        return {
            "Items": [
                each
                for each in self.shown
                if each.get(key) == values[":value"] and each["created_at"]["S"].startswith(begin)
            ]
        }

    def _list(self, asked: Mapping[str, Any]) -> Any:
        found = sorted(each for each in self.written if each[0].startswith(asked["Prefix"]))
        return {"Contents": [{"Key": key, "LastModified": at} for key, at in found]}

    def batch_get_item(self, RequestItems: Any) -> Any:
        [(table, wanted)] = RequestItems.items()
        assert wanted["ConsistentRead"] is True
        ids = [key["transaction_id"]["S"] for key in wanted["Keys"]]
        return {"Responses": {table: [self.items[id] for id in ids if id in self.items]}}

    def get_object(self, Bucket: str, Key: str) -> Any:
        return {"Body": SimpleNamespace(read=lambda: b"{}")}


def test_a_payment_that_no_index_shows_yet_is_read_by_its_record_and_each_as_it_is_now() -> None:
    # Given a payment that the index still shows as approved, one that no index shows yet, and one of the day before
    changed, new = item(1, status="refunded"), item(2)
    earlier = item(3, created_at="2026-11-30T23:59:59.000000Z")
    ids = [each["transaction_id"]["S"] for each in (changed, new, earlier)]
    store = Store(shown=[item(1)], items=dict(zip(ids, (changed, new, earlier), strict=True)))
    store.written = [(key_of_id(id, f"{DAY}T"), BEGAN) for id in ids[:2]]
    store.written.append((key_of_id(ids[2], f"{DAY}T").replace(".json", ".1.json"), BEGAN))
    books = store.books()
    assert [row.transaction_id for row in books.transactions()] == ids[:1]
    # Then both of the day are read, as they are in the table
    assert {row.transaction_id: row.values["status"] for row in books.complete()} == {
        ids[0]: "refunded", ids[1]: "approved",
    }  # fmt: skip
    assert books.amended() == ids[2:]


def test_what_is_being_recorded_is_found_whatever_its_day() -> None:
    shown = [item(1), item(2, status="pending"), item(3, status="amending", created_at="2025-01-01T00:00:00.000000Z")]
    books = Store(shown=shown).books()
    assert books.under_way() == [each["transaction_id"]["S"] for each in shown[1:]]


def test_an_import_is_open_for_records_that_it_wrote_after_its_end() -> None:
    # Given an import that has ended, went on, and gave something up
    part, again, given_up = (
        f"imports/{DAY}/{DAY}_{DAY}.{IMPORT}.{n:016x}{end}.json" for n, end in ((1, ""), (2, ""), (3, ".given-up"))
    )
    end = f"imports/{DAY}/{IMPORT}.{4:016x}.json"
    store = Store()
    store.written = [(key, BEGAN + timedelta(seconds=n)) for n, key in enumerate((part, end, again, given_up))]
    # Then what it gave up comes first, and what was written before its end is closed
    assert [(key, is_open) for key, _, is_open in store.books().imports()] == [
        (given_up, True), (part, False), (again, True),
    ]  # fmt: skip
    # And the end of an older form counts, too
    store.written.append((f"imports/{DAY}/{IMPORT}.json", BEGAN + timedelta(minutes=1)))
    assert not any(is_open for _, _, is_open in store.books().imports())
