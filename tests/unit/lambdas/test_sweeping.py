"""Nothing stays pending: a sweeper finishes what a crash left, once, whatever else runs or dies at the same time."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import names
from lambdas.adapters import aws
from lambdas.adapters.pending import DynamoPending
from lambdas.payments.errors import Unavailable
from lambdas.payments.sweeping import UNDER_WAY, Sweeper, Swept
from lambdas.payments.transactions import PENDING, Transaction
from lambdas.sweeper import handler as function
from tests.unit.lambdas.stores import KillAt, Killed
from tests.unit.lambdas.test_processing import START, STEPS, Bench

LATER = START + timedelta(hours=1)
ALWAYS: Callable[[], bool] = lambda: True  # noqa: E731


class Ledger:
    """``sweeping.PendingLedger`` on a bench's store. ``stale``: ids that the index shows although they are settled."""

    def __init__(self, bench: Bench, stale: Sequence[str] = ()) -> None:
        self._bench, self._stale = bench, stale
        self.broken: set[str] = set()
        self.settle = bench.ledger.settle

    def pending(self, before: str) -> list[tuple[str, str]]:
        found = [
            (id, each.created_at)
            for id, each in self._bench.ledger.items.items()
            if (each.status == PENDING or id in self._stale) and each.created_at < before
        ]
        return sorted(found, key=lambda each: each[1])

    def current(self, transaction_id: str) -> Transaction | None:
        if transaction_id in self.broken:
            raise ValueError("no transaction")
        return self._bench.ledger.items.get(transaction_id)


def sweep(bench: Bench, now: datetime = LATER, ledger: Ledger | None = None) -> Swept:
    return sweeper(bench, now, ledger).sweep(ALWAYS)


def sweeper(bench: Bench, now: datetime = LATER, ledger: Ledger | None = None) -> Sweeper:
    return Sweeper(ledger or Ledger(bench), bench.audit_log, lambda id, reason: None, lambda: now)


def left_pending(payments: int = 1, step: int = 2) -> Bench:
    """A bench on which a function died at ``step`` of each payment."""
    bench = Bench()
    for n in range(payments):
        bench.ledger.hook = bench.audit_log.hook = KillAt(step)
        with pytest.raises(Killed):
            bench.pay(bench.function(), key=f"key {n}", customer_id=f"c{n}")
    bench.ledger.hook = bench.audit_log.hook = KillAt(0)
    return bench


@pytest.mark.parametrize("step", [2, 3, 4, 5], ids=[STEPS[step - 1] for step in (2, 3, 4, 5)])
def test_what_a_crash_left_is_finished_as_it_was_decided_and_the_retry_answers_the_same(step: int) -> None:
    bench = left_pending(step=step)
    [decided] = bench.ledger.items.values()
    assert sweep(bench) == Swept(finished=(decided.transaction_id,), left=0, oldest_seconds=0.0)
    bench.assert_sound()
    [item] = bench.ledger.items.values()
    assert item.status == decided.outcome
    assert bench.pay(bench.function(), key="key 0", customer_id="c0").outcome == decided.outcome
    assert len(bench.audit_log.records) == 1
    assert sweep(bench) == Swept(finished=(), left=0, oldest_seconds=0.0)


def test_what_may_still_be_under_way_is_left_alone() -> None:
    bench = left_pending()
    [item] = bench.ledger.items.values()
    begun = datetime.fromisoformat(item.created_at)
    assert sweep(bench, begun + UNDER_WAY - timedelta(seconds=1)).finished == ()
    assert sweep(bench, begun + UNDER_WAY + timedelta(seconds=1)).finished == (item.transaction_id,)


@given(st.integers(2, 5), st.lists(st.tuples(st.sampled_from(["sweep", "retry"]), st.integers(1, 8)), max_size=5))
def test_any_deaths_of_sweepers_and_retries_end_in_one_payment(step: int, deaths: list[tuple[str, int]]) -> None:
    bench = left_pending(step=step)
    for who, at in deaths:
        bench.ledger.hook = bench.audit_log.hook = KillAt(at)
        try:
            sweep(bench) if who == "sweep" else bench.pay(bench.function(), key="key 0", customer_id="c0")
        except Killed:
            bench.assert_sound()
    bench.ledger.hook = bench.audit_log.hook = KillAt(0)
    sweep(bench)
    bench.assert_sound()
    assert bench.ledger.settled_count == len(bench.audit_log.records) == 1


def test_two_sweepers_and_the_clients_retries_at_once_finish_each_payment_once() -> None:
    # Given twenty payments that crashes left
    bench = left_pending(20)
    sweepers = [sweeper(bench) for _ in range(2)]
    functions = [bench.function() for _ in range(20)]
    # When two sweepers and all clients are at them
    with ThreadPoolExecutor(22) as crowd:
        swept = [crowd.submit(each.sweep, ALWAYS) for each in sweepers]
        for n, function in enumerate(functions):
            crowd.submit(bench.pay, function, f"key {n}", customer_id=f"c{n}")
    # Then each is settled once, with one record
    bench.assert_sound()
    assert bench.ledger.settled_count == len(bench.audit_log.records) == 20
    assert all(each.result().left == 0 for each in swept)


def test_an_index_that_is_behind_harms_nothing() -> None:
    bench = Bench()
    done = bench.pay(bench.function()).transaction_id
    assert sweep(bench, ledger=Ledger(bench, stale=[done])).finished == ()
    assert bench.ledger.settled_count == 1


def test_what_can_not_be_finished_is_counted_with_its_age_and_stops_no_other() -> None:
    bench = left_pending(3)
    first, second, third = bench.ledger.items
    ledger = Ledger(bench)
    ledger.broken = {first}
    swept = sweep(bench, ledger=ledger)
    assert (swept.finished, swept.left) == ((second, third), 1)
    assert (
        swept.oldest_seconds == (LATER - datetime.fromisoformat(bench.ledger.items[first].created_at)).total_seconds()
    )


def test_a_store_that_is_down_ends_the_sweep_and_the_next_one_goes_on() -> None:
    bench = left_pending(3)

    def down(step: str) -> None:
        raise Unavailable("audit log")

    bench.audit_log.hook = down
    assert (sweep(bench).finished, sweep(bench).left) == ((), 3)
    bench.audit_log.hook = KillAt(0)
    assert len(sweep(bench).finished) == 3


def test_a_sweep_ends_in_time() -> None:
    bench = left_pending(3)
    times = iter([True, False, True])
    swept = sweeper(bench).sweep(lambda: next(times))
    assert (len(swept.finished), swept.left) == (1, 2)


def test_the_table_is_asked_for_what_is_pending_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    class Table:
        def query(self, **query: Any) -> Any:
            asked.append(query)
            return {"Items": [{"transaction_id": {"S": "txn_1"}, "created_at": {"S": "2026-11-22T12:00:00.000000Z"}}]}

        def get_item(self, **get: Any) -> Any:
            assert get["ConsistentRead"]
            return {"Item": {"transaction_id": {"S": "txn_1"}}}

    monkeypatch.setattr(aws, "client", lambda service: Table())
    for name in ("TRANSACTION_TABLE", "VELOCITY_TABLE"):
        monkeypatch.setenv(name, name)
    ledger = DynamoPending()
    assert ledger.pending("2026-11-22T12:30") == [("txn_1", "2026-11-22T12:00:00.000000Z")]
    assert (asked[0]["IndexName"], asked[0]["ExpressionAttributeValues"][":pending"]) == ("by-status", {"S": "pending"})
    with pytest.raises(ValueError, match="missing"):
        ledger.current("txn_1")


def test_each_run_publishes_what_is_left_and_stops_before_its_own_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given two payments that a crash left, and a function with time for one
    bench = left_pending(2)
    remaining = iter([60_000, 14_000])
    context = SimpleNamespace(
        function_name="payment-sweeper-prod", memory_limit_in_mb=256, aws_request_id="r",
        invoked_function_arn="arn:aws:lambda:us-east-1:111111111111:function:payment-sweeper-prod",
        get_remaining_time_in_millis=lambda: next(remaining),
    )  # fmt: skip
    monkeypatch.setattr(function, "_sweeper", lambda: sweeper(bench))
    monkeypatch.setenv("ENVIRONMENT", "prod")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Payments")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", names.service(names.SWEEPER))
    # When it runs
    answer = function.handler({}, context)
    # Then it says what it did, and the metrics have the dimensions that the alarms ask for
    assert (answer["finished"], answer["left"], answer["oldest_seconds"] > 0) == (1, 1, True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for name, value in (
        (names.PENDING_FINISHED, 1),
        (names.PENDING_LEFT, 1),
        (names.PENDING_AGE, answer["oldest_seconds"]),
    ):
        [metric] = [line for line in lines if name in line]
        assert (metric[name], metric["Environment"], metric["service"]) == ([value], "prod", "payment-sweeper")
