"""The local DynamoDB counts capacity as AWS's documentation does: in its answers, and as metrics."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from ministack.core.responses import request_scope
from ministack.services import cloudwatch, dynamodb

from localcloud.emulator import capacity

BY_OWNER, SHORT = "by-owner", "short"
KB = 1024


@pytest.fixture(autouse=True)
def tables() -> Iterator[None]:
    """``things``: by ``id``, with an index of all attributes by ``owner`` and one of the keys alone by ``colour``.
    ``others``: without an index."""
    with request_scope("111111111111", "eu-west-1"):
        call("CreateTable", **table("things", owner=(BY_OWNER, "ALL"), colour=(SHORT, "KEYS_ONLY")))
        call("CreateTable", **table("others"))
        yield
        dynamodb._tables._data.clear()
        dynamodb._txn_idempotency._data.clear()
        cloudwatch._metrics._data.clear()


def table(name: str, **indexes: tuple[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "TableName": name,
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": each, "AttributeType": "S"} for each in ("id", *indexes)],
        "BillingMode": "PAY_PER_REQUEST",
    }
    if indexes:
        made["GlobalSecondaryIndexes"] = [
            {
                "IndexName": index,
                "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
                "Projection": {"ProjectionType": projection},
            }
            for key, (index, projection) in indexes.items()
        ]
    return made


def call(operation: str, **request: Any) -> dict[str, Any]:
    headers = {"x-amz-target": f"DynamoDB_20120810.{operation}"}
    _, _, body = asyncio.run(dynamodb.handle_request("POST", "/", headers, json.dumps(request).encode(), {}))
    answer: dict[str, Any] = json.loads(body)
    return answer


def item(id: str, size: int, **more: str) -> dict[str, Any]:
    """An item of this size in bytes."""
    made = {"id": {"S": id}, **{name: {"S": value} for name, value in more.items()}, "data": {"S": ""}}
    made["data"] = {"S": "x" * (size - dynamodb._item_size_bytes(made))}
    return made


def put(id: str, size: int, of: str = "others", **more: str) -> None:
    call("PutItem", TableName=of, Item=item(id, size, **more))


def published() -> dict[tuple[str, ...], float]:
    """The sum of each metric: by its name without what all have, and its dimensions."""
    found: Counter[tuple[str, ...]] = Counter()
    for (namespace, name, _), points in cloudwatch._metrics.items():
        assert namespace == "AWS/DynamoDB"
        for point in points:
            short = name.removeprefix("Consumed").removesuffix("CapacityUnits")
            found[short, *point["Dimensions"].values()] += point["Value"] * point.get("Count", 1)
    return dict(found)


def consumed(operation: str, **request: Any) -> dict[tuple[str, ...], float]:
    """What the operation consumes by the metrics. Its answer must say the same."""
    cloudwatch._metrics._data.clear()
    answer = call(operation, **request, ReturnConsumedCapacity="INDEXES")
    told = answer.get("ConsumedCapacity", [])
    metrics = published()
    if "__type" not in answer:
        parts: list[float] = []
        for each in told if isinstance(told, list) else [told]:
            own = [each["Table"], *(p for kind in capacity.INDEXES for p in each.get(kind, {}).values())]
            assert each["CapacityUnits"] == sum(part["CapacityUnits"] for part in own)
            parts += [part["CapacityUnits"] for part in own if part["CapacityUnits"]]
        assert sorted(parts) == sorted(metrics.values())
    return metrics


@pytest.mark.parametrize(
    ("size", "late", "consistent"),
    [(3500, 0.5, 1), (4 * KB, 0.5, 1), (8 * KB, 1, 2), (8 * KB + 1, 1.5, 3)],
)
def test_a_read_costs_a_unit_for_each_4_kb_and_half_if_it_may_be_late(size: int, late: float, consistent: int) -> None:
    put("a", size)
    key = {"id": {"S": "a"}}

    assert consumed("GetItem", TableName="others", Key=key) == {("Read", "others"): late}
    assert consumed("GetItem", TableName="others", Key=key, ConsistentRead=True) == {("Read", "others"): consistent}
    get = {"Get": {"TableName": "others", "Key": key}}
    assert consumed("TransactGetItems", TransactItems=[get]) == {("Read", "others"): 2 * consistent}


def test_a_projection_and_a_missing_item_cost_what_the_whole_item_and_the_smallest_one_do() -> None:
    put("a", 8 * KB)

    def read(id: str) -> Any:
        return consumed("GetItem", TableName="others", Key={"id": {"S": id}}, ProjectionExpression="id")

    assert read("a") == {("Read", "others"): 1}
    assert read("none") == {("Read", "others"): 0.5}


def test_a_batch_rounds_each_item_up_by_itself() -> None:
    # Given items of 1.5 KB and 6.5 KB: 4 KB and 8 KB, which are 12 KB and not 8 KB
    put("a", 1536)
    put("b", 6656)
    # When they are read in a batch, then it costs three units, or half if it may be late
    keys = [{"id": {"S": id}} for id in "ab"]
    for consistent, units in ((True, 3), (False, 1.5)):
        asked = {"others": {"Keys": keys, "ConsistentRead": consistent}}
        assert consumed("BatchGetItem", RequestItems=asked) == {("Read", "others"): units}


def test_a_query_and_a_scan_round_up_the_sum_of_what_they_read_before_their_filter() -> None:
    # Given 10 items of 40.8 KB together: 44 KB
    for number in range(10):
        put(f"{number}", 4178, of="things", owner="ann", colour="red" if number else "blue")
    # When they are read by the index that has all of them, or by a scan that filters
    names = {"ExpressionAttributeNames": {"#o": "owner"}, "ExpressionAttributeValues": {":o": {"S": "ann"}}}
    query = {"TableName": "things", "IndexName": BY_OWNER, "KeyConditionExpression": "#o = :o", **names}
    scan = {"TableName": "things", "FilterExpression": "#o <> :o", "Select": "COUNT", **names}
    # Then the index, or the table, has consumed 11 units; half of them, because the read may be late
    assert consumed("Query", **query) == {("Read", "things", BY_OWNER): 5.5}
    assert consumed("Scan", **scan) == {("Read", "things"): 5.5}
    assert consumed("Scan", **scan, ConsistentRead=True) == {("Read", "things"): 11}
    # And an index of keys reads keys alone, and a page its own items
    assert consumed("Scan", TableName="things", IndexName=SHORT) == {("Read", "things", SHORT): 0.5}
    assert consumed("Query", **query, Limit=2) == {("Read", "things", BY_OWNER): 1.5}


@pytest.mark.parametrize(("size", "units"), [(500, 1), (KB, 1), (KB + 1, 2), (3584, 4)])
def test_a_write_costs_a_unit_for_each_1_kb_and_two_in_a_transaction(size: int, units: int) -> None:
    assert consumed("PutItem", TableName="others", Item=item("a", size)) == {("Write", "others"): units}
    batch = {"others": [{"PutRequest": {"Item": item("b", size)}}, {"DeleteRequest": {"Key": {"id": {"S": "a"}}}}]}
    assert consumed("BatchWriteItem", RequestItems=batch) == {("Write", "others"): 2 * units}
    write = {"Put": {"TableName": "others", "Item": item("c", size)}}
    assert consumed("TransactWriteItems", TransactItems=[write]) == {("Write", "others"): 2 * units}


def test_a_write_counts_the_larger_of_the_item_before_and_after() -> None:
    put("a", 3 * KB)
    key = {"id": {"S": "a"}}

    smaller = {"UpdateExpression": "SET #d = :d", "ExpressionAttributeNames": {"#d": "data"}}
    values = {"ExpressionAttributeValues": {":d": {"S": "x"}}}
    assert consumed("UpdateItem", TableName="others", Key=key, **smaller, **values) == {("Write", "others"): 3}
    assert consumed("PutItem", TableName="others", Item=item("a", 5 * KB)) == {("Write", "others"): 5}
    assert consumed("DeleteItem", TableName="others", Key=key) == {("Write", "others"): 5}
    assert consumed("DeleteItem", TableName="others", Key=key) == {("Write", "others"): 1}


def test_a_failed_condition_costs_what_the_write_would() -> None:
    put("a", 3 * KB)
    never = {"ConditionExpression": "attribute_not_exists(id)"}
    new, old = {"TableName": "others", "Item": item("a", 5 * KB)}, {"TableName": "others", "Key": {"id": {"S": "a"}}}

    assert consumed("PutItem", **new, **never) == {("Write", "others"): 5}
    assert consumed("DeleteItem", **old, **never) == {("Write", "others"): 3}
    check = {"ConditionCheck": {**old, **never}}
    assert consumed("TransactWriteItems", TransactItems=[check]) == {("Write", "others"): 6}


def test_a_request_that_is_refused_as_malformed_costs_nothing() -> None:
    for operation, request in (
        ("GetItem", {"TableName": "others", "Key": {"wrong": {"S": "a"}}}),
        ("GetItem", {"TableName": "others", "Key": ["a"]}),
        ("PutItem", {"TableName": "nowhere", "Item": item("a", 100)}),
        ("TransactWriteItems", {"TransactItems": ["a", {}]}),
        ("BatchGetItem", {"RequestItems": {"others": {}}}),
    ):
        assert consumed(operation, **request) == {}


def test_a_repeated_transaction_reads_its_items() -> None:
    write = {"Put": {"TableName": "others", "Item": item("a", 5 * KB)}}
    request = {"TransactItems": [write], "ClientRequestToken": "once"}

    assert consumed("TransactWriteItems", **request) == {("Write", "others"): 10}
    assert consumed("TransactWriteItems", **request) == {("Read", "others"): 4}


def test_an_index_costs_the_writes_of_its_own_entries() -> None:
    def put(**more: str) -> Any:
        return consumed("PutItem", TableName="things", Item=item("a", 2 * KB, **more))

    own, by_owner, short = ("Write", "things"), ("Write", "things", BY_OWNER), ("Write", "things", SHORT)
    # Given no entry, then an index without the item's key costs nothing
    assert put() == {own: 2}
    # A new entry is one write of what the index has of the item: all, or keys
    assert put(owner="ann", colour="red") == {own: 2, by_owner: 2, short: 1}
    # Nothing that the index has was changed
    assert put(owner="ann", colour="red") == {own: 2}
    # Another attribute: the index of keys is as it was
    assert put(owner="ann", colour="red", other="x") == {own: 2, by_owner: 2}
    # Another key: one entry is deleted, and one is made
    assert put(owner="bob", colour="red", other="x") == {own: 2, by_owner: 4}
    # The key is gone: one entry is deleted
    assert put(owner="bob", other="x") == {own: 2, by_owner: 2, short: 1}
    # The item is gone
    assert consumed("DeleteItem", TableName="things", Key={"id": {"S": "a"}}) == {own: 2, by_owner: 2}


def test_who_does_not_ask_gets_the_answer_alone() -> None:
    put("a", 100)
    key = {"TableName": "others", "Key": {"id": {"S": "a"}}}

    assert call("GetItem", **key).keys() == {"Item"}
    assert call("GetItem", **key, ReturnConsumedCapacity="TOTAL")["ConsumedCapacity"] == {
        "TableName": "others",
        "CapacityUnits": 0.5,
    }


def test_a_local_index_takes_its_table_s_capacity() -> None:
    keys = [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}]
    names = [{"AttributeName": name, "AttributeType": "S"} for name in ("id", "at", "owner")]
    by_owner = [keys[0], {"AttributeName": "owner", "KeyType": "RANGE"}]
    index = {"IndexName": BY_OWNER, "KeySchema": by_owner, "Projection": {"ProjectionType": "ALL"}}
    call(
        "CreateTable", TableName="local", KeySchema=keys, AttributeDefinitions=names, LocalSecondaryIndexes=[index],
        BillingMode="PAY_PER_REQUEST",
    )  # fmt: skip
    new = {"TableName": "local", "Item": item("a", 2 * KB, at="1", owner="ann"), "ReturnConsumedCapacity": "INDEXES"}

    assert call("PutItem", **new)["ConsumedCapacity"] == {
        "TableName": "local",
        "CapacityUnits": 4,
        "Table": {"CapacityUnits": 2},
        "LocalSecondaryIndexes": {BY_OWNER: {"CapacityUnits": 2}},
    }
    assert published() == {("Write", "local"): 4}
