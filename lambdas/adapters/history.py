"""What an import of payments reads and writes: the ledger in DynamoDB, customers and merchants in PostgreSQL."""

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from lambdas.adapters import aws
from lambdas.adapters.audit_log import S3AuditLog
from lambdas.books import imports
from lambdas.books.agreement import Row
from lambdas.migration.pace import Pace
from lambdas.payments.errors import Unavailable

_DEPENDENCY: Final = "transactions"
_MOST_KEYS: Final = 100
"""Of one BatchGetItem."""
_ATTEMPTS: Final = 8
_LONGEST_PAUSE_SECONDS: Final = 20.0

T = TypeVar("T")


class DynamoHistory:
    """``history.History`` on the table ``TRANSACTION_TABLE``. Writes at the speed of ``pace``.

    A write that the table refuses because it is busy is repeated after a growing, random pause, and slows all that
    follow: an import waits rather than takes the payments' share.
    """

    def __init__(self, pace: Pace, sleep: Callable[[float], None] = time.sleep) -> None:
        self._table = os.environ["TRANSACTION_TABLE"]
        self._pace = pace
        self._sleep = sleep

    def stored(self, transaction_ids: Sequence[str]) -> Mapping[str, Row]:
        found: dict[str, Row] = {}
        wanted = [{"transaction_id": {"S": each}} for each in transaction_ids]
        while wanted:
            now, wanted = wanted[:_MOST_KEYS], wanted[_MOST_KEYS:]
            answer = self._patiently(partial(self._read, now))
            for item in answer["Responses"].get(self._table, []):
                row = Row.of(item)
                found[row.transaction_id] = row
            left = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
            if left:
                self._pace.refuse()
                self._sleep(random.uniform(0, 1))  # noqa: S311  # it spreads attempts, and hides nothing
            wanted += left
        return found

    def _read(self, keys: Sequence[Mapping[str, Any]]) -> Any:
        wanted = {self._table: {"Keys": keys, "ConsistentRead": True}}
        return aws.patient_client("dynamodb").batch_get_item(RequestItems=wanted)

    def write(self, item: Mapping[str, Any], replaces: str | None) -> bool:
        client = aws.patient_client("dynamodb")
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(transaction_id)"}
        if replaces is not None:
            condition = {
                "ConditionExpression": (
                    "audit_hash = :former AND attribute_not_exists(history) AND attribute_not_exists(amending)"
                ),
                "ExpressionAttributeValues": {":former": {"S": replaces}},
            }

        def put() -> bool:
            self._pace.turn()
            begun = time.monotonic()
            try:
                answer = client.put_item(TableName=self._table, Item=item, **condition)
            except client.exceptions.ConditionalCheckFailedException:
                return False
            self._pace.wrote(time.monotonic() - begun)
            if answer.get("ResponseMetadata", {}).get("RetryAttempts", 0):
                self._pace.refuse()  # the SDK had to repeat it
            return True

        return self._patiently(put)

    def _patiently(self, call: Callable[[], T]) -> T:
        for attempt in range(_ATTEMPTS):
            try:
                with aws.available(_DEPENDENCY):
                    return call()
            except Unavailable:
                self._pace.refuse()
                if attempt == _ATTEMPTS - 1:
                    raise
                longest = min(_LONGEST_PAUSE_SECONDS, 0.1 * 2**attempt)
                self._sleep(random.uniform(0, longest))  # noqa: S311  # full jitter
        raise AssertionError("the last attempt returns or raises")


class S3ImportLog(S3AuditLog):
    """``history.ImportLog``."""

    def imported(self, import_id: str) -> Iterator[bytes]:
        client = aws.patient_client("s3")
        with aws.available("audit log"):
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=imports.FOLDER):
                for found in page.get("Contents", []):
                    name = imports.Name.of(found["Key"])
                    if name and name.is_part_of(import_id):
                        yield client.get_object(Bucket=self.bucket, Key=found["Key"])["Body"].read()


class PostgresKnown:
    """``planning.Known``: those whose payments are real. Synthetic ones are the platform's own.

    ``connection``: that of the migration, which sees the customers that the same file brings.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def customers(self, ids: Iterable[str]) -> frozenset[str]:
        sql = "SELECT customer_id FROM customers WHERE customer_id = ANY(CAST(:ids AS text[])) AND NOT synthetic"
        return frozenset(row[0] for row in self._connection.run(sql, ids=list(ids)))

    def merchants(self, ids: Iterable[str]) -> frozenset[str]:
        sql = "SELECT merchant_id FROM merchants WHERE merchant_id = ANY(CAST(:ids AS text[])) AND takes <> 'synthetic'"
        return frozenset(row[0] for row in self._connection.run(sql, ids=list(ids)))
