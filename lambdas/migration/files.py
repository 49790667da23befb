"""Reads files in the layout that AWS DMS writes to S3, as a stream: memory does not grow with the file.

CSV: RFC 4180, UTF-8, one header line in a full load (``AddColumnName``), and the operation in the first column
(``IncludeOpForFullLoad``). A file of changes has no header, because its lines are those of several tables in the order
of their transactions (``PreserveTransactions``): operation, table, schema, the commit's time if there is one, values.
``parquet`` reads full loads in Parquet.

Source: AWS DMS User Guide, "Using Amazon S3 as a target": "Capturing data changes (CDC) including transaction order".
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from lambdas.payments.card_text import holds_card_number

NULLS: Final = frozenset({"NULL", r"\N"})
"""How a file writes that a value is missing: DMS's default, and what this platform's own endpoint writes."""
OPERATIONS: Final = frozenset("IUD")
LONGEST_FIELD: Final = 1 << 20
"""Bytes of a field. A longer one is a quote that nobody closed."""
_COMMIT_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?")
_CHANGES: Final = re.compile(r"CDC_TXN-(\d{8})-?(\d{9,})")
"""DMS's other files of changes, one a table, are no files of changes here: they have no order over the tables."""
_TABLE: Final = re.compile(r"[a-z_][a-z0-9_$]{0,62}")


class BadFile(Exception):
    """A file of which nothing can be used. ``str()`` says why, and what to do; it shows no value of the file."""


class Position(NamedTuple):
    """Where a reader stands: behind ``line`` lines, whose bytes end at ``offset``."""

    line: int = 0
    offset: int = 0


BEGIN: Final = Position()
Record = tuple[int, list[str | None], Position]
"""The line where it begins, its fields, and where the next one begins."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a full load. ``line`` is where it begins, counted from 1; Parquet has no lines, and counts rows.
    ``after``: where the next one begins.

    ``fault``: why it can't be read; ``values`` is empty then.
    """

    line: int
    op: str
    values: Mapping[str, str | None]
    after: Position
    fault: str = ""


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """A line of a file of changes. ``committed_at`` is empty when the file does not say it."""

    line: int
    op: str
    schema: str
    table: str
    fields: Sequence[str | None]
    after: Position

    def named(self, columns: Sequence[str]) -> tuple[str, Mapping[str, str | None]] | None:
        """The commit's time (or nothing) and the values by column; ``None`` if the number of fields is another one."""
        timed = len(self.fields) == len(columns) + 1 and _COMMIT_TIME.fullmatch(self.fields[0] or "")
        values = self.fields[1:] if timed else self.fields
        if len(values) != len(columns):
            return None
        return (self.fields[0] or "") if timed else "", dict(zip(columns, values, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """What a file's key says of it."""

    key: str
    kind: str
    """``load`` or ``changes``."""
    schema: str = ""
    table: str = ""
    order: str = field(default="", compare=False)
    """Files of one kind and table are in this order."""

    @property
    def is_parquet(self) -> bool:
        return self.key.endswith(".parquet")

    @classmethod
    def of(cls, key: str) -> "Name | None":
        """``…/SCHEMA/TABLE/LOAD00000001.csv`` is a full load, ``…/CDC_TXN-20201117153046033.csv`` holds changes.
        ``None`` for any other file."""
        *folders, file = key.split("/")
        stem, dot, form = file.rpartition(".")
        if not dot or form not in ("csv", "parquet"):
            return None
        if re.fullmatch(r"LOAD[0-9A-F]+", stem) and len(folders) >= 2:
            return cls(key=key, kind="load", schema=folders[-2], table=folders[-1], order=f"{int(stem[4:], 16):016x}")
        if form == "csv" and (found := _CHANGES.fullmatch(stem)):
            return cls(key=key, kind="changes", order=found[1] + found[2])
        return None


def rows(body: Iterable[bytes], start: Position = BEGIN, columns: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of a full load, of which ``body`` has the bytes from ``start`` on.

    To go on in the middle of a file, give the ``columns`` of its header, in lower case. Raises ``BadFile``.
    """
    records = _records(body, start)
    names = list(columns) or _header(records)
    for line, fields, after in records:
        if len(fields) != len(names):
            yield Row(line, "", {}, after, f"has {len(fields)} fields, and the header has {len(names)}")
            continue
        values = dict(zip(names, fields, strict=True))
        op = values.pop("op", "I") or ""
        yield Row(line, op, values, after, "" if op in OPERATIONS else "the operation is not I, U or D")


def header(body: Iterable[bytes]) -> list[str]:
    """The columns of a full load, in lower case as databases compare them. Raises ``BadFile``."""
    return _header(_records(body, BEGIN))


def _header(records: Iterator[Record]) -> list[str]:
    first = next(records, None)
    if first is None:
        raise BadFile("the file is empty: it has not even a header")
    try:
        return distinct([(name or "").strip().lower() for name in first[1]])
    except BadFile as error:
        raise BadFile(f"line 1: {error}: the first line must name the columns") from None


def distinct(names: list[str]) -> list[str]:
    """The names of columns. Raises ``BadFile`` unless each is one, and another one."""
    for number, name in enumerate(names, 1):
        if not name:
            raise BadFile(f"column {number} has no name")
        if name in names[: number - 1]:
            raise BadFile(f"column {number} has the name of an earlier one")
        if holds_card_number(name):
            raise BadFile(f"column {number} may be a card number")
    return names


def changed_rows(body: Iterable[bytes], start: Position = BEGIN) -> Iterator[ChangedRow]:
    """The lines of a file of changes, of which ``body`` has the bytes from ``start`` on. Raises ``BadFile``."""
    for line, fields, after in _records(body, start):
        op, table, schema, *rest = [*fields, None, None, None][: max(3, len(fields))]
        named = all(_TABLE.fullmatch((name or "").lower()) for name in (table, schema))
        if len(fields) < 4 or op not in OPERATIONS or not (table and schema and named):
            raise BadFile(f"line {line} is no change: it must begin with I, U or D, the table and the schema")
        yield ChangedRow(line, op, schema.lower(), table.lower(), rest, after)


def _records(body: Iterable[bytes], start: Position) -> Iterator[Record]:
    """Each record with its first line and the position behind it. ``csv`` takes no more lines than the record has, so
    the lines and bytes that were taken are those of the records so far."""
    taken = _Lines(body, start)
    reader = csv.reader(taken, strict=True)
    csv.field_size_limit(LONGEST_FIELD)
    while True:
        line = taken.line + 1
        try:
            fields = next(reader, None)
        except UnicodeDecodeError:
            raise BadFile(f"line {taken.line + 1} is not UTF-8: export the file in UTF-8") from None
        except csv.Error as error:
            raise BadFile(f"line {line}: {_explained(str(error))}") from None
        if fields is None:
            return
        if fields:  # not an empty line
            yield line, [None if each in NULLS else each for each in fields], Position(taken.line, taken.offset)


def _explained(error: str) -> str:
    if "unexpected end" in error or "field larger" in error:
        return "a quote is opened and never closed"
    return "quotes are not as in RFC 4180: a field with a quote in it must be quoted, and the quote doubled"


class _Lines:
    """The lines of ``body`` as text. Counts the lines and bytes that it has given out."""

    def __init__(self, body: Iterable[bytes], start: Position) -> None:
        self.line, self.offset = start
        self._lines = self._split(body)

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        text = line.decode("utf-8-sig" if self.offset == 0 else "utf-8")
        self.line += 1
        self.offset += len(line)
        return text

    @staticmethod
    def _split(body: Iterable[bytes]) -> Iterator[bytes]:
        rest = b""
        for chunk in body:
            first, *more = chunk.split(b"\n")
            rest += first
            if len(rest) > LONGEST_FIELD:
                raise BadFile("a line has over a million bytes: is this a CSV file?")
            for part in more:
                yield rest + b"\n"
                rest = part
        if rest:
            yield rest


def canonical(values: Mapping[str, Any]) -> bytes:
    """A row as bytes: equal for equal rows, whatever the order of their columns. For checksums."""
    parts = (f"{name}\x1f{'' if (value := values[name]) is None else f'={value}'}" for name in sorted(values))
    return "\x1e".join(parts).encode()
