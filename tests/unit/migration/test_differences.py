"""Whatever differs between the two sides is found and named, and nothing else is, while both change."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.migration.comparison import CANONICAL, TARGET, Chunk, Side
from migration import differences
from migration.differences import Comparison, Kind, Stretch, compare, wait
from migration.outcome import Inconclusive
from migration.source import Source
from migration.verify import check, lines
from tests.oldsystem.population import populate
from tests.unit.migration.sides import Sides

CUSTOMERS = 300
SHOP = "arn:aws:iam::111122223333:role/shop"


def nothing() -> None:
    """Nobody waits."""


class Bench:
    """Both sides with the same rows, and a connection to each."""

    def __init__(self, sides: Sides) -> None:
        self.old, self.here = sides.old.connect(), sides.platform()
        populate(self.old, customers=CUSTOMERS, merchants=4)
        sides.move()

    def compare(
        self,
        table: str = "customers",
        *,
        arrived: Callable[[], None] = nothing,
        most: int = 1000,
        chunk_rows: int = 100,
    ) -> Comparison:
        return compare(
            Source(self.old), Side(self.here, TARGET), table, most=most, arrived=arrived, chunk_rows=chunk_rows
        )

    @contextmanager
    def changed(self) -> Iterator[None]:
        """What is done in it is undone at its end."""
        connections = (self.old, self.here)
        for connection in connections:
            connection.run("START TRANSACTION")
        try:
            yield
        finally:
            for connection in connections:
                connection.run("ROLLBACK")

    def close(self) -> None:
        self.old.close()
        self.here.close()


@pytest.fixture(scope="module")
def bench(both: Sides) -> Iterator[Bench]:
    both.clear()
    bench = Bench(both)
    yield bench
    bench.close()


@pytest.fixture(autouse=True)
def small_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows are halved often."""
    monkeypatch.setattr(differences, "LEAF_ROWS", 4)


def id_of(number: int) -> str:
    return f"c-{number:07d}"


@pytest.mark.parametrize("table", CANONICAL)
def test_the_same_rows_are_alike_beside_the_platform_s_own(bench: Bench, table: str) -> None:
    with bench.changed():
        bench.old.run("CREATE TABLE merchant_principals (principal text, merchant_id text)")
        for side in (bench.old, bench.here):
            side.run(f"INSERT INTO merchant_principals VALUES ('{SHOP}', 'm-001')")
        found = bench.compare(table)
        assert not found.differs
        assert found.here == found.there
        rows = {"customers": CUSTOMERS, "merchants": 4, "merchant_principals": 1, "merchant_customers": CUSTOMERS}
        assert found.there["rows"] == rows[table]


def test_a_principal_of_another_merchant_is_named_and_one_that_only_this_platform_knows_is_its_own(
    bench: Bench,
) -> None:
    with bench.changed():
        bench.here.run(f"INSERT INTO merchant_principals VALUES ('{SHOP}', 'm-002')")
        assert "merchant_principals" not in Source(bench.old).tables()
        bench.old.run("CREATE TABLE merchant_principals (principal text, merchant_id text)")
        bench.old.run(f"INSERT INTO merchant_principals VALUES ('{SHOP}', 'm-001')")
        assert "merchant_principals" in Source(bench.old).tables()
        [found] = bench.compare("merchant_principals").differences
        assert (found.key, found.kind) == (SHOP, Kind.OTHER)


def test_two_empty_sides_prove_nothing() -> None:
    empty = Comparison(table="customers", there={"rows": 0}, here={"rows": 0})
    with pytest.raises(Inconclusive, match="neither side has a row"):
        check([empty])
    check([empty, Comparison(table="merchants", there={"rows": 1}, here={"rows": 1})])


PLANTED = st.dictionaries(st.integers(1, CUSTOMERS), st.sampled_from([*Kind, "there", "time"]), max_size=12)


@settings(max_examples=15, deadline=None)
@given(PLANTED, st.sampled_from([1, 7, 100, 10_000]))
def test_the_planted_differences_are_named_and_no_others(
    bench: Bench, planted: dict[int, Any], chunk_rows: int
) -> None:
    with bench.changed():
        expected = {}
        for number, what in planted.items():
            name, kind = id_of(number), what if isinstance(what, Kind) else Kind.OTHER
            if what is Kind.MISSING:
                bench.here.run("DELETE FROM merchant_customers WHERE customer_id = :id", id=name)
                bench.here.run("DELETE FROM customers WHERE customer_id = :id", id=name)
            elif what is Kind.EXTRA:
                name += "x"
                bench.here.run("INSERT INTO customers VALUES (:id, 'active', 'DE', '{EUR}')", id=name)
            elif what is Kind.OTHER:
                bench.here.run("UPDATE customers SET payment_limits = '{\"EUR\": 1}' WHERE customer_id = :id", id=name)
            elif what == "there":
                bench.old.run("UPDATE customers SET allowed_currencies = 'SEK' WHERE customer_id = :id", id=name)
            else:
                bench.here.run("UPDATE customers SET created_at = created_at + interval '1 microsecond' "
                               "WHERE customer_id = :id", id=name)  # fmt: skip
            expected[name] = kind
        found = bench.compare(chunk_rows=chunk_rows)
        assert {each.key: each.kind for each in found.differences} == expected
        assert (found.stretches, found.unsettled, found.more, found.in_flight) == ([], [], False, 0)
        assert all((each.seen is None) == (each.kind is Kind.MISSING) for each in found.differences)


def test_a_key_of_two_columns_is_named_by_both(bench: Bench) -> None:
    with bench.changed():
        [[merchant]] = bench.old.run("SELECT merchant_id FROM merchant_customers WHERE customer_id = 'c-0000007'")
        bench.here.run("DELETE FROM merchant_customers WHERE customer_id = 'c-0000007'")
        [found] = bench.compare("merchant_customers").differences
        assert (found.key, found.kind) == (f'["{merchant}", "c-0000007"]', Kind.MISSING)


def test_what_means_the_same_is_no_difference(bench: Bench) -> None:
    with bench.changed():
        bench.old.run(
            "UPDATE customers SET status = 'Active', allowed_currencies = ' JPY, USD,EUR , GBP', "
            "payment_limits = '  {\"USD\": 30000,\n \"EUR\":25000}' WHERE customer_id = 'c-0000030'"
        )
        bench.old.run("UPDATE customers SET spending_limits = '' WHERE customer_id = 'c-0000031'")
        bench.old.run("UPDATE merchants SET allowed_currencies = '{USD,\"GBP\",JPY,EUR}' WHERE merchant_id = 'm-001'")
        assert not bench.compare().differs
        assert not bench.compare("merchants").differs


def test_a_row_that_no_load_could_take_is_a_difference_and_not_the_end(bench: Bench) -> None:
    with bench.changed():
        bench.old.run("UPDATE customers SET payment_limits = 'none' WHERE customer_id = 'c-0000031'")
        assert [each.key for each in bench.compare().differences] == ["c-0000031"]


def test_a_change_on_its_way_is_no_difference(bench: Bench) -> None:
    with bench.changed():
        # Given a change that the platform gets a moment later, and another that it never gets
        bench.old.run("UPDATE customers SET status = 'closed' WHERE customer_id IN ('c-0000008', 'c-0000009')")
        found = bench.compare(
            arrived=lambda: bench.here.run("UPDATE customers SET status = 'closed' WHERE customer_id = 'c-0000008'")
        )
        assert [each.key for each in found.differences] == ["c-0000009"]
        assert found.in_flight == 1


def test_a_row_that_changes_all_the_time_proves_nothing(bench: Bench) -> None:
    with bench.changed():
        numbers = count()

        def change() -> None:
            bench.old.run(
                "UPDATE customers SET spending_limits = :limits WHERE customer_id = 'c-0000010'",
                limits=f'{{"day": {next(numbers)}}}',
            )

        change()
        found = bench.compare(arrived=change)
        assert (found.unsettled, found.differences) == (["c-0000010"], [])
        assert next(numbers) == 1 + differences.LOOKS


def test_rows_of_which_one_side_has_none_are_told_as_a_stretch(bench: Bench) -> None:
    with bench.changed():
        # Given two hundred rows that are missing here, of which the second half is on its way
        half = "customer_id BETWEEN 'c-0000201' AND 'c-0000300'"
        bench.here.run(f"CREATE TEMPORARY TABLE coming ON COMMIT DROP AS SELECT * FROM customers WHERE {half}")
        for table in ("merchant_customers", "customers"):
            bench.here.run(f"DELETE FROM {table} WHERE customer_id BETWEEN 'c-0000101' AND 'c-0000300'")
        found = bench.compare(arrived=lambda: bench.here.run("INSERT INTO customers SELECT * FROM coming"))
        assert found.stretches == [Stretch(chunk=Chunk("c-0000101", "c-0000201"), kind=Kind.MISSING, rows=100)]
        assert found.differs


def test_more_differences_than_can_be_named_are_said_to_be_more(bench: Bench) -> None:
    with bench.changed():
        bench.here.run("UPDATE customers SET country = 'NL' WHERE customer_id LIKE 'c-%'")
        found = bench.compare(most=10)
        assert (len(found.differences), found.more) == (10, True)
    # And when those that were looked at have come, nothing is proven of the others
    found.differences.clear()
    assert "customers: unsettled" in next(iter(lines([found])))
    with pytest.raises(Inconclusive, match="more rows of customers differed"):
        check([found])


@pytest.mark.parametrize(
    ("lags", "slept"),
    [
        ([0.0], [30]),
        ([500.0, 200.0, 0.0], [30, 5, 5]),
        ([31.0, 5.0], [30, 5]),  # what is left came after the wait began
    ],
)
def test_a_wait_ends_when_what_had_come_is_applied(
    lags: list[float], slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, pauses = [100.0], list[float]()

    def sleep(seconds: float) -> None:
        clock[0] += seconds
        pauses.append(seconds)

    monkeypatch.setattr(differences.time, "monotonic", lambda: clock[0])
    answers = iter(lags)
    wait(30, lambda: next(answers), 600, sleep)
    assert pauses == slept
    with pytest.raises(TimeoutError):
        wait(30, lambda: 1e9, 600, sleep)
