"""What AWS DMS does, for the old system's PostgreSQL: loads its tables into files, then follows its log.

The files are those of DMS's S3 target with ``IncludeOpForFullLoad``, ``AddColumnName``, ``PreserveTransactions`` and
``CdcPath``, as docs/migration.md asks for them. As with DMS, changes may come twice after a crash, and never get lost:
the slot keeps the log until a file is stored.
"""

import csv
import io
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.oldsystem.database import PUBLICATION, SCHEMA, TABLES, OldSystem
from tests.oldsystem.decoding import Transaction, transactions
from tests.oldsystem.parquet import parquet_file

FULL_LOAD, CHANGES = "full-load", "changes"
NULL = r"\N"
"""A missing value, as the platform's own endpoint of DMS writes it (``CsvNullValue``)."""

_SLOT = "moved"
_PEEK = """
SELECT data FROM pg_logical_slot_peek_binary_changes(
    :slot, NULL, :most, 'proto_version', '1', 'publication_names', :publication)
"""

Put = Callable[[str, bytes], Any]
"""Stores an object under a key."""


class Exporter:
    """Exports one old system. ``begin`` comes first: what changes after it is not lost."""

    def __init__(self, old: OldSystem, put: Put) -> None:
        self._connection = old.connect()
        self._put = put
        self._last_name = datetime.min.replace(tzinfo=UTC)

    def begin(self) -> None:
        """Keep the log from here on."""
        self._connection.run("SELECT pg_create_logical_replication_slot(:slot, 'pgoutput')", slot=_SLOT)

    def end(self) -> None:
        """Give the log up. The next export begins with a full load again."""
        self._connection.run("SELECT pg_drop_replication_slot(:slot)", slot=_SLOT)
        self._connection.close()

    def full_load(
        self, tables: Sequence[str] = TABLES, rows_a_file: int = 100_000, parquet: Collection[str] = ()
    ) -> list[str]:
        """Write every row, as of one moment. Returns the keys of the files. ``parquet``: tables that are written so.

        Changes since ``begin`` may be in these files already. They come again as changes, which must not matter.
        """
        self._connection.run("START TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            return [key for table in tables for key in self._load(table, rows_a_file, table in parquet)]
        finally:
            self._connection.run("COMMIT")

    def _load(self, table: str, rows_a_file: int, in_parquet: bool) -> list[str]:
        columns = self._columns(table)
        shown = ", ".join(f"CAST({column} AS text)" for column in columns)
        self._connection.run(f"DECLARE loading NO SCROLL CURSOR FOR SELECT {shown} FROM {table} ORDER BY 1, 2")
        keys: list[str] = []
        while rows := self._connection.run(f"FETCH {rows_a_file} FROM loading"):
            names, lines = ["Op", *columns], [["I", *row] for row in rows]
            form = "parquet" if in_parquet else "csv"
            keys.append(f"{FULL_LOAD}/{SCHEMA}/{table}/LOAD{len(keys) + 1:08X}.{form}")
            self._put(keys[-1], parquet_file(names, lines) if in_parquet else csv_file([names, *lines]))
        self._connection.run("CLOSE loading")
        return keys

    def _columns(self, table: str) -> list[str]:
        rows = self._connection.run(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = :schema AND table_name = :table "
            "ORDER BY ordinal_position",
            schema=SCHEMA,
            table=table,
        )
        return [name for (name,) in rows]

    def changes(self, most: int = 10_000) -> str | None:
        """Write what was committed since the last call, up to the transaction with the change number ``most``.

        Returns the key of the file; ``None`` when nothing has changed.
        """
        rows = self._connection.run(_PEEK, slot=_SLOT, most=most, publication=PUBLICATION)
        found = list(transactions(data for (data,) in rows))
        if not found:
            return None
        key = None
        if any(each.changes for each in found):
            key = f"{CHANGES}/CDC_TXN-{self._name()}.csv"
            self._put(key, csv_file(_lines(found)))
        self._connection.run(
            "SELECT pg_replication_slot_advance(:slot, CAST('0/0' AS pg_lsn) + :end)", slot=_SLOT, end=found[-1].end
        )
        return key

    def follow(self, stop: threading.Event, every_seconds: float = 0.5) -> None:
        """Export until ``stop`` is set, and once more after it."""
        while not stop.wait(every_seconds):
            self.changes()
        self.changes()

    def _name(self) -> str:
        """The time, to the millisecond: later than that of the file before."""
        now = datetime.now(UTC)
        self._last_name = max(now, self._last_name + timedelta(milliseconds=1))
        return f"{self._last_name:%Y%m%d%H%M%S}{self._last_name.microsecond // 1000:03d}"


def _lines(found: Iterable[Transaction]) -> Iterable[list[str | None]]:
    """Operation, table, schema, time of the commit, and the row's values in the order of the table's columns."""
    for transaction in found:
        at = f"{transaction.committed_at:%Y-%m-%d %H:%M:%S.%f}"
        for change in transaction.changes:
            yield [change.op, change.relation.name, change.relation.schema, at, *change.values]


def csv_file(rows: Iterable[Sequence[str | None]]) -> bytes:
    """RFC 4180, UTF-8."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([NULL if value is None else value for value in row] for row in rows)
    return text.getvalue().encode()
