"""How far each file is read: in the database, and committed together with the rows themselves."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from lambdas.migration.files import BEGIN, Name, Position
from lambdas.migration.objects import Object
from lambdas.migration.report import Report

_LOCK: Final = 7_301_204
"""Advisory lock: one function at a time moves rows."""

READING, DONE, REFUSED = "reading", "done", "refused"


@dataclass(slots=True, kw_only=True)
class Progress:
    """Of one file. ``columns``: those of its header."""

    file: Object
    columns: Sequence[str] = ()
    position: Position = BEGIN
    state: str = READING
    report: Report = field(default_factory=Report)

    def to_json(self) -> dict[str, Any]:
        """The report that is put beside the file."""
        return {
            "file": self.file.name.key,
            "etag": self.file.etag,
            "bytes": self.file.size,
            "state": self.state,
            "line": self.position.line,
            **self.report.to_json(),
        }


class State:
    """The tables of the schema ``migration``."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def is_mine(self) -> bool:
        """Take the lock, unless another run has it. It ends with the connection."""
        [[taken]] = self._connection.run(f"SELECT pg_try_advisory_lock({_LOCK})")
        return bool(taken)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._connection.run("START TRANSACTION")
        try:
            yield
        except BaseException:
            self._connection.run("ROLLBACK")
            raise
        self._connection.run("COMMIT")

    def progress(self, file: Object) -> Progress:
        """Where the run of ``file`` stands. A file that has changed since is begun again, and its report says so."""
        rows = self._connection.run(
            "SELECT etag, columns, line, byte_offset, state, report FROM migration.files WHERE key = :key",
            key=file.name.key,
        )
        if not rows:
            return Progress(file=file)
        etag, columns, line, offset, state, report = rows[0]
        if etag != file.etag:
            begun = Progress(file=file)
            if line:
                begun.report.note(f"the file has changed after {line} lines of it were read: it was read again")
            return begun
        return Progress(
            file=file, columns=columns, position=Position(line, offset), state=state, report=Report.from_json(report)
        )

    def saved(self, key: str) -> Progress | None:
        """Where the last run of a file stands, whatever the bucket holds now; ``None`` if none was begun."""
        rows = self._connection.run("SELECT etag, changed_at FROM migration.files WHERE key = :key", key=key)
        name = Name.of(key)
        if not rows or name is None:
            return None
        [[etag, changed_at]] = rows
        return self.progress(Object(name=name, etag=etag, size=0, arrived_at=changed_at))

    def watch(self, files: Iterable[Object]) -> None:
        """Note files that wait, so that one is missed which is gone before it was applied to its end."""
        with self.transaction():
            for file in files:
                self.save(self.progress(file))

    def unfinished(self) -> Mapping[str, datetime]:
        """The files that are not applied to their end, or whose changes were refused, by key; with their last step."""
        rows = self._connection.run(
            "SELECT key, changed_at FROM migration.files "
            "WHERE state = 'reading' OR (kind = 'changes' AND state = 'refused')"
        )
        return dict(rows)

    def save(self, progress: Progress) -> None:
        name = progress.file.name
        self._connection.run(
            "INSERT INTO migration.files (key, kind, sort_order, etag, columns, line, byte_offset, state, report) "
            "VALUES (:key, :kind, :order, :etag, CAST(:columns AS text[]), :line, :offset, :state, "
            "CAST(:report AS jsonb)) "
            "ON CONFLICT (key) DO UPDATE SET etag = excluded.etag, columns = excluded.columns, line = excluded.line, "
            "byte_offset = excluded.byte_offset, state = excluded.state, report = excluded.report, changed_at = now()",
            key=name.key,
            kind=name.kind,
            order=name.order,
            etag=progress.file.etag,
            columns=list(progress.columns),
            line=progress.position.line,
            offset=progress.position.offset,
            state=progress.state,
            report=json.dumps(progress.report.to_json()),
        )

    def forget(self, key: str) -> None:
        """Begin the file again at its next run."""
        self._connection.run("DELETE FROM migration.staged_rows WHERE file = :key", key=key)
        self._connection.run("DELETE FROM migration.files WHERE key = :key", key=key)

    def states(self) -> Mapping[str, tuple[str, str]]:
        """State and etag of each file that was begun, by key."""
        return {
            key: (state, etag)
            for key, state, etag in self._connection.run("SELECT key, state, etag FROM migration.files")
        }

    def verified(self) -> Mapping[str, str]:
        """The etag of each file of which every row was taken, by key. What was merged or written has been read back."""
        rows = self._connection.run(
            "SELECT key, etag FROM migration.files WHERE state = :done AND (report->>'rejected')::bigint = 0 "
            "AND coalesce(report->>'given_up', '') = ''",
            done=DONE,
        )
        return dict(map(tuple, rows))

    def gone(self, present: Collection[str]) -> list[Object]:
        """The files that were begun and are in the bucket no more, with no bytes."""
        rows = self._connection.run(
            "SELECT key, etag, changed_at FROM migration.files WHERE key <> ALL(CAST(:present AS text[]))",
            present=list(present),
        )
        return [
            Object(name=name, etag=etag, size=0, arrived_at=changed_at)
            for key, etag, changed_at in rows
            if (name := Name.of(key))
        ]

    def layout(self, source: str) -> Sequence[str] | None:
        """The columns of the old system's table ``SCHEMA.TABLE``; ``None`` before its full load was read."""
        rows = self._connection.run("SELECT columns FROM migration.layouts WHERE source = :source", source=source)
        return rows[0][0] if rows else None

    def set_layout(self, source: str, columns: Sequence[str]) -> None:
        self._connection.run(
            "INSERT INTO migration.layouts (source, columns) VALUES (:source, CAST(:columns AS text[])) "
            "ON CONFLICT (source) DO UPDATE SET columns = excluded.columns",
            source=source,
            columns=list(columns),
        )

    def watermark(self) -> dict[str, Any] | None:
        """The last change that was applied: file and line."""
        rows = self._connection.run(
            "SELECT key, line FROM migration.files WHERE kind = 'changes' AND line > 0 ORDER BY sort_order DESC LIMIT 1"
        )
        return {"file": rows[0][0], "line": rows[0][1]} if rows else None
