"""Global secondary indexes follow their table after a lag, as in DynamoDB: a query reads the table as it was then.

Source: Amazon DynamoDB Developer Guide, "Using Global Secondary Indexes", data synchronization. DynamoDB's lag varies;
here each write takes the same time (``Settings.index_lag_ms``).
"""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ministack.services import dynamodb

from localcloud.emulator.compact_items import compact
from localcloud.emulator.own_api import settings
from localcloud.emulator.upstream import Function, original, replaces

Table = dict[str, Any]

_set = original(dynamodb, "_set_item")
_remove = original(dynamodb, "_remove_item")

_recent: deque[tuple[float, Table, Any, Any, Any]] = deque()
"""Writes that the indexes do not show yet, oldest first: time, table, keys, and the item before (``None``: new)."""


@replaces(dynamodb, "_set_item")
def set_item(_: Function, table: Table, partition: Any, sort: Any, item: Any) -> Any:
    before = _set(table, partition, sort, compact(item))
    _remember(table, partition, sort, before)
    return before


@replaces(dynamodb, "_remove_item")
def remove_item(_: Function, table: Table, partition: Any, sort: Any) -> Any:
    before = _remove(table, partition, sort)
    _remember(table, partition, sort, before)
    return before


@replaces(dynamodb, "_query")
def query(answer: Function, request: dict[str, Any]) -> Any:
    return _with_lag(answer, request)


@replaces(dynamodb, "_scan")
def scan(answer: Function, request: dict[str, Any]) -> Any:
    return _with_lag(answer, request)


def _with_lag(answer: Function, request: dict[str, Any]) -> Any:
    table = dynamodb._tables.get(dynamodb._normalize_table_name(request.get("TableName")))
    index = request.get("IndexName")
    if not table or not any(each["IndexName"] == index for each in table.get("GlobalSecondaryIndexes", [])):
        return answer(request)
    with _as_it_was(table):
        return answer(request)


def _remember(table: Table, partition: Any, sort: Any, before: Any) -> None:
    _recent.append((time.monotonic(), table, partition, sort, before))
    _forget()


def _forget() -> None:
    """Drop the writes that the indexes show by now."""
    shown = time.monotonic() - settings().index_lag_ms / 1000
    while _recent and _recent[0][0] <= shown:
        _recent.popleft()


@contextmanager
def _as_it_was(table: Table) -> Iterator[None]:
    """Undo the table's recent writes, and do them again at the end. No other request runs meanwhile: an answer is
    computed without a pause on the event loop."""
    _forget()
    now: dict[tuple[Any, Any], Any] = {}
    for _, changed, partition, sort, before in reversed(_recent):
        if changed is table:
            now.setdefault((partition, sort), table["items"].get(partition, {}).get(sort))
            _put(table, partition, sort, before)
    try:
        yield
    finally:
        for (partition, sort), item in now.items():
            _put(table, partition, sort, item)


def _put(table: Table, partition: Any, sort: Any, item: Any) -> None:
    if item is None:
        _remove(table, partition, sort)
    else:
        _set(table, partition, sort, item)
