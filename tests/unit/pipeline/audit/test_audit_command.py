"""``python -m pipeline.audit verify`` on a day while payments are being made."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.payments.transactions import PENDING
from tests.unit.pipeline.audit.fake_cloud import Cloud, verify


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
    code = verify(cloud)
    # Then it is whole
    assert cloud.bench.ledger.settled_count > 5
    assert (code, capsys.readouterr().out.splitlines()[-1]) == (0, "whole")


def test_a_payment_that_is_audited_and_not_settled_breaks_nothing_but_must_not_stay_so(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    [*_, last] = cloud.bench.ledger.items
    cloud.bench.ledger.items[last] = replace(cloud.bench.ledger.items[last], status=PENDING)
    made_at = datetime.fromisoformat(cloud.bench.ledger.items[last].created_at)
    for minutes, code, said in ((0, 0, False), (14, 0, True), (16, 5, True)):
        cloud.now = made_at + timedelta(minutes=minutes)
        assert verify(cloud) == code
        assert ("1 transactions are pending" in capsys.readouterr().out) is said


@pytest.mark.parametrize("written", ["with both indexes", "before by-day", "after by-status"])
def test_a_missing_record_is_named(written: str, cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    # Given transactions of the release before, of this one, and of the one after
    if written == "before by-day":
        cloud.forge = lambda items: [item.pop("day_shard") for item in items.values()]
    if written == "after by-status":
        cloud.by_status = False
    # When a record goes, then it is named
    [*_, last] = cloud.records
    del cloud.bench.audit_log.records[last]
    assert verify(cloud) == 1
    assert f"BROKEN {last}: is missing for a settled transaction" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "reason"),
    [("AccessDenied", "access is denied; to who may not list the bucket"), ("InvalidObjectState", "it is archived")],
)
def test_a_record_that_can_not_be_read_is_named_and_not_called_broken(
    code: str, reason: str, cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a record that S3 has and does not give
    unreadable, given = next(iter(cloud.records)), cloud.get_object

    def refused(Bucket: str, Key: str) -> Any:
        if Key == unreadable:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "GetObject")
        return given(Bucket, Key)

    cloud.get_object = refused  # type: ignore[method-assign]
    # When the day is verified, then the answer is neither "whole" nor "broken"
    assert verify(cloud) == 3
    said = capsys.readouterr()
    assert "whole" not in said.out
    assert "BROKEN" not in said.out
    assert f"not verified, because a record can't be read: {unreadable}: {reason}" in said.err


def test_a_record_that_vanishes_during_the_verification_is_missing(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a record that is deleted after the day's keys were listed
    [*_, last] = cloud.records
    given = cloud.get_object

    def deleted(Bucket: str, Key: str) -> Any:
        cloud.bench.audit_log.records.pop(last, None)
        return given(Bucket, Key)

    cloud.get_object = deleted  # type: ignore[method-assign]
    # When the day is verified, then it is broken
    assert verify(cloud) == 1
    assert f"BROKEN {last}: is missing" in capsys.readouterr().out


def test_when_aws_does_not_answer_nothing_is_known(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    def throttled(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "no"}}, "Query")

    cloud._query = throttled  # type: ignore[method-assign]
    assert verify(cloud) == 3
    assert "AWS did not answer" in capsys.readouterr().err
