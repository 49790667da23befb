"""The capacity that DynamoDB's operations consume: in their answers, and as metrics of tables and global indexes.

Source: Amazon DynamoDB Developer Guide, "DynamoDB read and write operations" and "Using Global Secondary Indexes". What
a cancelled transaction consumes is not documented: here it is what its writes would, as failed conditional writes.
PartiQL is not counted. MiniStack computes capacity for those alone that ask, without the sizes of what is read.
"""

import contextlib
import functools
import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from ministack.services import dynamodb

from localcloud.emulator import metrics
from localcloud.emulator.upstream import Function, original, replaces

Item = dict[str, Any]
Units = dict[tuple[str, str | None], float]
"""By table and index; ``None`` is the table itself."""

READ, WRITE = "Read", "Write"
BYTES = {READ: 4096, WRITE: 1024}
"""Of a unit."""
INDEXES = ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")

_size = original(dynamodb, "_item_size_bytes")
_projected = original(dynamodb, "_apply_index_projection")
_item = original(dynamodb, "_get_item_by_key")
_name = original(dynamodb, "_normalize_table_name")
_known_token = original(dynamodb, "_txn_token_lookup")

_page: list[Item] = []
"""What the newest query or scan read, before its filter. An answer is computed without a pause on the event loop."""


@replaces(dynamodb, "_paginate_evaluated_items")
def paginate(paginate: Function, *args: Any) -> Any:
    found = paginate(*args)
    _page[:] = found[0]
    return found


def search(answer: Function, request: dict[str, Any]) -> Any:
    """Answer a query or a scan, and count what it consumes."""
    status, headers, body = answer(request)
    if status == 200:
        table, index = _name(request["TableName"]), request.get("IndexName")
        size = sum(_size(_projected(item, dynamodb._tables[table], index)) for item in _page)
        units = {(table, index): _times(READ, request) * _units(READ, size)}
        body = _counted(READ, units, request, body)
    return status, headers, body


def operate(kind: str, answer: Function, request: dict[str, Any]) -> Any:
    """Answer a request for items that it names, and count what it consumes."""
    if kind is WRITE and (token := request.get("ClientRequestToken")) and _known_token(token):
        kind = READ  # a repeated transaction only reads
    items = list(_named(kind, request))
    before = [_stored(table, key) for table, key, _ in items]
    status, headers, body = answer(request)
    refused = kind is WRITE and status == 400 and b'"ConditionalCheckFailed' in body
    if status != 200 and not refused:
        return status, headers, body
    units: Units = defaultdict(float)
    for (table, key, times), old in zip(items, before, strict=True):
        if kind is READ:
            units[table, None] += times * _units(kind, _size(old))
        elif refused:
            units[table, None] += times * _units(kind, max(_size(old), _size(key)))
        else:
            _count_write(units, table, old, _stored(table, key), times)
    return status, headers, _counted(kind, units, {} if refused else request, body)


for name in ("_query", "_scan"):
    replaces(dynamodb, name)(search)
for name in ("_get_item", "_batch_get_item", "_transact_get_items"):
    replaces(dynamodb, name)(functools.partial(operate, READ))
for name in ("_put_item", "_update_item", "_delete_item", "_batch_write_item", "_transact_write_items"):
    replaces(dynamodb, name)(functools.partial(operate, WRITE))


def _named(kind: str, request: dict[str, Any]) -> Iterator[tuple[str, Item, float]]:
    """The items that a request names: the table, the key or the new content, and how many times its size counts.

    Of a malformed request these are the items before the fault. The operation refuses it.
    """
    with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
        if "TransactItems" in request:
            for [action] in map(dict.values, request["TransactItems"]):
                yield _name(action["TableName"]), action.get("Item") or action["Key"], 2
        elif "RequestItems" in request:
            for table, asked in request["RequestItems"].items():
                writes = [write for each in asked for write in each.values()] if kind is WRITE else []
                for key in asked["Keys"] if kind is READ else [each.get("Item") or each["Key"] for each in writes]:
                    yield _name(table), key, _times(kind, asked)
        else:
            yield _name(request["TableName"]), request.get("Item") or request["Key"], _times(kind, request)


def _times(kind: str, asked: Any) -> float:
    """A read that may be late costs half."""
    return 1 if kind is WRITE or asked.get("ConsistentRead") else 0.5


def _units(kind: str, size: int) -> float:
    return max(1.0, -(-size // BYTES[kind]))


def _stored(table: str, key: Item) -> Item | None:
    with contextlib.suppress(AttributeError, KeyError, TypeError):
        return _item(dynamodb._tables[table], key)  # type: ignore[no-any-return]
    return None


def _count_write(units: Units, name: str, old: Item | None, new: Item | None, times: float) -> None:
    table = dynamodb._tables[name]
    sizes = {id(item): _size(item) for item in (old, new)}
    units[name, None] += times * _units(WRITE, max(sizes.values()))
    for kind in INDEXES:
        for index in table.get(kind) or ():
            keys = [key["AttributeName"] for key in index["KeySchema"]]
            entries = [
                _projected(item, table, index["IndexName"])
                for item in (old, new)
                if item and all(key in item for key in keys)
            ]
            if len(entries) == 2 and entries[0] == entries[1]:
                continue
            # An index of all attributes gives the item itself, whose size is known.
            costs = [_units(WRITE, sizes.get(id(entry)) or _size(entry)) for entry in entries]
            if len(entries) == 2 and all(entries[0][key] == entries[1][key] for key in keys):
                costs = [max(costs)]  # otherwise one entry is deleted, and one made
            if costs:
                units[name, index["IndexName"]] += sum(costs)


def _indexes(table: str, kind: str) -> list[str]:
    return [index["IndexName"] for index in dynamodb._tables[table].get(kind) or ()]


def _counted(kind: str, units: Units, request: dict[str, Any], body: bytes) -> bytes:
    """Publish the units. Returns the answer, with them if the request asks for it."""
    published: Units = defaultdict(float)
    for (table, index), count in units.items():
        is_local = index in _indexes(table, INDEXES[1])  # it takes its table's capacity
        published[table, None if is_local else index] += count
    for (table, index), count in published.items():
        dimensions = {"TableName": table} | ({"GlobalSecondaryIndexName": index} if index else {})
        metrics.record("AWS/DynamoDB", f"Consumed{kind}CapacityUnits", count, "Count", dimensions)
    asked = request.get("ReturnConsumedCapacity", "NONE")
    if asked == "NONE":
        return body
    transaction = "TransactItems" in request
    found = [_told(kind, units, table, asked, transaction) for table in dict.fromkeys(table for table, _ in units)]
    told = found if transaction or "RequestItems" in request else found[0]
    return json.dumps(json.loads(body) | {"ConsumedCapacity": told}, ensure_ascii=False).encode()


def _told(kind: str, units: Units, table: str, asked: str, transaction: bool) -> dict[str, Any]:
    def capacity(count: float) -> dict[str, float]:
        return {"CapacityUnits": count} | ({f"{kind}CapacityUnits": count} if transaction else {})

    parts = {index: count for (of, index), count in units.items() if of == table}
    told: dict[str, Any] = {"TableName": table, **capacity(sum(parts.values()))}
    if asked == "INDEXES":
        told["Table"] = capacity(parts.get(None, 0.0))
        for each in INDEXES:
            if its := {name: capacity(parts[name]) for name in _indexes(table, each) if name in parts}:
                told[each] = its
    return told
