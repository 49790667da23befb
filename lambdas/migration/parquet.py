"""Reads a full load in Parquet, as AWS DMS writes it, row by row: memory does not grow with the file.

It reads flat columns, plain or with a dictionary, in pages of both versions, uncompressed or by GZIP: all that DMS can
write (``ParquetVersion``, ``EncodingType``, ``CompressionType``). Anything else is refused with the way out. Bytes are
fetched by column and block, so a row group may be of any size. A row is counted from 1; it has no line.

It is written here because the well-kept libraries are native: pyarrow unpacks to 170 MB of 250, for each processor its
own, and the one artefact of all functions is pure Python (``lambdas/requirements.in``).

Sources: Apache Parquet, "File Format" (parquet.thrift, LogicalTypes.md); AWS DMS User Guide, "Using Amazon S3 as a
target for AWS Database Migration Service", "Target data types for S3 Parquet".
"""

import struct
import uuid
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final, NamedTuple

from lambdas.migration import thrift
from lambdas.migration.files import OPERATIONS, BadFile, Position, Row, distinct
from lambdas.migration.parquet_pages import NUMBERS, Chunk, Column, Fetch, texts

_DAMAGED: Final = (
    struct.error, zlib.error, LookupError, TypeError, AttributeError, ValueError, OverflowError, RuntimeError,
)  # fmt: skip
"""What wrong bytes lead to. ``RuntimeError``: a column ends too early."""
_MOST_FOOTER_BYTES: Final = 1 << 25
_MAGIC, _TAIL_BYTES = b"PAR1", 8
_REPEATED: Final = 2
_NOT_UTF8: Final = "\udcff"
"""In the place of a text that is none. No text of a file is this, because UTF-8 has no surrogates."""
_EPOCH: Final = datetime(1970, 1, 1)
_JULIAN_EPOCH: Final = 2_440_588
_SCALES: Final = {1: 1_000, 2: 1, 3: 0}
"""Microseconds of a unit of time: milliseconds, microseconds; nanoseconds are divided."""


class _Group(NamedTuple):
    rows: int
    chunks: list[Chunk]


class ParquetFile:
    """``size``: bytes of the file."""

    def __init__(self, fetch: Fetch, size: int) -> None:
        self._fetch = fetch
        self._size = size

    def columns(self) -> list[str]:
        """Their names, in lower case as databases compare them. Raises ``BadFile``."""
        return [each.name for each in self._footer[0]]

    def rows(self, start: Position) -> Iterator[Row]:
        """The rows behind ``start``. Raises ``BadFile``."""
        columns, groups = self._footer
        names = [each.name for each in columns]
        total, first = sum(group.rows for group in groups), 0
        for group in groups:
            skip = max(0, start.line - first)
            if skip < group.rows:
                for line, row in enumerate(self._texts(columns, group, first, skip), first + skip + 1):
                    # The end of the file is where all of its bytes are read. No offset says more than the row does.
                    after = Position(line, self._size if line == total else 0)
                    yield _row(line, dict(zip(names, row, strict=True)), after)
            first += group.rows

    def _texts(self, columns: list[Column], group: _Group, first: int, skip: int) -> Iterator[tuple[str | None, ...]]:
        line = first + skip
        found = [texts(*each, self._fetch, skip) for each in zip(columns, group.chunks, strict=True)]
        try:
            for row in zip(*found, strict=True):
                line += 1
                yield row
        except _DAMAGED:
            raise BadFile(f"row {line + 1} can't be read: the file is damaged. Export it again") from None
        if line != first + group.rows:
            raise BadFile(f"row {line + 1} is missing: the file is damaged. Export it again")

    @cached_property
    def _footer(self) -> tuple[list[Column], list[_Group]]:
        if not self._size:
            raise BadFile("the file is empty")
        tail = self._fetch(max(0, self._size - _TAIL_BYTES), min(_TAIL_BYTES, self._size))
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != _MAGIC or length > self._size - _TAIL_BYTES - len(_MAGIC):
            raise BadFile("it is no Parquet file, or a part of one: it must end with PAR1, and with no encryption")
        if length > _MOST_FOOTER_BYTES:
            raise BadFile("its footer has over 32 MiB: write fewer row groups (DMS: RowGroupLength)")
        content = self._fetch(self._size - _TAIL_BYTES - length, length)
        try:
            return _understood(content)
        except _DAMAGED:
            raise BadFile("its footer can't be read: the file is damaged. Export it again") from None


def _understood(footer: bytes) -> tuple[list[Column], list[_Group]]:
    about, _ = thrift.struct(footer, elements={4: _group})
    columns, groups = [_column(element) for element in _flat(about[2])], about.get(4, [])
    if any(len(group.chunks) != len(columns) or group.rows < 0 for group in groups):
        raise ValueError("a row group lacks a column")
    distinct([each.name for each in columns])
    return columns, groups


def _row(line: int, values: dict[str, str | None], after: Position) -> Row:
    if wrong := [name for name, value in values.items() if value is _NOT_UTF8]:
        return Row(line, "", {}, after, f"{wrong[0]} is not UTF-8")
    op = values.pop("op", "I") or ""
    return Row(line, op, values, after, "" if op in OPERATIONS else "the operation is not I, U or D")


def _group(element: thrift.Struct) -> _Group:
    return _Group(element[3], [_chunk(each) for each in element[1]])


def _chunk(element: thrift.Struct) -> Chunk:
    about = element[3]
    begin = min(about[9], about.get(11) or about[9])
    return Chunk(codec=about[4], values=about[5], begin=begin, end=begin + about[7])


def _flat(schema: list[thrift.Struct]) -> list[thrift.Struct]:
    """The columns. The first element of a schema is the root."""
    for element in schema[1:]:
        if element.get(5) or element.get(3) == _REPEATED:
            name = element[4].decode("utf-8", "replace")
            raise BadFile(f"the column {distinct([name])[0]} is a list or a group: write it as text, as DMS does")
    return schema[1:]


def _column(element: thrift.Struct) -> Column:
    logical = element.get(10, {})
    return Column(
        name=element[4].decode("utf-8", "replace").strip().lower(),
        physical=element[1],
        size=element.get(2, 0),
        unsigned=element.get(6) in (11, 12, 13, 14) or logical.get(10, {}).get(2) is False,
        optional=element.get(3, 0) == 1,
        text=_text(element, logical),
    )


def _text(element: thrift.Struct, logical: thrift.Struct) -> Callable[[Any], str]:
    """Makes a value of the column the text that a CSV file has for it."""
    physical, converted = element[1], element.get(6)
    if 5 in logical or converted == 5:
        scale = logical.get(5, {}).get(1, element.get(7, 0))
        return lambda value: _decimal(value, scale)
    if 6 in logical or converted == 6:
        return _date
    if 7 in logical or converted in (7, 8):
        scale = _scale(logical.get(7), converted == 7)
        return lambda value: (_EPOCH + timedelta(microseconds=_micros(value, scale))).time().isoformat()
    if 8 in logical or converted in (9, 10):
        scale = _scale(logical.get(8), converted == 9)
        return lambda value: _moment(_micros(value, scale))
    if 14 in logical:
        return lambda value: str(uuid.UUID(bytes=value))
    if physical == 3:
        return lambda value: _moment(
            (int.from_bytes(value[8:], "little") - _JULIAN_EPOCH) * 86_400_000_000
            + int.from_bytes(value[:8], "little") // 1000
        )
    if physical == 0:
        return lambda value: "true" if value else "false"
    if physical in NUMBERS:
        return repr
    annotated = bool(logical) or converted is not None
    return _utf8 if annotated else _binary


def _scale(about: thrift.Struct | None, is_milliseconds: bool) -> int:
    [unit] = about[2] if about else [1 if is_milliseconds else 2]
    return _SCALES[unit]


def _micros(value: int, scale: int) -> int:
    return value * scale if scale else value // 1000


def _moment(micros: int) -> str:
    try:
        return (_EPOCH + timedelta(microseconds=micros)).isoformat(" ")
    except OverflowError:  # no column takes such a time; the row is rejected
        return f"{micros} microseconds from 1970"


def _date(days: int) -> str:
    try:
        return (_EPOCH.date() + timedelta(days=days)).isoformat()
    except OverflowError:
        return f"{days} days from 1970"


def _decimal(value: int | bytes, scale: int) -> str:
    number = value if isinstance(value, int) else int.from_bytes(value, "big", signed=True)
    digits = str(abs(number)).rjust(scale + 1, "0")
    whole, part = (digits[:-scale], f".{digits[-scale:]}") if scale > 0 else (digits, "")
    return f"{'-' if number < 0 else ''}{whole}{part}"


def _utf8(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return _NOT_UTF8


def _binary(value: bytes) -> str:
    """Bytes of which the file does not say what they are. Some writers leave that out for texts."""
    text = _utf8(value)
    return value.hex() if text is _NOT_UTF8 else text
