"""Nothing stays pending: a sweeper finishes payments and amendments, whatever else runs or dies at the same time."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import names
from lambdas.adapters import aws
from lambdas.adapters.pending import DynamoPending
from lambdas.payments.amendments import Amendment, Entry, Kind
from lambdas.payments.errors import Unavailable
from lambdas.payments.sweeping import UNDER_WAY, Sweeper, Swept
from lambdas.payments.transactions import AMENDING, PENDING
from lambdas.sweeper import handler as function
from tests.unit.lambdas.entries import MemoryEntries
from tests.unit.lambdas.stores import KillAt, Killed
from tests.unit.lambdas.test_amendments import ONE, Desk
from tests.unit.lambdas.test_processing import START, STEPS, Bench

LATER = START + timedelta(hours=1)
ALWAYS: Callable[[], bool] = lambda: True  # noqa: E731


class Ledger:
    """``sweeping.PendingLedger`` on a bench's store. ``stale``: ids that the index shows although they are settled."""

    def __init__(self, bench: Bench, stale: Sequence[str] = ()) -> None:
        entries = bench.ledger
        assert isinstance(entries, MemoryEntries)
        self._entries, self._stale = entries, stale
        self.broken: set[str] = set()
        self.settle, self.complete, self.release = entries.settle, entries.complete, entries.release

    def pending(self, before: str) -> list[tuple[str, str]]:
        found = []
        for id in self._entries.items:
            entry = self._entries.entry(id)
            if entry.amending is not None:
                found.append((id, entry.amending.created_at))
            elif entry.transaction.status == PENDING or id in self._stale:
                found.append((id, entry.transaction.created_at))
        return sorted([each for each in found if each[1] < before], key=lambda each: each[1])

    def current(self, transaction_id: str) -> Entry | None:
        if transaction_id in self.broken:
            raise ValueError("no transaction")
        return self._entries.get(transaction_id)


def sweep(bench: Bench, now: datetime = LATER, ledger: Ledger | None = None) -> Swept:
    return sweeper(bench, now, ledger).sweep(ALWAYS)


def sweeper(bench: Bench, now: datetime = LATER, ledger: Ledger | None = None) -> Sweeper:
    ledger = ledger or Ledger(bench)
    return Sweeper(ledger, bench.audit_log, bench.ledger, lambda id, reason: None, lambda: now)


def empty() -> Bench:
    bench = Bench()
    bench.ledger = MemoryEntries()
    return bench


def left_pending(payments: int = 1, step: int = 2) -> Bench:
    """A bench on which a function died at ``step`` of each payment."""
    bench = empty()
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
    bench = empty()
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


REFUND = {"kind": Kind.REFUND, "amount": "5.00", "key": "k"}
AMENDMENTS = [
    ("approved", REFUND, 6),
    ("approved", {"kind": Kind.VOID, "key": "k"}, 8),
    ("review", {"kind": Kind.APPROVE, "caller": ONE}, 6),
    ("review", {"kind": Kind.DECLINE, "caller": ONE}, 8),
]
"""The payment's status, what is done to it, and how many moments before or after a write that has."""


def left_amending(status: str, wish: dict[str, Any], step: int) -> Desk:
    """A desk on which a function died at ``step`` of an amendment."""
    desk = Desk(status)
    desk.die_at(step)
    with pytest.raises(Killed):
        desk.amend(**wish)
    desk.live()
    return desk


@pytest.mark.parametrize(("status", "wish", "steps"), AMENDMENTS, ids=["refund", "void", "approval", "decline"])
def test_an_amendment_that_a_crash_left_is_finished_once_and_the_retry_answers_the_same(
    status: str, wish: dict[str, Any], steps: int
) -> None:
    for step in range(2, steps):
        # Given an amendment whose function died
        desk = left_amending(status, wish, step)
        made = desk.entry.amending
        assert made is not None
        # When the sweeper comes
        assert sweep(desk.bench, desk.now + timedelta(hours=1)).finished == (desk.id,)
        # Then it is done as it was decided, and the retry finds it
        desk.assert_sound()
        [done] = desk.entry.history
        assert (done.amendment_id, desk.entry.transaction.status) == (made.amendment_id, made.status)
        assert (desk.id in desk.entries.released) is (made.status in ("voided", "declined"))
        assert desk.amend(**wish) == done
        assert sweep(desk.bench, desk.now + timedelta(hours=1)) == Swept(finished=(), left=0, oldest_seconds=0.0)


def test_an_amendment_is_as_old_as_itself_not_as_its_payment() -> None:
    # Given a refund that was begun just now, of a payment that is a week old
    desk = Desk()
    desk.now += timedelta(days=7)
    desk.die_at(2)
    with pytest.raises(Killed):
        desk.amend(**REFUND)
    desk.live()
    # Then it may be under way
    assert sweep(desk.bench, desk.now + UNDER_WAY - timedelta(seconds=1)).finished == ()
    # And what can't be finished has the amendment's age
    ledger = Ledger(desk.bench)
    ledger.broken = {desk.id}
    swept = sweep(desk.bench, desk.now + UNDER_WAY + timedelta(seconds=1), ledger)
    assert (swept.left, swept.oldest_seconds) == (1, UNDER_WAY.total_seconds() + 1)


@given(
    st.sampled_from(AMENDMENTS),
    st.integers(2, 7),
    st.lists(st.tuples(st.sampled_from(["sweep", "retry", "payment's retry"]), st.integers(1, 8)), max_size=5),
)
def test_any_deaths_of_sweepers_and_retries_end_in_one_amendment(
    amended: tuple[str, dict[str, Any], int], step: int, deaths: list[tuple[str, int]]
) -> None:
    status, wish, steps = amended
    desk = left_amending(status, wish, min(step, steps - 1))
    [paid] = desk.entries.read(["customer#c"])
    for who, at in deaths:
        desk.die_at(at)
        try:
            if who == "sweep":
                sweep(desk.bench, desk.now + timedelta(hours=1))
            elif who == "retry":
                desk.amend(**wish)
            else:
                desk.bench.pay(desk.bench.function(), caller="AIDASHOP")
        except Killed:
            desk.assert_sound()
    desk.live()
    sweep(desk.bench, desk.now + timedelta(hours=1))
    desk.assert_sound()
    assert (len(desk.entry.history), desk.entry.amending) == (1, None)
    # Limits had it given back once at most
    moment, [left] = desk.entry.transaction.moment, desk.entries.read(["customer#c"])
    given_back = paid.paid.minor(600, moment) - left.paid.minor(600, moment)
    assert given_back in ((0, 1250) if desk.id in desk.entries.released else (0,))


def test_two_sweepers_retries_and_other_reversals_at_once_finish_an_amendment_once() -> None:
    for _ in range(10):
        desk = left_amending("approved", REFUND, 2)
        sweepers = [sweeper(desk.bench, desk.now + timedelta(hours=1)) for _ in range(2)]
        with ThreadPoolExecutor(2) as crowd:
            swept = [crowd.submit(each.sweep, ALWAYS) for each in sweepers]
            made = desk.all_at_once([REFUND] * 4 + [{"kind": Kind.REFUND, "amount": "5.00"}] * 4)
        desk.assert_sound()
        assert all(each.result().left == 0 for each in swept)
        # Twice 5.00 of 12.50: that of the crash, and one other
        assert [each.minor for each in desk.entry.history] == [500, 500]
        assert len({each.amendment_id for each in made if isinstance(each, Amendment)}) == 2


def test_what_is_no_sound_amendment_is_reported_and_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given payments that crashes left, and an item on which somebody wrote an amendment of no time
    desk = left_amending("approved", REFUND, 2)
    desk.bench.ledger.hook = desk.audit_log.hook = KillAt(2)
    with pytest.raises(Killed):
        desk.bench.pay(desk.bench.function(), key="other")
    desk.live()
    assert desk.entry.amending is not None
    object.__setattr__(desk.entry.amending, "created_at", "")
    # Then the other is finished
    swept = sweep(desk.bench, desk.now + timedelta(hours=1))
    assert (len(swept.finished), swept.left) == (1, 1)


def test_the_table_is_asked_for_what_is_pending_only(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a pending payment, an old and a young amendment of older payments, and an item without its amendment
    asked: list[dict[str, Any]] = []
    wish = left_amending("approved", REFUND, 2).entry.amending
    assert wish is not None

    def item(id: str, created_at: str, amended_at: str | None = None) -> dict[str, Any]:
        amending = {"amending": {"S": replace(wish, created_at=amended_at).to_json()}} if amended_at else {}
        return {"transaction_id": {"S": id}, "created_at": {"S": created_at}, **amending}

    shown = {
        PENDING: [item("txn_1", "2026-11-22T12:02")],
        AMENDING: [
            item("txn_2", "2026-11-22T09:00", "2026-11-22T12:01"),
            item("txn_3", "2026-11-22T09:00", "2026-11-22T12:31"),
            item("txn_4", "2026-11-22T12:00"),
        ],
    }

    class Table:
        def query(self, **query: Any) -> Any:
            asked.append(query)
            return {"Items": shown[query["ExpressionAttributeValues"][":status"]["S"]]}

        def get_item(self, **get: Any) -> Any:
            assert get["ConsistentRead"]
            return {"Item": {"transaction_id": {"S": "txn_1"}}}

    monkeypatch.setattr(aws, "client", lambda service: Table())
    for name in ("TRANSACTION_TABLE", "VELOCITY_TABLE"):
        monkeypatch.setenv(name, name)
    ledger = DynamoPending()
    # Then those are found that are older than asked, by their own time
    assert ledger.pending("2026-11-22T12:30") == [
        ("txn_4", "2026-11-22T12:00"),
        ("txn_2", "2026-11-22T12:01"),
        ("txn_1", "2026-11-22T12:02"),
    ]
    assert {each["IndexName"] for each in asked} == {"by-status"}
    with pytest.raises(ValueError, match="status"):
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
