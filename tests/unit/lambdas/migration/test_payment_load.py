"""Files of payments are loaded and followed like those of customers, and end in the ledger."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from lambdas.migration import changes, payment_load
from lambdas.migration.skipping import skip
from tests.unit.lambdas.imported import DAY, NOW, PAYMENT, VISA, Death
from tests.unit.lambdas.migration.conftest import Move
from tests.unit.lambdas.stores import Killed, nothing

KEY = "full-load/public/payments/LOAD00000001.csv"
CHANGES = "changes/CDC_TXN-2026112901020345{}.csv"


def text(rows: Sequence[Sequence[str | None]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(["NULL" if each is None else each for each in row] for row in rows)
    return buffer.getvalue()


def load_file(*payments: Mapping[str, str | None]) -> str:
    return text([["Op", *PAYMENT], *(["I", *{**PAYMENT, **changes}.values()] for changes in payments)])


def change(op: str, **changes: str | None) -> list[str | None]:
    return [op, "payments", "public", *{**PAYMENT, **changes}.values()]


@pytest.fixture
def ready(move: Move) -> Move:
    """With the customer and the merchant of the payments."""
    move.admin.run("INSERT INTO customers VALUES ('c1', 'active', 'DE', '{USD}')")
    move.admin.run("INSERT INTO merchants VALUES ('shop', 'active', '{USD}')")
    return move


def statuses(move: Move) -> dict[str, str]:
    return {item["source_id"]["S"]: item["status"]["S"] for item in move.platform.history.items.values()}


def test_a_file_of_payments_is_in_the_ledger_with_its_report_beside_it(ready: Move) -> None:
    progress = ready.load(KEY, load_file({}, {"payment_id": "old-2", "status": "declined"}, {"payment_id": "x y"}))
    assert (progress.state, statuses(ready)) == ("done", {"old-1": "approved", "old-2": "declined"})
    report = json.loads(ready.s3.objects[f"{KEY}.report.json"])
    assert (report["read"], report["inserted"], report["rejected"]) == (3, 2, 1)
    assert report["rejected_rows"] == [
        {"line": 4, "column": "payment_id", "reason": "has characters that an id has not, or over 64"}
    ]
    assert report["sums"]["USD"]["declined"] == {"records": 1, "minor": 1250}
    assert report["notes"] == ["columns without a place here, which were left out: card_expiry, idempotency_key"]
    assert ready.platform.breaks(DAY) == []
    # And its import has ended, by the last record of the audit log
    *_, last = ready.platform.audit_log.records.values()
    assert json.loads(last.body)["counts"] == {
        "read": 3, "inserted": 2, "updated": 0, "unchanged": 0, "rejected": 1,
    }  # fmt: skip


def test_a_payment_that_the_ledger_does_not_hold_is_rejected_so_its_file_stays(
    ready: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a ledger that loses what it has acknowledged
    monkeypatch.setattr(ready.platform.history, "write", lambda item, replaces: True)
    # Then nothing counts as imported
    progress = ready.load(KEY, load_file({}))
    assert (progress.report.inserted, progress.report.rejected) == (0, 1)
    assert progress.report.listed == [(2, "payment_id", "the ledger was changed meanwhile: verify its day")]
    assert ready.state.verified() == {}


def test_no_card_number_is_in_the_database_or_in_a_report(ready: Move) -> None:
    ready.load(KEY, load_file({}, {"payment_id": "b", "amount": VISA}, {"payment_id": "c", "status": VISA}))
    # Also not that of a file without a header, of a header, of a key that was deleted, or of a table's name
    ready.load(KEY.replace("1.csv", "2.csv"), f"I,p-1,2026-03-04 10:00:00,shop,c1,12.50,USD,{VISA},approved\n")
    ready.load(KEY.replace("1.csv", "3.csv"), f"Op,{VISA},{VISA}\n")
    for number in (2, 3):
        ready.s3.lose(KEY.replace("1.csv", f"{number}.csv"))
    customers = "full-load/public/customers/LOAD00000001.csv"
    ready.load(customers, "Op,customer_id,status,country,allowed_currencies\nI,c9,active,DE,EUR\n")
    ready.s3.put(CHANGES.format("1"), text([change("U", status="declined"), change("I", payment_id=VISA)]))
    ready.s3.put(CHANGES.format("2"), f"D,customers,public,{VISA},,,\n")
    ready.s3.put(CHANGES.format("3"), f"I,{VISA},public,a\n")
    assert [each.report.rejected for each in ready.follow()] == [1, 1, 0]
    tables = [
        f"{schema}.{name}"
        for schema, name in ready.rows(
            "SELECT table_schema, table_name FROM information_schema.tables "
            "WHERE table_schema IN ('public', 'migration') AND table_type = 'BASE TABLE'"
        )
    ]
    assert "migration.files" in tables
    stored = json.dumps([ready.rows(f"SELECT t::text FROM {table} t") for table in tables])
    stored += "".join(body.decode() for key, body in ready.s3.objects.items() if key.endswith(".report.json"))
    assert "old-1" not in tables
    assert VISA not in stored


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("", "the file is empty"),
        ("Op,payment_id\n", "the header lacks the column created_at, merchant_id"),
        (load_file({}).encode("utf-16"), "is not UTF-8"),
    ],
)
def test_a_file_that_is_none_is_refused(body: Any, fault: str, ready: Move) -> None:
    progress = ready.load(KEY, body)
    assert progress.state == "refused"
    assert fault in progress.report.fault
    assert ready.platform.history.items == {}


def test_what_comes_before_a_fault_of_the_file_stays_loaded_and_is_told(ready: Move) -> None:
    progress = ready.load(KEY, load_file({}) + 'I,"never closed')
    assert (progress.state, progress.report.fault) == ("refused", "line 3: a quote is opened and never closed")
    assert (progress.report.inserted, statuses(ready)) == (1, {"old-1": "approved"})
    assert ready.platform.breaks(DAY) == []


def test_a_refused_file_leaves_nothing_pending_so_that_a_deletion_is_named(ready: Move) -> None:
    ready.load(KEY, load_file({}, {"payment_id": "old-2"}) + 'I,"never closed')
    ready.s3.lose(KEY)
    ready.s3.put(CHANGES.format("1"), text([change("I", payment_id="old-3")]) + "nonsense\n")
    ready.load(KEY.replace("1.csv", "2.csv"), load_file())  # the changes know the columns
    assert [each.state for each in ready.follow()] == ["refused"]
    ready.platform.history.items.clear()
    verdict = ready.platform.verify()
    assert (len(verdict.breaks), verdict.pending) == (3, ())


@pytest.mark.parametrize("what", ["replaced", "gone, and given up"])
@pytest.mark.parametrize("of", ["a full load", "changes"])
def test_an_import_that_died_and_whose_file_is_not_the_same_any_more_is_given_up(
    of: str, what: str, ready: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an import of four payments that dies when its second part is recorded, and one of its payments written
    monkeypatch.setattr(payment_load, "SLICE_ROWS", 2)
    monkeypatch.setattr(changes, "SLICE_LINES", 2)
    ready.load(KEY.replace("1.csv", "2.csv"), load_file())
    ids = [f"p{n}" for n in range(4)]
    key = KEY if of == "a full load" else CHANGES.format("1")

    def run(*ids: str) -> Any:
        loads = of == "a full load"
        body = (
            load_file(*({"payment_id": id} for id in ids)) if loads else text([change("I", payment_id=i) for i in ids])
        )
        ready.s3.put(key, body)
        return ready.load(key) if loads else ready.follow()

    written = iter(range(4))
    history = ready.platform.history

    def dying(step: str) -> None:
        if step == "before write" and next(written) == 3:
            raise Killed(step)

    history.hook = dying
    with pytest.raises(Killed):
        run(*ids)
    history.hook = nothing
    assert len(ready.platform.verify().pending) == 1
    # When its file is replaced by one without the last payments, or gone and given up
    ready.platform.now += timedelta(minutes=1)
    if what == "replaced":
        run("p0", "p1")
    else:
        ready.s3.lose(key)
        skip(ready.state, ready.bucket, ready.payment_import, key, by="ann", why="it is lost")
    # Then nothing is pending any more, nothing is wrong, and the record of it has its place among the others
    verdict = ready.platform.verify()
    assert (verdict.breaks, verdict.pending) == ((), ())
    assert [name for name in ready.platform.audit_log.records if name.endswith(".given-up.json")]
    assert ready.platform.breaks(NOW.date().isoformat()) == []
    # And a payment that was written, and is deleted now, is named
    del history.items[next(iter(history.items))]
    assert len(ready.platform.verify().breaks) == 1


def test_a_killed_load_goes_on_where_it_was(ready: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payment_load, "SLICE_ROWS", 2)
    body = load_file(*({"payment_id": f"p{n}", "amount": f"{n + 1}"} for n in range(7)))
    expected = {f"p{n}": "approved" for n in range(7)}
    step = 0
    while True:
        step += 5
        ready.platform.history.items.clear()
        ready.platform.audit_log.records.clear()
        with ready.state.transaction():
            ready.state.forget(KEY)
        ready.platform.die_at(Death(step))
        try:
            ready.load(KEY, body)
        except Killed:
            pass
        else:
            break
        ready.platform.die_at(nothing)
        progress = ready.load(KEY)
        assert (progress.state, progress.report.read, progress.report.inserted) == ("done", 7, 7)
        assert statuses(ready) == expected
        assert ready.platform.breaks(DAY) == []
    assert step > 20


def test_changes_of_payments_come_with_the_customers_that_they_need(ready: Move) -> None:
    # Given loaded payments and customers, when one file of changes brings a customer, a payment of it, and a status
    ready.load(KEY, load_file({"status": "review"}))
    ready.load(
        "full-load/public/customers/LOAD00000001.csv",
        "Op,customer_id,status,country,allowed_currencies\nI,c1,active,DE,USD\n",
    )
    ready.s3.put(
        CHANGES.format("1"),
        text([
            ["I", "customers", "public", "c2", "active", "FR", "USD"],
            change("I", payment_id="old-2", customer_id="c2"),
            change("U", status="approved"),
            change("I", payment_id="old-3", customer_id="unheard-of"),
        ]),
    )  # fmt: skip
    [progress] = ready.follow()
    # Then all are applied, and the one of nobody is named
    assert statuses(ready) == {"old-1": "approved", "old-2": "approved"}
    assert progress.report.listed == [(4, "customer_id", "is no customer of this platform: import the customers first")]
    assert ready.platform.breaks(DAY) == []
    assert [name for name in ready.platform.audit_log.records if ".imp_" not in name][-1].startswith("imports/2026-")


def test_changes_wait_for_the_load_of_payments(ready: Move) -> None:
    ready.s3.put(KEY, load_file({}))
    ready.s3.put(CHANGES.format("1"), text([change("U", status="declined")]))
    with pytest.raises(Exception, match="1 files of the full load are not loaded"):
        ready.follow()
    ready.load(KEY)
    ready.follow()
    assert statuses(ready) == {"old-1": "declined"}
    # And the load again does not undo the change
    assert ready.load(KEY.replace("1.csv", "2.csv"), load_file({})).report.superseded == 1
    assert statuses(ready) == {"old-1": "declined"}
