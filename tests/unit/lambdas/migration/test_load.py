"""A full load: each row as it should be, each other one named, and nothing half applied, whatever happens."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from lambdas.migration import load
from lambdas.migration.state import DONE, READING, REFUSED
from tests.unit.lambdas.migration.conftest import Move

CUSTOMERS = "full-load/public/customers/LOAD00000001.csv"
MERCHANTS = "full-load/public/merchants/LOAD00000001.csv"
LINKS = "full-load/public/merchant_customers/LOAD00000001.csv"
PRINCIPALS = "full-load/public/merchant_principals/LOAD00000001.csv"
HEADER = "Op,customer_id,status,country,allowed_currencies,payment_limits,spending_limits,created_at\n"
ANN = 'I,c-1,active,DE,"EUR,USD","{""EUR"": 250000}",{},2021-03-01 08:00:00.123456\n'
BOB = "I,c-2,blocked,US,USD,{},{},2022-03-01 08:00:00\n"


def customers(count: int) -> str:
    return HEADER + "".join(f"I,c-{n},active,DE,EUR,{{}},{{}},2021-03-01 08:00:00\n" for n in range(count))


def counts(move: Move, key: str) -> dict[str, int]:
    report = json.loads(move.s3.objects[f"{key}.report.json"])
    names = ("read", "inserted", "updated", "unchanged", "superseded", "rejected")
    return {name: report[name] for name in names if report[name]}


def faults(move: Move, key: str) -> list[tuple[int, str, str]]:
    report = json.loads(move.s3.objects[f"{key}.report.json"])
    return [(each["line"], each["column"], each["reason"]) for each in report["rejected_rows"]]


def test_customers_merchants_and_who_belongs_to_whom_arrive_as_they_were(move: Move) -> None:
    # When the files of four tables are loaded
    for key, body in (
        (CUSTOMERS, HEADER + ANN + BOB),
        (MERCHANTS, "Op,merchant_id,status,allowed_currencies,limits,required_fields,platform_wide,created_at\n"
                    'I,m-1,active,"EUR,USD","{""payment"": 500000}",country,true,2020-01-01 00:00:00\n'),
        (LINKS, "Op,merchant_id,customer_id\nI,m-1,c-1\nI,m-1,c-2\n"),
        (PRINCIPALS, "Op,principal,merchant_id\nI,arn:aws:iam::123456789012:role/shop,m-1\n"),
    ):  # fmt: skip
        assert move.load(key, body).state == DONE
    # Then each row has its values
    assert move.rows(
        "SELECT customer_id, status, country, allowed_currencies, payment_limits, spending_limits, created_at::text, "
        "synthetic FROM customers ORDER BY 1"
    ) == [
        ["c-1", "active", "DE", ["EUR", "USD"], {"EUR": 250000}, {}, "2021-03-01 08:00:00.123456+00", False],
        ["c-2", "blocked", "US", ["USD"], {}, {}, "2022-03-01 08:00:00+00", False],
    ]
    assert move.rows("SELECT merchant_id, limits, required_fields, platform_wide, takes FROM merchants") == [
        ["m-1", {"payment": 500000}, ["country"], True, "real"]
    ]
    assert move.rows("SELECT count(*) FROM merchant_customers") == [[2]]
    assert move.rows("SELECT * FROM merchant_principals") == [["arn:aws:iam::123456789012:role/shop", "m-1"]]
    assert counts(move, CUSTOMERS) == {"read": 2, "inserted": 2}


def test_the_same_rows_again_change_nothing_and_have_the_same_checksum(move: Move) -> None:
    # Given a file that was loaded
    first = move.load(CUSTOMERS, HEADER + ANN + BOB)
    # When another file has its rows in another order, and one of them changed
    again = move.load(CUSTOMERS.replace("1.csv", "2.csv"), HEADER + BOB + ANN)
    changed = move.load(CUSTOMERS.replace("1.csv", "3.csv"), HEADER + BOB + ANN.replace("active", "closed"))
    # Then
    assert (again.report.unchanged, again.report.checksum) == (2, first.report.checksum)
    assert (changed.report.unchanged, changed.report.updated) == (1, 1)
    assert changed.report.checksum != first.report.checksum


def test_a_column_that_a_file_lacks_keeps_its_values(move: Move) -> None:
    move.load(CUSTOMERS, HEADER + ANN)
    short = move.load(
        CUSTOMERS.replace("1.csv", "2.csv"), 'customer_id,status,country,allowed_currencies\nc-1,active,DE,"USD,EUR"\n'
    )
    assert short.report.unchanged == 1
    assert move.rows("SELECT payment_limits FROM customers") == [[{"EUR": 250000}]]


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        ("I,,active,DE,EUR,{},{},2021-03-01", "customer_id", "is no id"),
        ("I,NULL,active,DE,EUR,{},{},2021-03-01", "customer_id", "is missing"),
        ("I,4111111111111111,active,DE,EUR,{},{},2021-03-01", "customer_id", "may be a card number"),
        ("I,c-1,sleeping,DE,EUR,{},{},2021-03-01", "status", "is none of active, blocked, closed"),
        ("I,c-1,active,Germany,EUR,{},{},2021-03-01", "country", "two capital letters"),
        ("I,c-1,active,DE,XXX,{},{},2021-03-01", "allowed_currencies", "a currency that is not accepted"),
        ("I,c-1,active,DE,,{},{},2021-03-01", "allowed_currencies", "is empty"),
        ('I,c-1,active,DE,EUR,"{""EUR"": 1.5}",{},2021-03-01', "payment_limits", "no whole number of minor units"),
        ('I,c-1,active,DE,EUR,"{""ZZZ"": 1}",{},2021-03-01', "payment_limits", "a currency that is not accepted"),
        ('I,c-1,active,DE,EUR,{},"{""week"": 1}",2021-03-01', "spending_limits", "does not know"),
        ("I,c-1,active,DE,EUR,{,{},2021-03-01", "payment_limits", "is no JSON"),
        ("I,c-1,active,DE,EUR,{},{},yesterday", "created_at", "is no time"),
        ("I,c-1,active,DE,EUR,{},{},0001-01-01T00:00:00+14:00", "created_at", "is no time"),
        (f"I,c-1,active,DE,EUR,{'[' * 100_000},{{}},2021-03-01", "payment_limits", "is no JSON"),
        ("I,c-1,active,DE,EUR,{},{}", "", "has 7 fields, and the header has 8"),
        ("I,c-1,active,DE,EUR,{},{},2021-03-01,more", "", "has 9 fields, and the header has 8"),
        ("U,c-1,active,DE,EUR,{},{},2021-03-01", "op", "is not I"),
        ("X,c-1,active,DE,EUR,{},{},2021-03-01", "", "the operation is not I, U or D"),
        ("I,c-2,active,DE,EUR,{},{},2021-03-01", "customer_id", "is also in line 2, which was taken"),
    ],
)
def test_a_row_that_can_not_be_is_named_and_the_others_are_loaded(
    row: str, column: str, reason: str, move: Move
) -> None:
    # When a file has a faulty row between two others
    loaded = move.load(CUSTOMERS, HEADER + BOB + row + "\n" + BOB.replace("c-2", "c-3"))
    # Then that one is named by line, column and reason, without its values
    assert loaded.state == DONE
    assert counts(move, CUSTOMERS) == {"read": 3, "inserted": 2, "rejected": 1}
    [(line, found, said)] = faults(move, CUSTOMERS)
    assert (line, found) == (3, column)
    assert reason in said
    assert "4111" not in move.s3.objects[f"{CUSTOMERS}.report.json"].decode()


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("", "the file is empty: it has not even a header"),
        (HEADER.encode() + "I,c-1,active,Ö".encode("latin-1"), "line 2 is not UTF-8: export the file in UTF-8"),
        ((HEADER + ANN).encode("utf-16"), "line 1 is not UTF-8"),
        (HEADER + ANN + 'I,"c-2,active,DE,EUR,{},{},2021-03-01\n', "line 3: a quote is opened and never closed"),
        (HEADER + 'I,"c"2,active,DE,EUR,{},{},2021-03-01\n', "line 2: quotes are not as in RFC 4180"),
        ("Op,customer_id,country\nI,c-1,DE\n", "the header lacks the column status, allowed_currencies"),
        ("Op,customer_id,status,status\n", "line 1: column 4 has the name of an earlier one"),
        ("Op,,status\n", "line 1: column 2 has no name"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused_as_a_whole(body: Any, fault: str, move: Move) -> None:
    loaded = move.load(CUSTOMERS, body)
    assert loaded.state == REFUSED
    assert fault in json.loads(move.s3.objects[f"{CUSTOMERS}.report.json"])["fault"]
    assert move.rows("SELECT count(*) FROM customers") == [[0]]
    assert move.rows("SELECT count(*) FROM migration.staged_rows") == [[0]]


def test_a_header_without_rows_and_columns_without_a_place_are_told(move: Move) -> None:
    empty = move.load(CUSTOMERS, HEADER)
    assert (empty.state, empty.report.notes) == (DONE, ["the file has a header and no rows"])
    wide = move.load(
        CUSTOMERS.replace("1.csv", "2.csv"), HEADER.replace("\n", ",email\n") + ANN.replace("\n", ",a@b.c\n")
    )
    assert wide.report.notes == ["columns without a place here, which were left out: email"]
    assert wide.report.inserted == 1


def test_quotes_line_breaks_and_a_byte_order_mark_are_read(move: Move) -> None:
    body = (
        "\ufeff"
        + HEADER.replace("\n", ",remark\r\n")
        + ANN.replace("\n", ',"two\nlines, ""quoted"""\r\n')
        + BOB.replace("\n", ",é\r\n")
    )
    loaded = move.load(CUSTOMERS, body)
    assert (loaded.report.inserted, loaded.report.rejected, loaded.position.line) == (2, 0, 4)


def test_a_customer_that_nobody_has_is_no_merchants(move: Move) -> None:
    move.load(CUSTOMERS, HEADER + ANN)
    move.load(MERCHANTS, "merchant_id,status,allowed_currencies\nm-1,active,EUR\n")
    move.load(LINKS, "merchant_id,customer_id\nm-1,c-1\nm-1,c-9\nm-9,c-1\n")
    assert counts(move, LINKS) == {"read": 3, "inserted": 1, "rejected": 2}
    assert [(line, column) for line, column, _ in faults(move, LINKS)] == [(3, "customer_id"), (4, "merchant_id")]


def test_no_file_changes_the_load_tests_own_customers_and_merchants(move: Move) -> None:
    # Given the platform's own rows
    move.rows(
        "INSERT INTO customers (customer_id, status, country, allowed_currencies, synthetic) "
        "VALUES ('load-00001', 'active', 'US', '{USD}', true)"
    )
    move.rows(
        "INSERT INTO merchants (merchant_id, status, allowed_currencies, takes) "
        "VALUES ('synthetic', 'active', '{USD}', 'synthetic')"
    )
    move.rows("INSERT INTO merchant_principals VALUES ('123456789012', 'synthetic')")
    # When files name them
    move.load(CUSTOMERS, HEADER + ANN + ANN.replace("c-1", "load-00001"))
    move.load(MERCHANTS, "merchant_id,status,allowed_currencies\nsynthetic,closed,EUR\nm-1,active,EUR\n")
    move.load(LINKS, "merchant_id,customer_id\nsynthetic,c-1\nm-1,load-00001\n")
    move.load(PRINCIPALS, "principal,merchant_id\n123456789012,m-1\n")
    # Then they stay
    assert [counts(move, key).get("rejected") for key in (CUSTOMERS, MERCHANTS, LINKS, PRINCIPALS)] == [1, 1, 2, 1]
    assert move.rows("SELECT country FROM customers WHERE synthetic") == [["US"]]
    assert move.rows("SELECT status FROM merchants WHERE takes = 'synthetic'") == [["active"]]
    assert move.rows("SELECT merchant_id FROM merchant_principals") == [["synthetic"]]


def test_a_long_file_is_loaded_in_slices_and_is_in_no_table_before_its_end(
    move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given time for two slices in each call
    monkeypatch.setattr(load, "SLICE_ROWS", 100)
    move.s3.put(CUSTOMERS, customers(450))
    seen = []
    for _ in range(3):
        left = iter([True, True, False])
        progress = move.load(CUSTOMERS, time=lambda left=left: next(left, False))
        seen.append((progress.state, progress.position.line, move.rows("SELECT count(*) FROM customers")[0][0]))
    assert seen == [(READING, 201, 0), (READING, 401, 0), (DONE, 451, 450)]
    assert counts(move, CUSTOMERS) == {"read": 450, "inserted": 450}


def test_what_the_database_does_not_hold_as_the_file_says_is_not_loaded(move: Move) -> None:
    # Given a trigger of which the migration knows nothing
    move.admin.run("CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS "
                   "'BEGIN IF NEW.country = ''US'' THEN NEW.country := ''FR''; END IF; RETURN NEW; END'")  # fmt: skip
    move.admin.run("CREATE TRIGGER other BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION other()")
    try:
        # Then the run ends, and nothing of it is there
        with pytest.raises(RuntimeError, match="1 rows of customers are not as they were merged"):
            move.load(CUSTOMERS, HEADER + ANN + BOB)
        assert move.rows("SELECT count(*) FROM customers") == [[0]]
    finally:
        move.admin.run("DROP FUNCTION other CASCADE")
    assert move.load(CUSTOMERS).report.inserted == 2


class Killed(BaseException):
    pass


@pytest.mark.parametrize("statement", range(1, 15))
def test_a_run_that_is_killed_goes_on_and_applies_each_row_once(
    statement: int, move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at each statement: the database ends the transaction with the connection."""
    # Given a run that is killed
    monkeypatch.setattr(load, "SLICE_ROWS", 4)
    move.s3.put(CUSTOMERS, customers(10) + BOB.replace("c-2", "?"))
    run, left = move.connection.run, iter(range(statement))

    def dying(sql: str, **parameters: Any) -> Any:
        if next(left, None) is None and sql != "ROLLBACK":
            raise Killed
        return run(sql, **parameters)

    monkeypatch.setattr(move.connection, "run", dying)
    with pytest.raises(Killed):
        move.load(CUSTOMERS)
    monkeypatch.setattr(move.connection, "run", run)
    # When it is started again
    assert move.load(CUSTOMERS).state == DONE
    # Then each row is there once, and counted once
    assert counts(move, CUSTOMERS) == {"read": 11, "inserted": 10, "rejected": 1}
    assert move.rows("SELECT count(*) FROM customers") == [[10]]
    assert move.rows("SELECT count(*) FROM migration.staged_rows") == [[0]]


def first_slice_only() -> Callable[[], bool]:
    left = iter([True])
    return lambda: next(left, False)


def test_a_file_that_grows_while_it_is_read_is_read_again(move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "SLICE_ROWS", 4)
    # Given a file of which some rows wait
    move.load(CUSTOMERS, customers(10), time=first_slice_only())
    # When it has more rows now
    loaded = move.load(CUSTOMERS, customers(12))
    # Then all of them are loaded once, and the report says so
    assert (loaded.state, loaded.report.read, loaded.report.inserted) == (DONE, 12, 12)
    assert loaded.report.notes == ["the file has changed after 5 lines of it were read: it was read again"]


def test_rows_that_waited_and_were_lost_in_a_fail_over_are_read_again(
    move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "SLICE_ROWS", 4)
    move.load(CUSTOMERS, customers(10), time=first_slice_only())
    move.rows("TRUNCATE migration.staged_rows")
    assert move.load(CUSTOMERS).state == READING
    assert move.load(CUSTOMERS).report.inserted == 10
