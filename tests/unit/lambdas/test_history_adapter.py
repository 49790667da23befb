"""An import writes evenly, makes room when the table is busy, and overwrites nothing."""

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.adapters import aws
from lambdas.adapters.history import DynamoHistory
from lambdas.migration.pace import Pace
from lambdas.payments.errors import Unavailable


class ConditionFailed(Exception):
    pass


class Table:
    """The table's client. The first ``busy`` calls are throttled."""

    exceptions = SimpleNamespace(ConditionalCheckFailedException=ConditionFailed)

    def __init__(self, *, busy: int = 0, taken: bool = False, retried: int = 0) -> None:
        self.busy, self.taken, self.retried = busy, taken, retried
        self.sent: list[dict[str, Any]] = []

    def put_item(self, **arguments: Any) -> Any:
        self.sent.append(arguments)
        self._throttle()
        if self.taken:
            raise ConditionFailed
        return {"ResponseMetadata": {"RetryAttempts": self.retried}}

    def batch_get_item(self, RequestItems: Any) -> Any:
        self.sent.append(RequestItems)
        self._throttle()
        [(name, wanted)] = RequestItems.items()
        keys = wanted["Keys"]
        left = {name: {"Keys": keys[60:]}} if len(keys) > 60 else {}
        return {"Responses": {name: keys[:60]}, "UnprocessedKeys": left}

    def _throttle(self) -> None:
        if len(self.sent) <= self.busy:
            raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "PutItem")


def history(monkeypatch: pytest.MonkeyPatch, table: Table) -> tuple[DynamoHistory, Pace, list[float]]:
    monkeypatch.setenv("TRANSACTION_TABLE", "transactions")
    monkeypatch.setattr(aws, "patient_client", lambda service: table)
    pauses: list[float] = []
    pace = Pace(1000)
    return DynamoHistory(pace, pauses.append), pace, pauses


def test_a_new_payment_is_written_only_if_nobody_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(taken=True)
    adapter, _, _ = history(monkeypatch, table)
    assert adapter.write({"transaction_id": {"S": "t"}}, None) is False
    assert table.sent[0]["ConditionExpression"] == "attribute_not_exists(transaction_id)"


def test_a_change_replaces_what_it_was_made_of_and_nothing_that_was_amended_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = Table()
    adapter, _, _ = history(monkeypatch, table)
    assert adapter.write({"transaction_id": {"S": "t"}}, "hash") is True
    [sent] = table.sent
    assert sent["ConditionExpression"].startswith("audit_hash = :former AND attribute_not_exists(history)")
    assert sent["ExpressionAttributeValues"] == {":former": {"S": "hash"}}


def test_a_busy_table_is_given_time_and_the_import_slows_down(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(busy=3)
    adapter, pace, pauses = history(monkeypatch, table)
    assert adapter.write({"transaction_id": {"S": "t"}}, None) is True
    assert (len(table.sent), len(pauses)) == (4, 3)
    assert all(pause <= 0.1 * 2**attempt for attempt, pause in enumerate(pauses))
    assert pace.rate < 1000


def test_what_the_sdk_had_to_repeat_slows_the_import_too(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, pace, _ = history(monkeypatch, Table(retried=1))
    adapter.write({"transaction_id": {"S": "t"}}, None)
    assert pace.rate == 500


def test_a_table_that_stays_busy_ends_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, _, pauses = history(monkeypatch, Table(busy=100))
    with pytest.raises(Unavailable):
        adapter.write({"transaction_id": {"S": "t"}}, None)
    assert len(pauses) == 7


def test_many_payments_are_read_by_the_hundred_and_what_was_left_over_again(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(busy=1)
    adapter, _, _ = history(monkeypatch, table)
    ids = [f"txn_{n}" for n in range(130)]
    assert sorted(adapter.stored(ids)) == sorted(ids)


def test_turns_come_evenly_halve_when_refused_and_recover() -> None:
    now = [0.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    # Given 100 turns a second, when 50 are taken
    pace = Pace(100, lambda: now[0], sleep)
    for _ in range(50):
        pace.turn()
    assert now[0] == pytest.approx(0.49)
    # When several are refused at once, then the rate halves once, and a second later again
    for _ in range(5):
        pace.refuse()
    assert pace.rate == 50
    now[0] += 1
    pace.refuse()
    assert pace.rate == 25
    # And it comes back by a twentieth a second, up to where it was
    now[0] += 1
    pace.turn()
    assert pace.rate == pytest.approx(26.25)
    now[0] += 60
    pace.turn()
    assert pace.rate == 100
    # And it never stops
    for _ in range(20):
        now[0] += 1
        pace.refuse()
    assert pace.rate == 10


def test_slow_writes_halve_the_turns_down_to_a_tenth() -> None:
    now = [0.0]
    pace = Pace(1000, lambda: now[0])
    # Given writes that usually take 5 ms, when one is slow, then nothing follows
    for seconds in [0.005] * 20 + [0.2]:
        pace.wrote(seconds)
    assert pace.rate == 1000
    # When they usually are slow, then the rate halves once a second, and at least a tenth is left
    for expected in (500, 250, 125, 100, 100):
        for _ in range(20):
            pace.wrote(0.03)
        assert pace.rate == expected
        now[0] += 1
