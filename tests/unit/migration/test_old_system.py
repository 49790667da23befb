"""The old system of the tests: its exporter writes what is in its database, and its service decides by rules."""

import csv
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from lambdas.payments.cards import CardNumber
from tests.oldsystem.database import TABLES, OldSystem
from tests.oldsystem.exporter import NULL, Exporter
from tests.oldsystem.population import populate
from tests.oldsystem.service import Service, private_file, server
from tests.unit.migration.sides import Sides

PAYMENT = {"customer_id": "c-0000001", "amount": "12.50", "currency": "EUR", "card_number": "4111111111111111"}


@pytest.fixture(scope="module")
def old(both: Sides) -> OldSystem:
    both.clear()
    connection = both.old.connect()
    populate(connection, customers=120, payments=300)
    connection.close()
    return both.old


class Copy:
    """A database of texts, made of the exporter's files alone."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.columns: dict[str, list[str]] = {}
        self.tables: dict[str, dict[str, list[str]]] = {table: {} for table in TABLES}

    def put(self, key: str, content: bytes) -> None:
        self.files[key] = content
        rows = list(csv.reader(io.StringIO(content.decode())))
        if key.startswith("full-load/"):
            table = key.split("/")[2]
            self.columns[table] = rows[0][1:]
            for op, *values in rows[1:]:
                self._apply(op, table, values)
        else:
            for op, table, schema, _, *values in rows:
                assert schema == "public"
                self._apply(op, table, values)

    def _apply(self, op: str, table: str, values: list[str]) -> None:
        key = "/".join(values[: 2 if table == "merchant_customers" else 1])
        if op == "D":
            self.tables[table].pop(key, None)
        else:
            self.tables[table][key] = values


def rows_of(connection: Any, table: str, columns: list[str]) -> list[list[str]]:
    shown = ", ".join(f"CAST({column} AS text)" for column in columns)
    return [
        [NULL if value is None else value for value in row] for row in connection.run(f"SELECT {shown} FROM {table}")
    ]


def test_full_load_and_changes_together_are_the_database(old: OldSystem) -> None:
    # Given an old system that goes on working while it is loaded
    connection, copy = old.connect(), Copy()
    exporter = Exporter(old, copy.put)
    exporter.begin()
    connection.run("UPDATE customers SET country = 'NL' WHERE customer_id = 'c-0000003'")
    keys = exporter.full_load(rows_a_file=50)
    assert "full-load/public/customers/LOAD00000003.csv" in keys
    # When rows are added, changed, renamed and deleted, in one transaction and in several
    connection.run("START TRANSACTION")
    connection.run("""INSERT INTO customers VALUES ('é "x", NULL\n', 'active', 'DE', 'EUR')""")
    connection.run("UPDATE merchants SET platform_wide = true WHERE merchant_id = 'm-002'")
    connection.run("DELETE FROM payments WHERE payment_id < 'old-00000000000000010'")
    connection.run("COMMIT")
    connection.run("UPDATE merchant_customers SET customer_id = 'é \"x\", NULL\n' WHERE customer_id = 'c-0000005'")
    connection.run("START TRANSACTION")
    connection.run("DELETE FROM customers WHERE customer_id = 'c-0000005'")
    connection.run("ROLLBACK")
    assert exporter.changes() is not None
    # Then the files alone make the same tables
    for table in TABLES:
        stored = rows_of(connection, table, copy.columns[table])
        assert sorted(stored) == sorted(copy.tables[table].values())
    # And nothing comes twice, unless the exporter dies before the log is given up
    assert exporter.changes() is None
    names = [key for key in copy.files if key.startswith("changes/")]
    connection.run("UPDATE customers SET status = 'closed' WHERE customer_id = 'c-0000003'")
    dying = Exporter(old, lambda *_: (_ for _ in ()).throw(OSError("the disk is full")))
    with pytest.raises(OSError, match="full"):
        dying.changes()
    later = exporter.changes()
    assert later is not None
    assert later > names[-1]
    assert copy.tables["customers"]["c-0000003"][1] == "closed"
    exporter.end()


def test_the_card_numbers_of_the_made_up_history_are_possible(old: OldSystem) -> None:
    numbers = [number for (number,) in old.connect().run("SELECT DISTINCT card_number FROM payments")]
    assert len(numbers) > 100
    assert {CardNumber(number).faults() for number in numbers} == {()}


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "requests.jsonl"


@pytest.fixture
def post(old: OldSystem, record: Path) -> Iterator[Any]:
    with private_file(record) as log:
        serving = server(Service(old.url, "m-001", log))
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        pool = urllib3.PoolManager()

        def post(route: str, **changes: Any) -> tuple[int, dict[str, Any]]:
            headers = {name: changes.pop(name) for name in ("Idempotency-Key", "X-Merchant") if name in changes}
            url = f"http://127.0.0.1:{serving.server_address[1]}{route}"
            answer = pool.request("POST", url, body=json.dumps(PAYMENT | changes), headers=headers, retries=False)
            return answer.status, answer.json()

        yield post
        serving.shutdown()
        thread.join()


def test_the_service_takes_the_platform_s_requests_and_books_each_once(post: Any, old: OldSystem, record: Path) -> None:
    assert post("/dev/validate") == (200, {"valid": True, "reasons": []})
    assert post("/dev/fraud-check", country="JP")[1] == {
        "decision": "approve", "score": 20, "reasons": ["country_mismatch"],
    }  # fmt: skip
    key = {"Idempotency-Key": '"once"'}
    first, again = post("/dev/process", **key), post("/dev/process", **key)
    assert (first[0], first[1]["status"]) == (201, "approved")
    assert again[1]["transaction_id"] == first[1]["transaction_id"]
    assert post("/process", customer_id="c-0000050")[1]["reasons"] == ["customer_not_active"]
    assert post("/process", **{"X-Merchant": "m-404"})[0] == 403
    assert post("/process", amount="1.234")[0] == 422
    # Only what was decided is recorded, for the shadow, and nobody else may read the card numbers in it
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert [(line["merchant_id"], line["decision"], line["reasons"]) for line in lines] == [
        ("m-001", "approved", []), ("m-001", "declined", ["customer_not_active"]),
    ]  # fmt: skip
    assert lines[0]["request"] == PAYMENT
    assert record.stat().st_mode & 0o077 == 0
    booked = old.connect().run("SELECT count(*) FROM payments WHERE idempotency_key = 'once'")
    assert booked == [[1]]
