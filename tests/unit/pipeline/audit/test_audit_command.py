"""``python -m pipeline.audit verify`` on a day while payments are being made."""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from lambdas.payments.transactions import PENDING
from pipeline.audit.__main__ import main
from tests.unit.lambdas.test_processing import START, Bench


class Cloud:
    """A fake AWS: a day's objects and items, page by page, while payments arrive."""

    def __init__(self) -> None:
        self.bench = Bench()
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

    def _items(self, ExpressionAttributeValues: Any, **_: Any) -> Iterator[dict[str, Any]]:
        status = ExpressionAttributeValues[":status"]["S"]
        found = [item for item in self.bench.ledger.items.values() if item.status == status]
        yield {
            "Items": [
                {
                    "transaction_id": {"S": item.transaction_id},
                    "created_at": {"S": item.created_at},
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


def test_a_missing_record_is_named(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    [*_, last] = cloud.bench.audit_log.records
    del cloud.bench.audit_log.records[last]
    assert verify() == 1
    assert f"BROKEN {last}: is missing for a settled transaction" in capsys.readouterr().out


def test_a_log_that_could_not_be_read_is_not_called_broken(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    # Given records that the caller may not read
    def refused(Bucket: str, Key: str) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetObject")

    cloud.get_object = refused  # type: ignore[method-assign]
    # When the day is verified, then the answer is neither "whole" nor "broken"
    assert verify() == 3
    said = capsys.readouterr()
    assert "whole" not in said.out
    assert "not verified" in said.err
    assert "AccessDenied" in said.err
