"""The stored books: audit records and seals in S3, transactions in DynamoDB."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from lambdas.books import imports
from lambdas.books.agreement import Row
from lambdas.books.seals import FOLDER, folder
from lambdas.books.verification import NotRead
from lambdas.payments import transactions
from lambdas.payments.amendments import Status
from lambdas.payments.audit import prefix

_READERS = 8
_NEVER = datetime.min.replace(tzinfo=UTC)
_OF_AMENDMENT = re.compile(r"/(txn_[0-9a-f]{32})\.\d+\.json$")
_OF_PAYMENT = re.compile(r"/(txn_[0-9a-f]{32})\.json$")
_AT_ONCE = 16
"""The most records of imports in memory: each has up to a megabyte."""
_MOST_KEYS = 100
"""The most items of one BatchGetItem."""
_BY_DAY, _BY_STATUS = "by-day", "by-status"
_STATUSES = (transactions.PENDING, transactions.AMENDING, *Status)
"""What the table's items have as status."""
_REASONS = {
    "AccessDenied": "access is denied; to who may not list the bucket, S3 answers so for a missing record too",
    "InvalidObjectState": "it is archived; restore the records of its day, then verify again (docs/audit.md)",
}
"""What S3's error codes mean for a record."""


@dataclass(kw_only=True)
class StoredBooks:
    """``verification.Books`` of ``day`` in ``bucket`` and ``table``."""

    s3: Any
    dynamodb: Any
    bucket: str
    table: str
    day: str

    def records(self) -> Iterator[tuple[str, bytes]]:
        with ThreadPoolExecutor(_READERS) as readers:
            for keys in self._keys(prefix(self.day)):
                yield from self._bodies(keys, readers)
            for keys in self._keys(imports.folder(self.day)):
                yield from self._large_bodies(keys, readers)

    def amended(self) -> list[str]:
        """The ids of the transactions of any day that were amended on this one."""
        return self._recorded(_OF_AMENDMENT)

    def _recorded(self, form: re.Pattern[str]) -> list[str]:
        """The ids in the keys of the day's records. S3 lists each that was written."""
        keys = (key for keys in self._keys(prefix(self.day)) for key in keys)
        return sorted({found[1] for key in keys if (found := form.search(key))})

    def imports(self) -> Iterator[tuple[str, bytes, bool]]:
        """An import is open for a record that was written after its end: it goes on."""
        written = {key: at for page in self._pages(imports.FOLDER) for key, at in page}
        names = {key: name for key in written if (name := imports.Name.of(key))}
        ended: dict[str, datetime] = {}
        for key, name in names.items():
            if name.ended:
                ended[name.import_id] = max(written[key], ended.get(name.import_id, written[key]))
        keys = sorted((key for key, name in names.items() if name.may_hold(self.day)), key=imports.order)
        with ThreadPoolExecutor(_READERS) as readers:
            for key, body in self._large_bodies(keys, readers):
                yield key, body, written[key] > ended.get(names[key].import_id, _NEVER)

    def _keys(self, folder_name: str) -> Iterator[list[str]]:
        for page in self._pages(folder_name):
            yield [key for key, _ in page]

    def _pages(self, folder_name: str) -> Iterator[list[tuple[str, datetime]]]:
        """Keys, and when they were written."""
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=folder_name):
            yield [(found["Key"], found["LastModified"]) for found in page.get("Contents", [])]

    def _large_bodies(self, keys: Sequence[str], readers: ThreadPoolExecutor) -> Iterator[tuple[str, bytes]]:
        for begin in range(0, len(keys), _AT_ONCE):
            yield from self._bodies(keys[begin : begin + _AT_ONCE], readers)

    def _bodies(self, keys: Sequence[str], readers: ThreadPoolExecutor) -> Iterator[tuple[str, bytes]]:
        for key, body in zip(keys, readers.map(self.record, keys), strict=True):
            if body is not None:  # else it was deleted after the listing, and is missing
                yield key, body

    def transactions(self) -> list[Row]:
        """Those from before the index ``by-day`` are in ``by-status`` only, so both are read."""
        shards = transactions.day_shards(self.day)
        found = [row for shard in shards for row in self._query(_BY_DAY, "day_shard", shard, self.day)]
        found += [row for status in _STATUSES for row in self._query(_BY_STATUS, "status", status, self.day)]
        # An index may show a transaction as it was a moment ago. The newest state counts.
        found.sort(key=lambda row: (row.settled, len(row.history), row.amending is not None))
        return list({row.transaction_id: row for row in found}.values())

    def complete(self) -> list[Row]:
        """The day's transactions as they are now: those that the indexes show, and those that they do not show yet.

        Each payment has its record before it is settled and answered, so only one that is being recorded at this moment
        can be missing. Once the indexes follow, they show it, or its record is listed.
        """
        ids = {*(row.transaction_id for row in self.transactions()), *self._recorded(_OF_PAYMENT)}
        return [row for row in self.rows(sorted(ids)).values() if row.created_at.startswith(self.day)]

    def under_way(self) -> list[str]:
        """The ids of the transactions, of any day, of which something is being recorded, as the index shows them."""
        statuses = (transactions.PENDING, transactions.AMENDING)
        return sorted({row.transaction_id for each in statuses for row in self._query(_BY_STATUS, "status", each, "")})

    def record(self, key: str) -> bytes | None:
        return _read(self.s3, self.bucket, key)

    def rows(self, transaction_ids: Sequence[str]) -> Mapping[str, Row]:
        wanted = [{"transaction_id": {"S": each}} for each in transaction_ids]
        found: dict[str, Row] = {}
        while wanted:
            now, wanted = wanted[:_MOST_KEYS], wanted[_MOST_KEYS:]
            answer = self.dynamodb.batch_get_item(RequestItems={self.table: {"Keys": now, "ConsistentRead": True}})
            rows = [Row.of(item) for item in answer["Responses"].get(self.table, [])]
            found |= {row.transaction_id: row for row in rows}
            left = answer.get("UnprocessedKeys", {}).get(self.table, {}).get("Keys", [])
            if left and not rows:
                time.sleep(1)  # the table is busy
            wanted += left
        return found

    def _query(self, index: str, key: str, value: str, begin: str) -> Iterator[Row]:
        """``begin``: how the transactions' times begin; empty: all of them."""
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.table,
            IndexName=index,
            KeyConditionExpression="#key = :value" + (" AND begins_with(created_at, :begin)" if begin else ""),
            ExpressionAttributeNames={"#key": key},
            ExpressionAttributeValues={":value": {"S": value}, **({":begin": {"S": begin}} if begin else {})},
        )
        for page in pages:
            yield from map(Row.of, page["Items"])


@dataclass(kw_only=True)
class StoredSeals:
    """``seals.SealStore`` in ``bucket``."""

    s3: Any
    bucket: str

    def first(self) -> str | None:
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=FOLDER, MaxKeys=1).get("Contents", [])
        return found[0]["Key"] if found else None

    def keys(self, day: str) -> Sequence[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=folder(day))
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def read(self, key: str) -> bytes | None:
        return _read(self.s3, self.bucket, key)

    def write(self, key: str, body: bytes) -> bool:
        try:
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType="application/json", IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise
            # The SDK retries when an answer is lost. The retry then finds the object of the first attempt.
            return self.read(key) == body
        return True


def _read(s3: Any, bucket: str, key: str) -> bytes | None:
    try:
        body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "NoSuchKey":
            return None
        raise NotRead(f"{key}: {_REASONS.get(code, error)}") from error
    return body
