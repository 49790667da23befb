"""Loads a file of a full load in slices: copies rows into staging, and merges them all at its end in one transaction.

A run may be killed at any instruction. The rows of a slice and the position behind it are committed together, so the
next call goes on there. Nothing is in the platform's tables before the whole file was read.
"""

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any, Final

from lambdas.migration import merging
from lambdas.migration.files import BEGIN, BadFile, Row
from lambdas.migration.objects import Bucket, FileChanged, Object
from lambdas.migration.sources import Source, source
from lambdas.migration.state import DONE, READING, REFUSED, Progress, State
from lambdas.migration.tables import TABLES, Fault, Table

SLICE_ROWS: Final = 200_000
_COPY: Final = "COPY migration.staged_rows (file, line, texts) FROM STDIN WITH (FORMAT csv)"
_FLUSH_BYTES: Final = 1 << 16


class _StagingLost(Exception):
    """The rows that waited in the database are gone."""


class Loader:
    """``has_time``: whether there is time left to begin another slice."""

    def __init__(self, connection: Any, bucket: Bucket, has_time: Callable[[], bool]) -> None:
        self._connection = connection
        self._state = State(connection)
        self._bucket = bucket
        self._has_time = has_time

    def load(self, file: Object) -> Progress:
        """Load ``file`` until it is done or refused, or there is no time left."""
        table, rows = TABLES[file.name.table], source(self._bucket, file)
        progress = self._state.progress(file)
        if progress.position == BEGIN and progress.state == READING:
            self._begin(progress)
        try:
            while progress.state == READING and self._has_time():
                self._slice(progress, table, rows)
        except FileChanged:
            progress = Progress(file=file)  # the next call begins again with what is there then
        except _StagingLost:
            progress = self._begin_again(file)
        except BadFile as error:
            progress = self._refuse(file, str(error))
        if progress.state != READING:
            self._bucket.put_report(file.name.key, progress.to_json())
        return progress

    def _begin(self, progress: Progress) -> None:
        """A run of an earlier content of the file leaves nothing."""
        with self._state.transaction():
            self._state.forget(progress.file.name.key)
            self._state.save(progress)

    def _slice(self, progress: Progress, table: Table, rows: Source) -> None:
        """Copy the next rows; at the end of the file merge them."""
        with self._state.transaction():
            if not progress.columns:
                progress.columns = rows.columns()
                self._check_columns(progress, table)
            reader = rows.rows(progress.position, progress.columns)
            before = progress.report.read
            broken: list[Exception] = []
            self._connection.run(_COPY, stream=self._copied(reader, progress, table, broken))
            if broken:
                raise broken[0]
            if progress.report.read == before or not self._is_more(progress):
                self._merge(progress, table)
            self._state.save(progress)

    def _check_columns(self, progress: Progress, table: Table) -> None:
        if missing := table.missing(progress.columns):
            raise BadFile(f"the header lacks the column {', '.join(missing)}")
        if ignored := table.ignored(progress.columns):
            progress.report.note(f"columns without a place here, which were left out: {', '.join(ignored)}")

    def _is_more(self, progress: Progress) -> bool:
        return progress.position.offset < progress.file.size

    def _copied(
        self, reader: Iterator[Row], progress: Progress, table: Table, broken: list[Exception]
    ) -> Iterator[bytes]:
        """The valid rows of one slice as COPY takes them. Counts every row in the report.

        The connection is of no use after an exception in the middle of COPY, so that goes to ``broken``.
        """
        buffer = io.StringIO()
        writer, taken = csv.writer(buffer, lineterminator="\n"), 0
        try:
            for row in reader:
                progress.position = row.after
                taken += 1
                texts = _texts(row, progress, table)
                if texts is not None:
                    writer.writerow((progress.file.name.key, row.line, array(texts)))
                if buffer.tell() > _FLUSH_BYTES:
                    yield buffer.getvalue().encode()
                    buffer.seek(0)
                    buffer.truncate()
                if taken >= SLICE_ROWS or not (taken % 1000 or self._has_time()):
                    break
        except (BadFile, FileChanged) as error:
            broken.append(error)
        yield buffer.getvalue().encode()

    def _merge(self, progress: Progress, table: Table) -> None:
        name, report = progress.file.name, progress.report
        columns = table.present(progress.columns)
        staged = merging.stage_file(self._connection, columns, name.key)
        if staged != report.read - report.rejected:
            # The tables in which rows wait are not written ahead, so a fail-over of the database empties them.
            raise _StagingLost
        counts, faults = merging.upsert(self._connection, table, columns)
        report.add(counts)
        report.reject_all(faults)
        if not report.read:
            report.note("the file has a header and no rows")
        self._connection.run("DELETE FROM migration.staged_rows WHERE file = :file", file=name.key)
        source = f"{name.schema}.{name.table}".lower()
        self._state.set_layout(source, [each for each in progress.columns if each != "op"])
        progress.state = DONE

    def _begin_again(self, file: Object) -> Progress:
        with self._state.transaction():
            self._state.forget(file.name.key)
        return Progress(file=file)

    def _refuse(self, file: Object, fault: str) -> Progress:
        """Nothing of the file is applied, and nothing waits any more."""
        refused = Progress(file=file, state=REFUSED)
        refused.report.fault = fault
        with self._state.transaction():
            self._state.forget(file.name.key)
            self._state.save(refused)
        return refused


def _texts(row: Row, progress: Progress, table: Table) -> tuple[str, ...] | None:
    """The row's texts, or ``None`` for one that is rejected."""
    report = progress.report
    report.row(row.values)
    if row.fault:
        report.reject(row.line, Fault("", row.fault))
        return None
    if row.op != "I":
        report.reject(row.line, Fault("op", "is not I: a full load holds rows, and no changes"))
        return None
    read = table.read(row.values)
    if isinstance(read, Fault):
        report.reject(row.line, read)
        return None
    return read


def array(texts: tuple[str, ...]) -> str:
    """An array literal of PostgreSQL."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return '{"' + '","'.join(quoted) + '"}'
