"""The whole way back on a real old system: what was taken here is exported, loaded there, verified and reconciled."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from lambdas.books.agreement import Row
from migration import export, ledgers, reconcile
from migration.outcome import ExitCode
from tests.oldsystem.population import populate
from tests.oldsystem.way_back import take_back
from tests.unit.migration.sides import Sides
from tests.unit.migration.test_export import written
from tests.unit.migration.test_reconcile import row

DAY = date(2026, 12, 1)


class Day:
    """The platform's books of ``DAY``."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    def complete(self) -> list[Row]:
        return self._rows

    def amended(self) -> list[str]:
        return []

    def under_way(self) -> list[str]:
        return []

    def rows(self, transaction_ids: Any) -> dict[str, Row]:
        return {}


@pytest.fixture
def old(sides: Sides) -> Iterator[Any]:
    """The old system's database, in which 700 payments of the day are."""
    connection = sides.old.connect()
    populate(connection, customers=50, payments=700, until=datetime(2026, 12, 1, 23, tzinfo=UTC))
    yield connection
    connection.close()


def copies(connection: Any) -> list[Row]:
    """The old system's payments as an import writes them."""
    own = ledgers.old_system(connection)(DAY).own
    return [
        row(
            transaction_id=f"txn_{number:032x}", origin="migration", source_id=id, merchant_id=each.merchant_id,
            customer_id=each.customer_id, merchant_reference=each.reference or None, currency=each.currency,
            minor=each.minor, status=each.status, outcome=each.status,
        )
        for number, (id, each) in enumerate(own.items())
    ]  # fmt: skip


def taken_here(n: int, **changes: Any) -> Row:
    return row(
        transaction_id=f"txn_{n:f>32}", merchant_id="m-001", customer_id="c-0000001", merchant_reference=f"here-{n}",
        card_brand="visa", card_last4="1111", **changes,
    )  # fmt: skip


def test_what_was_taken_here_is_in_both_ledgers_after_the_way_back(old: Any, tmp_path: Path) -> None:
    # Given a day of which 700 payments were taken there and imported, and three here
    here = [
        taken_here(1),
        taken_here(2, status="declined", outcome="declined"),
        taken_here(3, currency="JPY", minor=900),
    ]
    rows = copies(old) + here

    def reconciled() -> reconcile.Reconciliation:
        return reconcile.read(
            ledgers.old_system(old), lambda day: ledgers.of_rows(rows), DAY, exported=True, sleep=lambda _: None
        )

    assert [each.kind for each in reconciled().differences] == ["not exported"] * 3
    # When they are exported, and loaded there, twice
    lines, _ = written(tmp_path, Day(rows))
    assert [line["payment_id"] for line in lines] == [each.transaction_id for each in here]
    assert [take_back(old, tmp_path), take_back(old, tmp_path)] == [3, 3]
    # Then the old system has each of them as it is here, and the day is reconciled
    assert export.verify(tmp_path, ledgers.old_system(old)) == []
    result = reconciled()
    assert (result.code, result.payments) == (ExitCode.DONE, 703)
    # And what is changed there afterwards is named by both
    old.run("UPDATE payments SET status = 'declined' WHERE payment_id = :id", id=here[0].transaction_id)
    assert (
        "approved USD 12.50 in the file, declined USD 12.50 in the old system"
        in export.verify(tmp_path, ledgers.old_system(old))[0]
    )
    assert [each.kind for each in reconciled().differences] == ["status"]


def test_an_old_system_that_tells_what_it_gave_back_is_asked_for_it(old: Any, tmp_path: Path) -> None:
    # Given an old system with the column, and a payment that was given back in part here, and less of it there
    old.run("ALTER TABLE payments ADD COLUMN refunded_amount numeric(15, 3)")
    part = taken_here(1, status="partly_refunded", given_back=250)
    written(tmp_path, Day([part]))
    take_back(old, tmp_path)
    old.run("UPDATE payments SET refunded_amount = 2.000 WHERE payment_id = :id", id=part.transaction_id)
    # Then both comparisons name it
    [fault] = export.verify(tmp_path, ledgers.old_system(old))
    assert fault.endswith("given back 2.50 in the file, partly_refunded USD 12.50 given back 2.00 in the old system")
    there, here = ledgers.old_system(old)(DAY), ledgers.of_rows([part])
    there.own.clear()
    [difference] = reconcile.reconcile("2026-12-01", there, here, exported=True).differences
    assert str(difference).endswith("given back: 2.00 there, 2.50 here")


def test_the_old_system_takes_no_file_that_was_changed(old: Any, tmp_path: Path) -> None:
    written(tmp_path, Day([taken_here(1)]))
    (tmp_path / export.FILE).write_bytes((tmp_path / export.FILE).read_bytes().replace(b"12.50", b"92.50"))
    with pytest.raises(ValueError, match="is not what its manifest says"):
        take_back(old, tmp_path)
    assert ledgers.old_system(old)(DAY).copies == {}
