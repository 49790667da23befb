"""Applies the changes of the old system in their order, each exactly once.

The lines of a slice, the position behind them and each row's last position are committed together. So a file that
arrives again, late or longer changes only what no newer change has replaced. A slice is one transaction: readers see
the state after it, and not the states between.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from lambdas.migration import files, merging
from lambdas.migration.files import BadFile, ChangedRow
from lambdas.migration.history import PaymentImport
from lambdas.migration.objects import Bucket, FileChanged, Object
from lambdas.migration.payment_load import PAYMENTS, Importer, leave_former
from lambdas.migration.report import Report
from lambdas.migration.state import DONE, READING, REFUSED, Progress, State
from lambdas.migration.tables import TABLES, Fault, Table

SLICE_LINES: Final = 5_000


@dataclass(frozen=True, slots=True)
class _Change:
    line: int
    position: str
    values: Mapping[str, str | None]
    texts: Sequence[str]


@dataclass(slots=True)
class _Slice:
    """The last change of each row, by table and key. ``columns``: those that a table's lines have."""

    upserts: dict[str, dict[tuple[str, ...], _Change]] = field(default_factory=dict)
    deletes: dict[str, dict[tuple[str, ...], _Change]] = field(default_factory=dict)
    columns: dict[str, Sequence[str]] = field(default_factory=dict)
    payments: list[files.Row] = field(default_factory=list)
    """The ledger takes each by itself, in order."""


class Waiting(Exception):
    """A change needs something that is not there yet. The message says what."""


class Backlog(NamedTuple):
    """What is not applied of the changes."""

    files: Sequence[Object]
    """In the bucket, oldest first."""
    missing: Mapping[str, datetime]
    """Files that are not applied to their end, and that are not in the bucket any more, with their last step."""
    unread: Sequence[str]
    """Files of the full load that are not loaded."""

    def lag_seconds(self, now: datetime) -> float:
        """The age of the oldest file, by the clocks of S3 and the database. The old system's has no part in it."""
        oldest = min([*(each.arrived_at for each in self.files), *self.missing.values()], default=now)
        return max(0.0, (now.astimezone(UTC) - oldest).total_seconds())

    def ready(self) -> Sequence[Object]:
        """Those that may be applied now. Nothing overtakes a missing file. Raises ``Waiting``."""
        if self.unread and self.files:
            raise Waiting(f"{len(self.unread)} files of the full load are not loaded, the first is {self.unread[0]}")
        if not self.missing:
            return self.files
        first = min(self.missing, key=_order)
        before = [each for each in self.files if each.name.order < _order(first)]
        if not before:
            gone = "is not applied to its end, and not in the bucket any more: put it there again, or give it up"
            raise Waiting(f"{first} {gone}: skip --file {first}")
        return before


def _order(key: str) -> str:
    """A file of a full load comes before all changes."""
    name = files.Name.of(key)
    return name.order if name and name.kind == "changes" else ""


class Follower:
    """``has_time``: whether there is time left to begin another slice."""

    def __init__(self, connection: Any, bucket: Bucket, has_time: Callable[[], bool], importer: Importer) -> None:
        self._connection = connection
        self._state = State(connection)
        self._bucket = bucket
        self._has_time = has_time
        self._importer = importer
        self._payments: PaymentImport | None = None

    def pending(self) -> Sequence[Object]:
        """The files whose changes may be applied now, oldest first. Raises ``Waiting``."""
        return self.backlog().ready()

    def watch(self, found: Backlog) -> None:
        """From now on each of its files is missed when it is gone before it was applied."""
        states = self._state.states()
        self._state.watch(each for each in found.files if states.get(each.name.key, (DONE, ""))[0] == DONE)

    def backlog(self) -> Backlog:
        states = self._state.states()
        found = self._bucket.files()
        there = {each.name.key for each in found}
        missing = {key: at for key, at in self._state.unfinished().items() if key not in there}
        unread = [
            each.name.key
            for each in found
            if each.name.kind == "load" and each.name.table in (*TABLES, PAYMENTS)
            and states.get(each.name.key, ("", ""))[0] != DONE
        ]  # fmt: skip
        waiting = [
            each for each in found if each.name.kind == "changes" and states.get(each.name.key) != (DONE, each.etag)
        ]
        return Backlog(sorted(waiting, key=lambda each: each.name.order), missing, unread)

    def apply(self, file: Object) -> Progress:
        """Apply ``file`` until it is done, a line of it can't be applied, or there is no time left."""
        self._payments = None
        leave_former(self._state, self._importer, file)
        progress = self._state.progress(file)
        if progress.state == REFUSED:
            progress.state, progress.report.fault = READING, ""
        newest = self._state.watermark()
        if newest and progress.position.line == 0 and file.name.key != newest["file"] and self._is_late(file, newest):
            progress.report.note(f"the file is late: {newest['file']} was applied before it")
        try:
            while progress.state == READING and self._has_time():
                self._apply_slice(progress)
        except FileChanged:
            return self._state.progress(file)
        except (BadFile, Waiting) as error:
            progress = self._state.progress(file)
            progress.state, progress.report.fault = REFUSED, str(error)
            if progress.report.sums:
                self._importing(file).end(progress.report)
            with self._state.transaction():
                self._state.save(progress)
        if progress.state != READING:
            self._bucket.put_report(file.name.key, progress.to_json())
        return progress

    @staticmethod
    def _is_late(file: Object, newest: Mapping[str, Any]) -> bool:
        name = files.Name.of(newest["file"])
        return name is not None and file.name.order < name.order

    def _apply_slice(self, progress: Progress) -> None:
        with self._state.transaction():
            found, stop = _Slice(), None
            body = self._bucket.body(progress.file, progress.position.offset)
            taken, reader = 0, files.changed_rows(body, progress.position)
            try:
                for row in reader:
                    self._take(row, progress, found)
                    progress.position = row.after
                    taken += 1
                    if taken >= SLICE_LINES:
                        break
            except (BadFile, Waiting) as error:
                if not taken:
                    raise
                stop = error  # what comes before the line is applied now; the next slice begins with it
            self._write(found, progress)
            if not stop and (not taken or progress.position.offset >= progress.file.size):
                progress.state = DONE
                if progress.report.sums:
                    self._importing(progress.file).end(progress.report)
            self._state.save(progress)

    def _take(self, row: ChangedRow, progress: Progress, found: _Slice) -> None:
        report, table = progress.report, TABLES.get(row.table)
        if table is None and row.table != PAYMENTS:
            report.read += 1
            report.skipped += 1
            report.note(f"changes of the table {row.schema}.{row.table} have no place here, and were left out")
            return
        values = self._values(row, found)
        if table is None:
            found.payments.append(files.Row(row.line, row.op, values, row.after))
            return
        report.row(values)
        key = table.key_of(values)
        if isinstance(key, Fault):
            report.reject(row.line, key)
            return
        self._sort(row, table, key, values, progress, found)

    def _values(self, row: ChangedRow, found: _Slice) -> Mapping[str, str | None]:
        """The values by column, as the full load has them."""
        source = f"{row.schema}.{row.table}"
        if row.table not in found.columns:
            layout = self._state.layout(source)
            if layout is None:
                raise Waiting(f"line {row.line}: the full load of {source} was not loaded yet")
            found.columns[row.table] = layout
        columns = found.columns[row.table]
        named = row.named(columns)
        if named is None:
            raise BadFile(
                f"line {row.line}: {source} has {len(row.fields)} columns, and had {len(columns)} in its full load "
                f"({', '.join(columns)}): its schema has changed. Give the new columns: follow --columns {source}=..."
            )
        return named[1]

    def _importing(self, file: Object) -> PaymentImport:
        if self._payments is None:
            self._payments = self._importer(file)
        return self._payments

    @staticmethod
    def _sort(
        row: ChangedRow, table: Table, key: tuple[str, ...], values: Mapping[str, str | None],
        progress: Progress, found: _Slice,
    ) -> None:  # fmt: skip
        """Put the change where it belongs. One that a later line of the slice replaces changes nothing."""
        upserts, deletes = found.upserts.setdefault(table.name, {}), found.deletes.setdefault(table.name, {})
        texts: Sequence[str] = key
        if row.op != "D":
            read = table.read(values)
            if isinstance(read, Fault):
                progress.report.reject(row.line, read)
                return
            texts = read
        replaced = upserts.pop(key, None) or deletes.pop(key, None)
        progress.report.superseded += replaced is not None
        position = f"{progress.file.name.order}#{row.line:012d}"
        (deletes if row.op == "D" else upserts)[key] = _Change(row.line, position, values, texts)

    def _write(self, found: _Slice, progress: Progress) -> None:
        """Rows before those that refer to them, and deletions the other way round. Payments are in the ledger before
        the position behind them is committed: after a kill they are found there."""
        report = progress.report
        for table in TABLES.values():
            if changes := found.upserts.get(table.name):
                columns = table.present(found.columns[table.name])
                merging.stage(self._connection, columns, _rows(changes.values()))
                counts, faults = merging.upsert(self._connection, table, columns)
                self._end(table, counts, faults, report)
        if found.payments:
            self._importing(progress.file).apply(found.payments, report)
        for table in reversed(TABLES.values()):
            if changes := found.deletes.get(table.name):
                merging.stage(self._connection, table.key_columns(), _rows(changes.values()))
                counts, faults = merging.delete(self._connection, table)
                self._end(table, counts, faults, report)

    def _end(self, table: Table, counts: Mapping[str, int], faults: list[tuple[int, Fault]], report: Report) -> None:
        merging.remember(self._connection, table)
        report.add(counts)
        report.reject_all(faults)


def _rows(changes: Any) -> list[tuple[str, int, Sequence[str]]]:
    return [(each.position, each.line, list(each.texts)) for each in changes]
