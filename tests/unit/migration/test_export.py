"""The way back loses no payment: what was taken or given back here is in the file, and the old system is held to it."""

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lambdas.books.agreement import Row
from migration import export
from migration.ledgers import Ledger, Payment
from migration.outcome import Failed, Inconclusive
from tests.unit.migration.test_reconcile import row

FIRST, LAST = date(2026, 12, 1), date(2026, 12, 2)
GIVEN_BACK = [json.dumps({"number": 1, "status": "partly_refunded", "minor": 250})]


class Day:
    """``export.Day``."""

    def __init__(self, *rows: Row, amended: Sequence[Row] = ()) -> None:
        self._rows, self._amended = rows, {each.transaction_id: each for each in amended}

    def complete(self) -> Sequence[Row]:
        return self._rows

    def amended(self) -> Sequence[str]:
        return [id for id, row in sorted(self._amended.items()) if not row.under_way_since]

    def under_way(self) -> Sequence[str]:
        return [id for id, row in self._amended.items() if row.under_way_since]

    def rows(self, transaction_ids: Sequence[str]) -> Mapping[str, Row]:
        return {id: self._amended[id] for id in transaction_ids}


def native(n: int, **changes: Any) -> Row:
    values = {"card_brand": "visa", "card_last4": "1111", "reasons": ["country_mismatch"], **changes}
    return row(transaction_id=f"txn_{n:032}", **values)


def written(folder: Path, *days: Day) -> tuple[list[dict[str, str]], dict[str, Any]]:
    _, manifest = export.write(folder, FIRST, LAST, [export.changed_on(day, FIRST.isoformat()) for day in days])
    with (folder / export.FILE).open(newline="") as file:
        return list(csv.DictReader(file)), manifest


def test_what_was_taken_here_is_in_the_file_with_what_is_left_of_it(tmp_path: Path) -> None:
    lines, manifest = written(tmp_path, Day(native(1), native(2, status="partly_refunded", history=GIVEN_BACK)))
    assert [line["Op"] for line in lines] == ["I", "I"]
    assert [line["refunded_amount"] for line in lines] == ["", "2.50"]
    assert (lines[0]["payment_id"], lines[0]["amount"], lines[0]["currency"]) == (f"txn_{1:032}", "12.50", "USD")
    assert (lines[0]["card_brand"], lines[0]["card_last4"], lines[0]["reasons"]) == ("visa", "1111", "country_mismatch")
    assert manifest["payments"] == 2
    assert manifest["sums"] == {"USD": {
        "approved": {"payments": 1, "minor": 1250}, "partly_refunded": {"payments": 1, "minor": 1250},
    }}  # fmt: skip
    assert (tmp_path / export.FILE).stat().st_mode & 0o077 == 0


def test_the_old_systems_own_payments_are_in_it_only_if_they_were_changed_here(tmp_path: Path) -> None:
    # Given two imported payments, of which one was given back here in part, after its source had given back a part
    untouched = native(1, origin="migration", source_id="old-1")
    changed = native(
        2, origin="migration", source_id="old-2", status="partly_refunded", given_back=100, history=GIVEN_BACK
    )
    lines, _ = written(tmp_path, Day(untouched, changed))
    assert [(line["Op"], line["payment_id"], line["refunded_amount"]) for line in lines] == [("U", "old-2", "3.50")]


def test_earlier_payments_that_were_amended_in_these_days_are_in_it_once(tmp_path: Path) -> None:
    earlier = native(1, created_at="2026-11-20T10:00:00.000000Z", status="partly_refunded", history=GIVEN_BACK)
    lines, _ = written(tmp_path, Day(native(2), amended=[earlier, native(2)]), Day(amended=[earlier]))
    assert [(line["Op"], line["payment_id"]) for line in lines] == [("U", f"txn_{1:032}"), ("I", f"txn_{2:032}")]


def test_what_is_still_being_recorded_is_named_and_synthetic_payments_are_left_out(tmp_path: Path) -> None:
    pending = native(1, status="pending")
    lines, manifest = written(tmp_path, Day(pending, native(2, synthetic=True)))
    assert (lines, manifest["unsettled"]) == ([], [pending.transaction_id])


def test_an_amendment_of_an_earlier_day_that_is_being_recorded_is_named(tmp_path: Path) -> None:
    # Given a refund, whose record is not written yet, of a payment from before these days
    earlier = native(1, created_at="2026-11-20T10:00:00.000000Z", status="amending", amending='{"created_at": "now"}')
    _, manifest = written(tmp_path, Day(native(2), amended=[earlier]))
    assert manifest["unsettled"] == [earlier.transaction_id]


def read_again(folder: Path, readings: Sequence[Sequence[Row]]) -> tuple[export.Exported, int]:
    """Export while each reading of the ledger shows other payments. Returns what was written, and how often it
    waited."""
    waited: list[float] = []

    def once() -> export.Written:
        day = Day(*readings[len(waited)])
        return export.write(folder, FIRST, LAST, [export.changed_on(day, FIRST.isoformat())])

    exported, _ = export.until_complete(once, waited.append)
    return exported, len(waited)


def test_the_file_is_written_until_two_readings_give_the_same(tmp_path: Path) -> None:
    # Given an index that shows a payment late: pending at the second reading, and settled at the third
    exported, waited = read_again(tmp_path, [[], [native(1, status="pending")], [native(1)], [native(1)]])
    assert (exported.rows, waited) == (1, 3)


@pytest.mark.parametrize(
    ("readings", "said"),
    [
        ([[native(n) for n in range(reading)] for reading in range(4)], "payments still arrive here"),
        ([[native(1, status="pending")]] * 4, "1 payments are being recorded, the first"),
    ],
)
def test_while_payments_arrive_or_one_hangs_it_is_no_export(
    readings: Sequence[Sequence[Row]], said: str, tmp_path: Path
) -> None:
    with pytest.raises(Inconclusive, match=said):
        read_again(tmp_path, readings)


def test_text_of_others_stays_one_field(tmp_path: Path) -> None:
    lines, _ = written(tmp_path, Day(native(1, merchant_reference='a,"b"\n=1+1')))
    assert lines[0]["merchant_reference"] == 'a,"b"\n=1+1'


def old(**changes: Any) -> Ledger:
    payment = Payment("shop", "c1", "order/7", "USD", 1250, "approved")
    return Ledger(copies={f"txn_{1:032}": payment._replace(**changes)})


def test_the_old_system_is_held_against_the_file(tmp_path: Path) -> None:
    written(tmp_path, Day(native(1)))
    assert export.verify(tmp_path, lambda day: old()) == []
    assert export.verify(tmp_path, lambda day: Ledger()) == [f"txn_{1:032} of 2026-12-01 is not in the old system"]
    [fault] = export.verify(tmp_path, lambda day: old(status="declined"))
    assert fault == f"txn_{1:032}: approved USD 12.50 in the file, declined USD 12.50 in the old system"
    [fault] = export.verify(tmp_path, lambda day: old(minor=1))
    assert "approved USD 0.01 in the old system" in fault


def test_a_file_that_was_changed_or_cut_off_is_no_export(tmp_path: Path) -> None:
    written(tmp_path, Day(native(1), native(2)))
    file = tmp_path / export.FILE
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(Failed, match="is not the file that its manifest describes"):
        export.verify(tmp_path, lambda day: old())
    (tmp_path / export.MANIFEST).unlink()
    with pytest.raises(Failed, match="no export that can be read"):
        export.check_file(tmp_path)
