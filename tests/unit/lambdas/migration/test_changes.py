"""Changes of the old system: in their order, each exactly once, also those that come late, twice or out of order."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lambdas.migration import changes
from lambdas.migration.changes import Waiting
from lambdas.migration.state import DONE, REFUSED
from tests.unit.lambdas.migration.conftest import Move

CUSTOMERS = "full-load/public/customers/LOAD00000001.csv"
MERCHANTS = "full-load/public/merchants/LOAD00000001.csv"
LINKS = "full-load/public/merchant_customers/LOAD00000001.csv"
FIRST, SECOND, THIRD = (f"changes/CDC_TXN-2026112901000{n}000.csv" for n in range(3))


def customer(op: str, id: str, status: str = "active") -> str:
    return f"{op},customers,public,{id},{status},DE,EUR\n"


def link(op: str, merchant: str, id: str) -> str:
    return f"{op},merchant_customers,public,{merchant},{id}\n"


@pytest.fixture
def loaded(move: Move) -> Move:
    """Two customers and a merchant, by a full load."""
    move.load(CUSTOMERS, "Op,customer_id,status,country,allowed_currencies\nI,c-1,active,DE,EUR\nI,c-2,active,DE,EUR\n")
    move.load(MERCHANTS, "Op,merchant_id,status,allowed_currencies\nI,m-1,active,EUR\n")
    move.load(LINKS, "Op,merchant_id,customer_id\nI,m-1,c-1\n")
    return move


def statuses(move: Move) -> dict[str, str]:
    return {id: status for id, status in move.rows("SELECT customer_id, status FROM customers")}


def links(move: Move) -> list[list[str]]:
    return move.rows("SELECT merchant_id, customer_id FROM merchant_customers ORDER BY 1, 2")


def test_inserts_updates_and_deletes_are_applied_over_all_tables(loaded: Move) -> None:
    # When a file has the changes of transactions over three tables
    loaded.s3.put(
        FIRST,
        customer("I", "c-3") + link("I", "m-1", "c-3") + customer("U", "c-2", "blocked") + link("D", "m-1", "c-1")
        + customer("D", "c-1") + "U,merchants,public,m-1,suspended,EUR\n",
    )  # fmt: skip
    [applied] = loaded.follow()
    # Then the tables are as those of the old system
    assert statuses(loaded) == {"c-2": "blocked", "c-3": "active"}
    assert links(loaded) == [["m-1", "c-3"]]
    assert loaded.rows("SELECT status FROM merchants") == [["suspended"]]
    counted = applied.report
    assert (counted.read, counted.inserted, counted.updated, counted.deleted, counted.rejected) == (6, 2, 2, 2, 0)
    assert loaded.state.watermark() == {"file": FIRST, "line": 6}
    assert f"{FIRST}.report.json" in loaded.s3.objects


def test_the_last_change_of_a_row_counts(loaded: Move) -> None:
    loaded.s3.put(
        FIRST,
        customer("D", "c-2") + customer("I", "c-2", "closed") + customer("U", "c-2", "blocked") + customer("I", "c-4")
        + customer("D", "c-4"),
    )  # fmt: skip
    loaded.follow()
    assert statuses(loaded) == {"c-1": "active", "c-2": "blocked"}


def test_a_file_that_comes_again_changes_nothing(loaded: Move) -> None:
    loaded.s3.put(FIRST, customer("U", "c-1", "blocked"))
    loaded.s3.put(SECOND, customer("U", "c-1", "closed"))
    loaded.follow()
    assert loaded.follow() == []
    # The same under another name of a later time would be another change: the name says which one it is.
    loaded.s3.put(FIRST, customer("U", "c-1", "blocked") + customer("U", "c-2", "blocked"))
    [again] = loaded.follow()
    assert statuses(loaded) == {"c-1": "closed", "c-2": "blocked"}
    assert (again.report.superseded, again.report.updated) == (1, 1)
    assert "has changed after 1 lines" in again.report.notes[0]


def test_a_late_file_changes_only_what_no_newer_change_has_replaced(loaded: Move) -> None:
    # Given a file that was applied, with a deletion
    loaded.s3.put(SECOND, customer("U", "c-1", "closed") + customer("D", "c-2"))
    loaded.follow()
    # When an older one arrives
    loaded.s3.put(FIRST, customer("U", "c-1", "blocked") + customer("U", "c-2", "blocked") + customer("I", "c-3"))
    [late] = loaded.follow()
    # Then the newer states stay, and the deleted row does not come back
    assert statuses(loaded) == {"c-1": "closed", "c-3": "active"}
    assert (late.report.superseded, late.report.inserted) == (2, 1)
    assert late.report.notes == [f"the file is late: {SECOND} was applied before it"]


def test_a_full_load_does_not_undo_changes(loaded: Move) -> None:
    loaded.s3.put(FIRST, customer("U", "c-1", "closed") + customer("D", "c-2"))
    loaded.follow()
    again = loaded.load(CUSTOMERS.replace("1.csv", "2.csv"), loaded.s3.objects[CUSTOMERS])
    assert again.report.superseded == 2
    assert statuses(loaded) == {"c-1": "closed"}


@pytest.mark.parametrize("seed", range(5))
def test_files_in_any_order_end_as_the_old_system(seed: int, loaded: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given random changes in many files, and a slice that ends in the middle of them
    monkeypatch.setattr(changes, "SLICE_LINES", 3)
    chance, truth, files = random.Random(seed), {"c-1": "active", "c-2": "active"}, []
    for number in range(12):
        lines = ""
        for _ in range(chance.randint(1, 8)):
            id = f"c-{chance.randint(2, 6)}"
            op = chance.choice("UD") if id in truth else "I"
            status = chance.choice(("active", "blocked", "closed"))
            lines += customer(op, id, status)
            if op == "D":
                del truth[id]
            else:
                truth[id] = status
        files.append((f"changes/CDC_TXN-20261129{number:09d}.csv", lines))
    # When they arrive in any order, some of them twice
    chance.shuffle(files)
    for key, lines in [*files, *files[:4]]:
        loaded.s3.put(key, lines)
        loaded.follow()
    # Then
    assert statuses(loaded) == truth


class Killed(BaseException):
    pass


@pytest.mark.parametrize("statement", range(1, 26))
def test_a_run_that_is_killed_applies_each_change_once(
    statement: int, loaded: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "SLICE_LINES", 2)
    loaded.s3.put(FIRST, customer("I", "c-3") + link("I", "m-1", "c-3") + customer("D", "c-2") + customer("I", "c-4"))
    run, left = loaded.connection.run, iter(range(statement))

    def dying(sql: str, **parameters: Any) -> Any:
        if next(left, None) is None and sql != "ROLLBACK":
            raise Killed
        return run(sql, **parameters)

    monkeypatch.setattr(loaded.connection, "run", dying)
    with pytest.raises(Killed):
        loaded.follow()
    monkeypatch.setattr(loaded.connection, "run", run)
    [applied] = loaded.follow()
    assert statuses(loaded) == {"c-1": "active", "c-3": "active", "c-4": "active"}
    assert (applied.report.read, applied.report.inserted, applied.report.deleted) == (4, 3, 1)


def test_a_schema_that_changes_half_way_stops_at_the_line_and_goes_on_with_the_new_columns(loaded: Move) -> None:
    # Given a line with a column more
    loaded.s3.put(FIRST, customer("U", "c-1", "closed") + "U,customers,public,c-2,blocked,DE,EUR,x@y.z\n")
    [stopped] = loaded.follow()
    # Then what comes before it is applied, and the fault says what to do
    assert (stopped.state, stopped.position.line) == (REFUSED, 1)
    assert "line 2: public.customers has 5 columns, and had 4 in its full load" in stopped.report.fault
    assert "--columns public.customers=" in stopped.report.fault
    assert statuses(loaded) == {"c-1": "closed", "c-2": "active"}
    # When the new columns are given
    loaded.state.set_layout("public.customers", ["customer_id", "status", "country", "allowed_currencies", "email"])
    [done] = loaded.follow()
    # Then it goes on there
    assert (done.state, done.report.fault) == (DONE, "")
    assert statuses(loaded) == {"c-1": "closed", "c-2": "blocked"}


def test_the_commit_time_that_some_files_have_is_no_column(loaded: Move) -> None:
    loaded.s3.put(FIRST, "U,customers,public,2026-11-29 01:00:00.123456,c-1,closed,DE,EUR\n")
    [applied] = loaded.follow()
    assert (applied.state, statuses(loaded)["c-1"]) == (DONE, "closed")


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        (customer("U", "c-1", "asleep"), "status", "is none of"),
        (link("I", "m-1", "c-99"), "customer_id", "refers to none of the customers that moved"),
        (customer("D", "c-1"), "customer_id", "is deleted, and rows of merchant_customers still refer to it"),
        ("D,customers,public,,,,\n", "customer_id", "is missing"),
    ],
)
def test_a_change_that_can_not_be_is_named_and_the_next_are_applied(
    line: str, column: str, reason: str, loaded: Move
) -> None:
    loaded.s3.put(FIRST, line + customer("U", "c-2", "closed"))
    [applied] = loaded.follow()
    [(number, found, said)] = applied.report.listed
    assert (applied.state, number, found) == (DONE, 1, column)
    assert reason in said
    assert statuses(loaded) == {"c-1": "active", "c-2": "closed"}


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("Op,customer_id\n", "line 1 is no change"),
        ("I,customers\n", "line 1 is no change"),
        (customer("U", "c-1", "closed").encode() + b"U,customers,public,\xff\n", "line 2 is not UTF-8"),
    ],
)
def test_a_file_that_is_none_stops_at_the_line(body: Any, fault: str, loaded: Move) -> None:
    loaded.s3.put(FIRST, body)
    loaded.s3.put(SECOND, customer("U", "c-2", "closed"))
    [stopped] = loaded.follow()
    assert (stopped.state, fault in stopped.report.fault) == (REFUSED, True)
    assert statuses(loaded)["c-2"] == "active", "nothing overtakes it"


def test_changes_of_tables_without_a_place_are_left_out_and_told(loaded: Move) -> None:
    loaded.s3.put(FIRST, "I,addresses,public,1,Main Street\n" + customer("U", "c-1", "closed"))
    [applied] = loaded.follow()
    assert (applied.report.skipped, statuses(loaded)["c-1"]) == (1, "closed")
    assert "public.addresses" in applied.report.notes[0]


def test_changes_wait_for_the_full_load(move: Move) -> None:
    # Given changes, and a full load that is not loaded
    move.s3.put(FIRST, customer("U", "c-1", "closed"))
    move.s3.put(CUSTOMERS, "Op,customer_id,status,country,allowed_currencies\nI,c-1,active,DE,EUR\n")
    with pytest.raises(Waiting, match="1 files of the full load are not loaded"):
        move.follow()
    # When it is loaded
    move.load(CUSTOMERS)
    move.follow()
    # Then
    assert statuses(move) == {"c-1": "closed"}


def test_changes_of_a_table_that_was_never_loaded_wait_at_their_line(move: Move) -> None:
    move.s3.put(FIRST, customer("I", "c-1"))
    [stopped] = move.follow()
    assert stopped.report.fault == "line 1: the full load of public.customers was not loaded yet"


def test_changes_wait_for_a_full_load_that_was_refused(loaded: Move) -> None:
    # Given a second file of customers that is refused, and changes that need one of its customers
    second = CUSTOMERS.replace("1.csv", "2.csv")
    assert loaded.load(second, "").state == REFUSED
    loaded.s3.put(FIRST, link("I", "m-1", "c-9"))
    # Then they wait, because they would be rejected
    with pytest.raises(Waiting, match=f"1 files of the full load are not loaded, the first is {second}"):
        loaded.follow()
    # When it is corrected, then they are applied
    loaded.load(second, "Op,customer_id,status,country,allowed_currencies\nI,c-9,active,DE,EUR\n")
    [applied] = loaded.follow()
    assert (applied.report.inserted, applied.report.rejected) == (1, 0)


@pytest.mark.parametrize("how", ["refused", "never read", "longer"])
def test_a_file_that_is_gone_before_it_was_applied_holds_up_the_later_ones(how: str, loaded: Move) -> None:
    # Given a file whose second line can't be applied, which nobody reads, or which has grown since, when it is gone
    good = customer("U", "c-1", "closed") + customer("U", "c-2", "closed")
    if how == "longer":
        loaded.s3.put(FIRST, customer("U", "c-1", "closed"))
        loaded.follow()
    loaded.s3.put(FIRST, customer("U", "c-1", "closed") + "nonsense\n" if how == "refused" else good)
    follower = changes.Follower(loaded.connection, loaded.bucket, _always, loaded.payment_import)
    follower.watch(follower.backlog())
    if how == "refused":
        loaded.follow()
    loaded.s3.lose(FIRST)
    loaded.s3.put(SECOND, customer("U", "c-2", "blocked"))
    # Then nothing overtakes it, the fault says what to do, and the lag grows
    with pytest.raises(Waiting, match=f"{FIRST} is not applied to its end, and not in the bucket any more: put it"):
        loaded.follow()
    assert statuses(loaded)["c-2"] == "active"
    assert follower.backlog().lag_seconds(datetime.now(UTC) + timedelta(hours=1)) > 3500
    # And an older one that comes late may go on
    loaded.s3.put(FIRST.replace("010000000", "005959000"), customer("I", "c-5"))
    with pytest.raises(Waiting):
        loaded.follow()
    assert statuses(loaded)["c-5"] == "active"
    # When it is there again, and right, then both are applied
    loaded.s3.put(FIRST, good)
    loaded.follow()
    assert statuses(loaded) == {"c-1": "closed", "c-2": "blocked", "c-5": "active"}


def test_a_principal_moves_to_another_merchant_only_by_name(loaded: Move) -> None:
    # Given a principal of a merchant, and another merchant
    shop, key = "arn:aws:iam::111111111111:role/shop", "full-load/public/merchant_principals/LOAD00000001.csv"
    loaded.load(key, f"Op,principal,merchant_id\nI,{shop},m-1\n")
    loaded.load(MERCHANTS.replace("1.csv", "2.csv"), "Op,merchant_id,status,allowed_currencies\nI,m-2,active,EUR\n")

    def principal(op: str, merchant: str) -> str:
        return f"{op},merchant_principals,public,{shop},{merchant}\n"

    # When files of each kind would move it, or take it away and bring it back elsewhere
    again = loaded.load(key.replace("1.csv", "2.csv"), f"Op,principal,merchant_id\nI,{shop},m-2\n")
    loaded.s3.put(FIRST, principal("U", "m-2"))
    loaded.s3.put(SECOND, principal("D", "m-1") + principal("I", "m-2"))
    applied = [again, *loaded.follow()]
    # Then it is rejected, and named
    for each in applied:
        [(_, column, reason)] = each.report.listed
        assert column == "merchant_id"
        assert "`repair --principal` names it" in reason
    assert loaded.rows("SELECT merchant_id FROM merchant_principals") == [["m-1"]]
    loaded.s3.put(THIRD, principal("D", "m-1"))
    loaded.follow()
    loaded.s3.put(THIRD.replace("0.csv", "1.csv"), principal("I", "m-2"))
    [back] = loaded.follow()
    assert (back.report.rejected, loaded.rows("SELECT merchant_id FROM merchant_principals")) == (1, [])


def test_the_lag_is_the_age_of_the_oldest_file_that_waits_by_the_clock_of_s3(loaded: Move) -> None:
    # Given the clock of the old system is a day ahead
    now = datetime.now(UTC)
    ahead = f"changes/CDC_TXN-{now + timedelta(days=1):%Y%m%d%H%M%S}000.csv"
    loaded.s3.put(ahead, customer("U", "c-1", "closed"), arrived=now - timedelta(seconds=90))
    follower = changes.Follower(loaded.connection, loaded.bucket, _always, loaded.payment_import)
    assert follower.backlog().lag_seconds(now) == 90
    loaded.follow()
    assert follower.backlog().lag_seconds(now) == 0


def _always() -> bool:
    return True
