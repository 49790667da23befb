"""One day of the audit log in S3, and of the ledger in DynamoDB."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import boto3
from botocore.exceptions import ClientError

import names
from lambdas.payments import transactions
from lambdas.payments.audit import prefix
from pipeline.audit.verification import SettledTransaction

_READERS = 8
_OUTCOMES = ("approved", "review", "declined")


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
        """Keys and bodies of the day's records."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix(self.day.isoformat())
        )
        with ThreadPoolExecutor(_READERS) as readers:
            for page in pages:
                keys = [found["Key"] for found in page.get("Contents", [])]
                yield from zip(keys, readers.map(self._read, keys), strict=True)

    def settled(self) -> Iterator[SettledTransaction]:
        """The day's transactions that have an outcome."""
        for outcome in _OUTCOMES:
            for item in self._transactions(outcome):
                yield SettledTransaction(
                    transaction_id=item["transaction_id"]["S"],
                    created_at=item["created_at"]["S"],
                    audit_hash=item["audit_hash"]["S"],
                )

    def pending(self, before: datetime) -> list[str]:
        """Ids of the day's pending transactions that were created before this time: a crash left them pending."""
        limit = transactions.timestamp(before)
        pending = self._transactions(transactions.PENDING)
        return [item["transaction_id"]["S"] for item in pending if item["created_at"]["S"] < limit]

    def earlier(self, key: str) -> bytes | None:
        """The body of the record under ``key``, of any day; ``None`` when there is none."""
        try:
            return self._read(key)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise

    def _read(self, key: str) -> bytes:
        body: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body

    def _transactions(self, status: str) -> Iterator[dict[str, Any]]:
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.table,
            IndexName=names.Index.BY_STATUS,
            KeyConditionExpression="#status = :status AND begins_with(created_at, :day)",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":status": {"S": status}, ":day": {"S": self.day.isoformat()}},
        )
        for page in pages:
            yield from page["Items"]
