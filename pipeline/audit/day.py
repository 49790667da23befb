"""One day of the audit log in S3, and of the ledger in DynamoDB."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any

import boto3
from botocore.exceptions import ClientError

import names
from lambdas.payments import transactions
from lambdas.payments.audit import prefix
from pipeline.audit.verification import LedgerEntry

_READERS = 8
_REASONS = {
    "AccessDenied": "access is denied; to who may not list the bucket, S3 answers so for a missing record too",
    "InvalidObjectState": "it is archived; restore the records of its day, then verify again (docs/payments.md)",
}
"""What S3's error codes mean for a record."""
_OUTCOMES = ("approved", "review", "declined")


class RecordNotRead(Exception):
    """S3 holds or may hold a record, and does not give it. The message names the record and the reason."""


@dataclass(kw_only=True)
class Day:
    """``day`` in ``bucket`` and ``table``."""

    s3: Any
    dynamodb: Any
    bucket: str
    table: str
    day: date

    @classmethod
    def of_environment(cls, aws: boto3.Session, environment: str, day: date) -> "Day":
        """A day of the platform of ``environment``. The outputs of its stack name the bucket and the table."""
        stacks = aws.client("cloudformation").describe_stacks(StackName=names.stack(environment))
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks["Stacks"][0]["Outputs"]}
        return cls(
            s3=aws.client("s3"),
            dynamodb=aws.client("dynamodb"),
            bucket=outputs["AuditLogBucket"],
            table=outputs["TransactionTableName"],
            day=day,
        )

    def records(self) -> Iterator[tuple[str, bytes]]:
        """Keys and bodies of the day's records. Raises ``RecordNotRead``."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix(self.day.isoformat())
        )
        with ThreadPoolExecutor(_READERS) as readers:
            for page in pages:
                keys = [found["Key"] for found in page.get("Contents", [])]
                for key, body in zip(keys, readers.map(self.record, keys), strict=True):
                    if body is not None:  # else it was deleted after the listing, and is missing
                        yield key, body

    def transactions(self) -> list[LedgerEntry]:
        """The day's transactions.

        Those from before the index ``by-day`` are in ``by-status`` only, so both are read.
        """
        by_day = [("day_shard", shard) for shard in transactions.day_shards(self.day.isoformat())]
        by_status = [("status", status) for status in (transactions.PENDING, *_OUTCOMES)]
        found = [item for key in by_day for item in self._items(names.Index.BY_DAY, *key)]
        found += [item for key in by_status for item in self._items(names.Index.BY_STATUS, *key)]
        # An index may show a transaction as it was a moment ago. The outcome is the newer state.
        found.sort(key=lambda item: item["status"]["S"] != transactions.PENDING)
        return list({item["transaction_id"]["S"]: _entry(item) for item in found}.values())

    def record(self, key: str) -> bytes | None:
        """The body of the record under ``key``, of any day; ``None`` when there is none. Raises ``RecordNotRead``."""
        try:
            body: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "NoSuchKey":
                return None
            raise RecordNotRead(f"{key}: {_REASONS.get(code, error)}") from error
        return body

    def _items(self, index: str, key: str, value: str) -> Iterator[dict[str, Any]]:
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.table,
            IndexName=index,
            KeyConditionExpression="#key = :value AND begins_with(created_at, :day)",
            ExpressionAttributeNames={"#key": key},
            ExpressionAttributeValues={":value": {"S": value}, ":day": {"S": self.day.isoformat()}},
        )
        for page in pages:
            yield from page["Items"]


def _entry(item: Mapping[str, Any]) -> LedgerEntry:
    return LedgerEntry(
        transaction_id=item["transaction_id"]["S"],
        created_at=item["created_at"]["S"],
        settled=item["status"]["S"] != transactions.PENDING,
        audit_hash=item.get("audit_hash", {}).get("S", ""),
    )
