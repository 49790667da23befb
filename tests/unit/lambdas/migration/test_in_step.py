"""A real PostgreSQL as the old system, written to while it is loaded and followed by logical decoding."""

import random
import threading
from pathlib import Path
from typing import Any

from tests.oldsystem.database import old_system
from tests.oldsystem.exporter import Exporter
from tests.oldsystem.population import populate
from tests.unit.lambdas.migration.conftest import Move

MOVED = ("customers", "merchants", "merchant_customers")
ROWS = {
    "customers": "SELECT customer_id, status, country::text, created_at FROM customers ORDER BY 1",
    "merchants": "SELECT merchant_id, status, platform_wide, created_at FROM merchants ORDER BY 1",
    "merchant_customers": "SELECT merchant_id, customer_id FROM merchant_customers ORDER BY 1, 2",
}
_NEW = """
INSERT INTO customers (customer_id, status, country, allowed_currencies) VALUES (:id, 'active', 'DE', 'EUR,USD')
"""
_RENAMED = """
UPDATE customers SET customer_id = :new
WHERE customer_id = :id AND NOT EXISTS (SELECT FROM merchant_customers own WHERE own.customer_id = :id)
"""


def transaction(connection: Any, chance: random.Random, number: int) -> None:
    """One of the transactions that an office makes in a day."""
    connection.run("START TRANSACTION")
    id, merchant = f"c-{chance.randint(1, 60):07}", f"m-{chance.randint(1, 3):03}"
    match chance.randrange(5):
        case 0:
            connection.run(_NEW, id=f"new-{number}")
            connection.run("INSERT INTO merchant_customers VALUES (:m, :id)", m=merchant, id=f"new-{number}")
        case 1:
            connection.run("DELETE FROM merchant_customers WHERE customer_id = :id", id=id)
            connection.run("DELETE FROM customers WHERE customer_id = :id", id=id)
        case 2:
            status = chance.choice(("active", "suspended"))
            connection.run("UPDATE merchants SET status = :s WHERE merchant_id = :m", s=status, m=merchant)
        case 3:
            connection.run(_RENAMED, new=f"renamed-{number}", id=id)
        case _:
            status = chance.choice(("active", "blocked", "closed"))
            connection.run("UPDATE customers SET status = :s WHERE customer_id = :id", s=status, id=id)
    connection.run("ROLLBACK" if chance.random() < 0.1 else "COMMIT")


def test_the_platform_has_what_the_old_system_has_although_it_is_written_to(move: Move, tmp_path: Path) -> None:
    with old_system(tmp_path) as old:
        # Given an old system that is written to without a pause
        connection, chance, stop = old.connect(), random.Random(16), threading.Event()
        populate(connection, customers=60, merchants=3)
        exporter = Exporter(old, move.s3.put)
        exporter.begin()

        def write() -> None:
            for number in range(400):
                transaction(connection, chance, number)
            stop.set()

        writer = threading.Thread(target=write)
        writer.start()
        # When it is loaded, and followed until it rests
        for key in exporter.full_load(MOVED, rows_a_file=25):
            assert move.load(key).report.rejected == 0
        applied = []
        while not stop.is_set():
            exporter.changes(most=50)
            applied += move.follow()
        writer.join()
        while exporter.changes():
            applied += move.follow()
        applied += move.follow()
        # Then both have the same rows
        truth = old.connect()
        for table, sql in ROWS.items():
            assert move.rows(sql) == truth.run(sql), table
        # And several files were applied while it was written to, with changes of each kind
        assert len(applied) > 1
        for name in ("inserted", "updated", "deleted"):
            assert sum(getattr(each.report, name) for each in applied) > 0, name
        truth.close()
        connection.close()
        exporter.end()
