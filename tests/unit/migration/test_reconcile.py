"""A day's payments of both systems: each was taken by one of them, and the other one's copy is the same."""

import argparse
import json
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from lambdas.books.agreement import Row
from migration import ledgers, reconcile
from migration.ledgers import Ledger, Payment
from migration.outcome import ExitCode, Unavailable

PAYMENT = Payment("shop", "c1", "order/7", "USD", 1250, "approved")
NEW = "txn_" + "a" * 32


def both(count: int = 3) -> tuple[Ledger, Ledger]:
    """A day on which the old system took ``count`` payments, which are imported, and this platform one."""
    old = {f"old-{n}": PAYMENT._replace(reference=f"order/{n}") for n in range(count)}
    native = PAYMENT._replace(reference="here", minor=500)
    return Ledger(own=dict(old)), Ledger(own={NEW: native}, copies=dict(old))


def found(there: Ledger, here: Ledger, *, exported: bool = False) -> reconcile.Reconciliation:
    return reconcile.reconcile("2026-12-01", there, here, exported=exported)


def test_a_day_on_which_each_payment_is_where_it_must_be_agrees() -> None:
    result = found(*both())
    assert (result.code, result.differences, result.payments) == (ExitCode.DONE, (), 4)
    text = "\n".join(result.lines())
    assert "USD approved" in text
    assert "3           37.50" in text  # taken there, and imported here
    assert text.endswith("stands the same in both ledgers that must have it")


DIFFERENCES = [
    (lambda there, here: here.copies.pop("old-1"), "old-1: not imported"),
    (lambda there, here: there.own.pop("old-1"), "old-1: imported, and unknown where it should be from"),
    (
        lambda there, here: here.copies.update({"old-1": here.copies["old-1"]._replace(status="declined")}),
        "old-1: status: approved there, declined here",
    ),
    (
        lambda there, here: here.copies.update({"old-1": here.copies["old-1"]._replace(minor=1251)}),
        "old-1: amount: 12.50 there, 12.51 here",
    ),
    (
        lambda there, here: there.own.update({"old-1": there.own["old-1"]._replace(currency="EUR")}),
        "old-1: currency: EUR there, USD here",
    ),
    (
        lambda there, here: here.own.update({NEW: there.own["old-1"]}),
        f"old-1: taken by both: order/1 there, {NEW} here",
    ),
]


@pytest.mark.parametrize(("change", "text"), DIFFERENCES, ids=[text for _, text in DIFFERENCES])
def test_each_difference_is_named(change: Any, text: str) -> None:
    there, here = both()
    change(there, here)
    result = found(there, here)
    assert [str(each) for each in result.differences] == [text]
    assert result.code == ExitCode.FAILED
    assert f"DIFFERENT {text}" in "\n".join(result.lines())


def test_an_order_that_was_paid_again_after_a_decline_was_not_taken_twice() -> None:
    there, here = both()
    there.own["old-1"] = here.copies["old-1"] = there.own["old-1"]._replace(status="declined")
    here.own[NEW] = there.own["old-1"]._replace(status="approved")
    assert found(there, here).differences == ()


def test_after_the_way_back_what_was_taken_here_must_be_there() -> None:
    # Given a payment that was taken here, and not exported
    there, here = both()
    assert [str(each) for each in found(there, here, exported=True).differences] == [f"{NEW}: not exported"]
    # When the old system has it with another status
    there.copies[NEW] = here.own[NEW]._replace(status="review")
    assert [str(each) for each in found(there, here, exported=True).differences] == [
        f"{NEW}: status: review there, approved here"
    ]
    # When it has it as it is here
    there.copies[NEW] = here.own[NEW]
    assert found(there, here, exported=True).code == ExitCode.DONE
    # And one that nobody knows here is named
    there.copies["txn_" + "b" * 32] = here.own[NEW]
    assert "exported, and unknown where it should be from" in str(found(there, here).differences[0])


def test_while_a_payment_is_being_recorded_nothing_is_proven() -> None:
    there, here = both()
    here.unsettled.append(NEW)
    assert found(there, here).code == ExitCode.INCONCLUSIVE


def test_a_day_without_payments_proves_nothing() -> None:
    result = found(Ledger(), Ledger())
    assert result.code == ExitCode.INCONCLUSIVE
    first, *_, last = result.lines()
    assert first == "2026-12-01: no payments"
    assert last.startswith("NOTHING PROVEN: neither system took a payment of this day")


def test_json_has_counts_and_sums_by_currency_and_status() -> None:
    there, here = both()
    here.own["txn_" + "b" * 32] = PAYMENT._replace(currency="JPY", minor=900, status="declined")
    document = json.loads(json.dumps(found(there, here).to_json()))
    assert document["agrees"] is True
    [yen, dollars] = document["totals"]
    assert (yen["currency"], yen["status"], yen["new_here"], yen["new_here_minor"]) == ("JPY", "declined", 1, 900)
    assert (dollars["old_there"], dollars["old_there_minor"], dollars["old_here_minor"]) == (3, 3750, 3750)


def test_what_is_on_its_way_is_no_difference_and_what_stays_is_one() -> None:
    # Given two systems at work: at each look another payment is not imported yet, and one never is
    day = date(2026, 12, 1)
    there, here = both(9)
    looks = [{"old-1", "old-8"}, {"old-2", "old-8"}, {"old-3", "old-8"}]
    waited: list[float] = []

    def platform(day: date) -> Ledger:
        missing = looks[len(waited)]
        return Ledger(own=here.own, copies={id: each for id, each in here.copies.items() if id not in missing})

    def look(**options: Any) -> reconcile.Reconciliation:
        waited.clear()
        return reconcile.read(lambda day: there, platform, day, exported=False, sleep=waited.append, **options)

    # Then only the one that never comes is named, after three looks
    assert [str(each) for each in look(wait_seconds=5).differences] == ["old-8: not imported"]
    assert waited == [5, 5]
    # And when nothing stays, it does not look again
    looks = [{"old-1"}, {"old-2"}]
    assert look().code == ExitCode.DONE
    assert len(waited) == 1


def test_payments_of_the_moment_leave_a_day_under_load_proven_and_one_that_hangs_does_not() -> None:
    # Given a platform at work: at each look another payment is being recorded
    there, here = both()
    looks: list[list[str]] = []

    def look(*unsettled: list[str]) -> reconcile.Reconciliation:
        looks[:] = unsettled

        def platform(day: date) -> Ledger:
            return Ledger(own=here.own, copies=here.copies, unsettled=looks.pop(0))

        return reconcile.read(lambda _: there, platform, date(2026, 12, 1), exported=False, sleep=lambda _: None)

    # Then the day agrees, after a second look
    assert look(["txn_1", "txn_2"], ["txn_3"]).code == ExitCode.DONE
    # And one that is being recorded at each look leaves it open, by its name
    hanging = look(["txn_1", "txn_2"], ["txn_1", "txn_3"], ["txn_1"])
    assert (hanging.code, hanging.unsettled) == (ExitCode.INCONCLUSIVE, ("txn_1",))


def row(**changes: Any) -> Row:
    values = {
        "transaction_id": NEW, "merchant_id": "shop", "customer_id": "c1", "merchant_reference": "order/7",
        "currency": "USD", "minor": 1250, "status": "approved", "outcome": "approved",
        "created_at": "2026-12-01T10:00:00.000000Z",
    }  # fmt: skip
    return Row(values | changes)


def test_the_ledger_here_knows_its_own_payments_from_imported_ones_and_leaves_synthetic_ones_out() -> None:
    ledger = ledgers.of_rows([
        row(), row(transaction_id="txn_2", origin="migration", source_id="old-1"),
        row(transaction_id="txn_3", synthetic=True), row(transaction_id="txn_4", status="pending", outcome="declined"),
    ])  # fmt: skip
    assert ledger.own == {NEW: PAYMENT, "txn_4": PAYMENT._replace(status="declined")}
    assert (ledger.copies, ledger.unsettled) == ({"old-1": PAYMENT}, ["txn_4"])


class Connection:
    """The old system's database with two payments, of which one came from here."""

    def __init__(self, amount: str = "12.500") -> None:
        self._left = [
            [["old-1", "shop", "c1", "order/7", "USD", amount, "approved", None]],
            [[NEW, "shop", "c1", None, "USD", "5.000", "partly_refunded", "2.000"]],
            [],
        ]
        self.ran: list[str] = []

    def run(self, sql: str, **parameters: Any) -> Any:
        self.ran.append(sql)
        return self._left.pop(0) if sql.startswith("FETCH") else []

    def close(self) -> None:
        self.ran.append("closed")


@pytest.mark.parametrize(("there", "here", "differs"), [(6000, 1000, True), (6000, 6000, False), (None, 1000, False)])
def test_what_was_given_back_is_compared_where_both_ledgers_say_it(there: int | None, here: int, differs: bool) -> None:
    # Given a payment that was refunded in parts, of which the last may not have arrived
    part = PAYMENT._replace(minor=10_000, status="partly_refunded")
    ledgers_of_both = (
        Ledger(own={"old-1": part._replace(given_back=there)}),
        Ledger(copies={"old-1": part._replace(given_back=here)}),
    )
    # Then that is a difference, because the rest could be given back a second time
    assert [str(each) for each in found(*ledgers_of_both).differences] == (
        ["old-1: given back: 60.00 there, 10.00 here"] if differs else []
    )


def test_the_old_systems_payments_are_read_some_at_a_time() -> None:
    connection = Connection()
    ledger = ledgers.old_system(connection)(date(2026, 12, 1))
    assert ledger.own == {"old-1": PAYMENT}
    assert ledger.copies == {NEW: PAYMENT._replace(reference="", minor=500, status="partly_refunded", given_back=200)}


def test_a_payment_there_that_can_not_be_one_proves_nothing() -> None:
    with pytest.raises(Unavailable, match="old-1 has an impossible amount or currency"):
        ledgers.old_system(Connection("twelve"))(date(2026, 12, 1))


def test_the_command_prints_the_report_and_ends_with_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    connection = Connection()
    _, here = both(0)
    here.copies["old-1"] = PAYMENT
    here.own = {NEW: here.own[NEW]._replace(reference="", status="partly_refunded", given_back=200)}
    monkeypatch.setattr(reconcile.source, "connect", lambda url: connection)
    monkeypatch.setattr(reconcile, "session", lambda region, name: SimpleNamespace(client=lambda service: None))
    monkeypatch.setattr(reconcile.PlatformOutputs, "read", lambda name, aws: None)
    monkeypatch.setattr(reconcile, "platform", lambda s3, dynamodb, outputs: lambda day: here)
    environment = SimpleNamespace(name="dev", region=None, stack_name="s")
    options = argparse.Namespace(env=environment, source="x", day=date(2026, 12, 1), exported=True, json=True, wait=0)
    assert reconcile.run(options) == ExitCode.DONE
    assert json.loads(capsys.readouterr().out)["differences"] == []
    assert connection.ran[-1] == "closed"
