"""A fake AWS for the commands of the audit: objects, items and a signing key, page by page, while payments arrive."""

import io
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lambdas.payments.audit import Record, digest
from lambdas.sealing import handler
from pipeline.audit.__main__ import main
from tests.unit.lambdas.test_processing import START, Bench

Item = dict[str, Any]


class Cloud:
    """A platform with a function that pays, and everything that an attacker may change."""

    class exceptions:  # as boto3's clients call it
        class KMSInvalidSignatureException(Exception): ...

    def __init__(self) -> None:
        self.bench = Bench()
        self.key = ec.generate_private_key(ec.SECP256R1())
        """The signing key."""
        self.forge: Callable[[dict[str, Item]], None] = lambda items: None
        """Changes the table's items, by id, before they are read."""
        self.by_status = True
        """Whether the table still has the older index."""
        self.on_read: Callable[[str], None] = lambda what: None
        """Called after each page that was read."""
        self.now = START + timedelta(minutes=6)
        self._function = self.bench.function()
        self._paid = 0

    def pay(self) -> None:
        """Make a payment with the same function as before: its record continues the chain."""
        self._paid += 1
        self.bench.pay(self._function, key=f"key {self._paid}", customer_id=f"c{self._paid}")

    def seal(self, at: datetime | None = None) -> str:
        """Let the sealing job run. Returns the key of the seal."""
        self.now = at or self.now
        before = set(self.objects)
        handler.handler({}, None)
        [made] = {key for key in self.objects if key.startswith("seals/")} - before
        return made

    def client(self, service: str, config: object = None) -> "Cloud":
        return self

    def describe_stacks(self, StackName: str) -> Any:
        names = ("AuditLogBucket", "TransactionTableName")
        return {"Stacks": [{"Outputs": [{"OutputKey": name, "OutputValue": name} for name in names]}]}

    @property
    def objects(self) -> dict[str, Record]:
        """The objects in the bucket, by key."""
        return self.bench.audit_log.records

    @property
    def records(self) -> dict[str, Record]:
        """The audit records among them, in the order of the payments."""
        return {key: record for key, record in self.objects.items() if key.startswith("audit/")}

    def put(self, key: str, body: bytes) -> None:
        """Write an object as somebody does who may do anything with the bucket."""
        self.objects[key] = Record(key=key, body=body, hash=digest(body))

    def put_object(self, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str, **_: Any) -> None:
        if Key in self.objects:
            raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "PutObject")
        self.put(Key, Body)

    def list_objects_v2(self, Bucket: str, Prefix: str, MaxKeys: int) -> Any:
        return {"Contents": [{"Key": key} for key in sorted(self.objects) if key.startswith(Prefix)][:MaxKeys]}

    def sign(self, Message: bytes, **_: Any) -> Any:
        return {"Signature": self.key.sign(Message, ec.ECDSA(utils.Prehashed(hashes.SHA256())))}

    def verify(self, Message: bytes, Signature: bytes, **_: Any) -> None:
        try:
            self.key.public_key().verify(Signature, Message, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        except InvalidSignature:
            raise self.exceptions.KMSInvalidSignatureException from None

    def get_public_key(self, KeyId: str) -> Any:
        der = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return {"PublicKey": der, "KeyId": KeyId}

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
            second = list(self.objects).index(last)  # they were written in this order
            yield {"Contents": [{"Key": last, "LastModified": START + timedelta(seconds=second)}]}
            self.on_read("objects")
        if Prefix.startswith("audit/"):
            self.on_read("all records")

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
        begin = ExpressionAttributeValues[":begin"]["S"]
        found = [item for item in shown if item.get(key) == value and item["created_at"]["S"].startswith(begin)]
        yield {"Items": found}
        self.on_read("items")


class _Paginator:
    def __init__(self, paginate: Callable[..., Iterator[dict[str, Any]]]) -> None:
        self.paginate = paginate


def verify(cloud: Cloud, *options: str, day: str = START.date().isoformat()) -> int:
    """The exit code of the command for a day."""
    return main(["verify", "--env", "dev", "--day", day, *options], clock=lambda: cloud.now)
