"""``python -m pipeline.audit verify`` on a day while payments are being made."""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from lambdas.payments.transactions import PENDING, Transaction, day_shard
from pipeline.audit.__main__ import main
from tests.unit.lambdas.test_processing import START, Bench


class Cloud:
    """A fake AWS: a day's objects and items, page by page, while payments arrive."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.shard: Callable[[Transaction], str | None] = day_shard
        """The key by which the index by-day finds a transaction; ``None``: it was written before that index."""
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
        return {"list_objects_v2": _Paginator(self._objects), "query": _Paginator(self._items)}[operation]

    def _objects(self, Prefix: str, **_: Any) -> Iterator[dict[str, Any]]:
        """One key a page, in order, from the keys that exist when the page is requested."""
        last = ""
        while left := sorted(key for key in self.bench.audit_log.records if key.startswith(Prefix) and key > last):
            last = left[0]
            yield {"Contents": [{"Key": last}]}
            self.on_read("objects")

    def _items(self, IndexName: str, ExpressionAttributeValues: Any, **_: Any) -> Iterator[dict[str, Any]]:
        value = ExpressionAttributeValues[":value"]["S"]
        keys = {"by-day": lambda item: self.shard(item), "by-status": lambda item: item.status}
        found = [item for item in self.bench.ledger.items.values() if keys[IndexName](item) == value]
        yield {
            "Items": [
                {
                    "transaction_id": {"S": item.transaction_id},
                    "created_at": {"S": item.created_at},
                    "status": {"S": item.status},
                    "audit_hash": {"S": self.bench.ledger.audited.get(item.transaction_id, ("", ""))[1]},
                }
                for item in found
            ]
        }
        self.on_read("items")


class _Paginator:
    def __init__(self, paginate: Callable[..., Iterator[dict[str, Any]]]) -> None:
        self.paginate = paginate


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    cloud = Cloud()
    monkeypatch.setattr(boto3, "Session", lambda: cloud)
    for _ in range(5):
        cloud.pay()
    return cloud


def verify() -> int:
    return main(["verify", "--env", "dev", "--day", START.date().isoformat()])


@pytest.mark.parametrize("what", ["objects", "items"])
def test_payments_made_during_the_verification_break_nothing(
    what: str, cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a payment after each page of records, or of transactions, that is read
    arriving = iter(range(10))

    def arrive(read: str) -> None:
        if read == what and next(arriving, None) is not None:
            cloud.pay()

    cloud.on_read = arrive
    # When the day is verified
    code = verify()
    # Then it is whole
    assert cloud.bench.ledger.settled_count > 5
    assert (code, capsys.readouterr().out.splitlines()[-1]) == (0, "whole")


def test_a_payment_that_is_audited_and_not_settled_yet_breaks_nothing(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    [*_, last] = cloud.bench.ledger.items
    cloud.bench.ledger.items[last] = replace(cloud.bench.ledger.items[last], status=PENDING)
    assert verify() == 0
    assert "1 transactions are pending" in capsys.readouterr().out


@pytest.mark.parametrize("written", ["with both indexes", "before by-day", "after by-status"])
def test_a_missing_record_is_named(written: str, cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    # Given transactions of the release before, of this one, and of the one after
    if written == "before by-day":
        cloud.shard = lambda _: None
    if written == "after by-status":
        for id, item in cloud.bench.ledger.items.items():
            cloud.bench.ledger.items[id] = replace(item, status=f"{item.status}, hidden from by-status")
    # When a record goes, then it is named
    [*_, last] = cloud.bench.audit_log.records
    del cloud.bench.audit_log.records[last]
    assert verify() == 1
    assert f"BROKEN {last}: is missing for a settled transaction" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "reason"),
    [("AccessDenied", "access is denied; to who may not list the bucket"), ("InvalidObjectState", "it is archived")],
)
def test_a_record_that_can_not_be_read_is_named_and_not_called_broken(
    code: str, reason: str, cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a record that S3 has and does not give
    unreadable, given = next(iter(cloud.bench.audit_log.records)), cloud.get_object

    def refused(Bucket: str, Key: str) -> Any:
        if Key == unreadable:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "GetObject")
        return given(Bucket, Key)

    cloud.get_object = refused  # type: ignore[method-assign]
    # When the day is verified, then the answer is neither "whole" nor "broken"
    assert verify() == 3
    said = capsys.readouterr()
    assert "whole" not in said.out
    assert "BROKEN" not in said.out
    assert f"not verified, because a record can't be read: {unreadable}: {reason}" in said.err


def test_a_record_that_vanishes_during_the_verification_is_missing(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a record that is deleted after the day's keys were listed
    [*_, last] = cloud.bench.audit_log.records
    given = cloud.get_object

    def deleted(Bucket: str, Key: str) -> Any:
        cloud.bench.audit_log.records.pop(last, None)
        return given(Bucket, Key)

    cloud.get_object = deleted  # type: ignore[method-assign]
    # When the day is verified, then it is broken
    assert verify() == 1
    assert f"BROKEN {last}: is missing" in capsys.readouterr().out


def test_when_aws_does_not_answer_nothing_is_known(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    def throttled(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "no"}}, "Query")

    cloud._items = throttled  # type: ignore[method-assign]
    assert verify() == 3
    assert "AWS did not answer" in capsys.readouterr().err
