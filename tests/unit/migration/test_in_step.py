"""From one real PostgreSQL to another, by files alone, while customers of the old system change all the time."""

import random
import threading
from typing import Any

import pytest

from lambdas.migration.comparison import TARGET, Side
from lambdas.migration.tables import TABLES
from migration.differences import compare
from migration.source import Source
from tests.oldsystem.exporter import Exporter
from tests.oldsystem.population import populate
from tests.unit.lambdas.migration.conftest import Move
from tests.unit.migration.sides import Sides

STATEMENTS = (
    "UPDATE customers SET status = 'blocked' WHERE customer_id = :id",
    "UPDATE customers SET payment_limits = '{\"EUR\": 12300}' WHERE customer_id = :id",
    "DELETE FROM merchant_customers WHERE customer_id = :id",
    "INSERT INTO merchant_customers SELECT 'm-003', customer_id FROM customers WHERE customer_id = :id "
    "ON CONFLICT DO NOTHING",
    "INSERT INTO customers VALUES (:id || '-new', 'active', 'DE', 'EUR') ON CONFLICT DO NOTHING",
    "DELETE FROM customers WHERE customer_id = :id || '-new'",
)


class Writer(threading.Thread):
    """Changes the old system in transactions of one to three statements, so many times."""

    def __init__(self, connection: Any, transactions: int) -> None:
        super().__init__()
        self._connection, self._transactions = connection, transactions
        self._random = random.Random(7)

    def run(self) -> None:
        for _ in range(self._transactions):
            self._connection.run("START TRANSACTION")
            for statement in self._random.choices(STATEMENTS, k=self._random.randint(1, 3)):
                self._connection.run(statement, id=f"c-{self._random.randint(1, 60):07d}")
            self._connection.run("ROLLBACK" if self._random.random() < 0.1 else "COMMIT")
        self._connection.close()


@pytest.fixture
def move(sides: Sides) -> Move:
    return Move(sides.migration(), sides.platform())


def test_the_platform_follows_an_old_system_that_never_stands_still(move: Move, sides: Sides) -> None:
    # Given an old system whose customers change while it is exported
    old = sides.old.connect()
    populate(old, customers=200, merchants=4)
    exporter = Exporter(sides.old, move.s3.put)
    exporter.begin()
    writer = Writer(sides.old.connect(), 400)
    writer.start()
    # When its full load is loaded, and its changes follow
    for key in exporter.full_load(tuple(each for each in TABLES if each != "merchant_principals"), rows_a_file=90):
        assert move.load(key).report.rejected == 0
    while writer.is_alive():
        exporter.changes(most=50)
        assert {each.state for each in move.follow()} <= {"done"}
    writer.join()
    while exporter.changes():
        move.follow()
    exporter.end()
    # Then both sides have the same rows
    for table in TABLES:
        if table != "merchant_principals":
            found = compare(Source(old), Side(move.connection, TARGET), table, most=9, arrived=lambda: None)
            assert not found.differs, found
    changed = move.rows("SELECT count(*) FROM migration.changed_rows")[0][0]
    assert changed > 60
    for connection in (old, move.connection, move.admin):
        connection.close()
