"""Writes Parquet as AWS DMS does: texts, each of which may be missing, in row groups, by GZIP."""

import gzip
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

_BYTE_ARRAY, _OPTIONAL, _UTF8, _PLAIN, _RLE, _GZIP = 6, 1, 0, 0, 3, 2
_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12
Field = tuple[int, int, bytes]
"""Number, type and content."""


def parquet_file(names: Sequence[str], rows: Iterable[Sequence[str | None]], rows_a_group: int = 10_000) -> bytes:
    return b"".join(parquet_parts(names, rows, rows_a_group))


def parquet_parts(
    names: Sequence[str], rows: Iterable[Sequence[str | None]], rows_a_group: int = 10_000
) -> Iterator[bytes]:
    """A file in parts: one group of rows is in memory."""
    yield b"PAR1"
    left, offset, written, groups = iter(rows), 4, 0, list[bytes]()
    while group := list(islice(left, rows_a_group)):
        begin, chunks = offset, list[bytes]()
        for number, name in enumerate(names):
            page = _page([row[number] for row in group])
            about = _struct(
                (1, _I32, _number(_BYTE_ARRAY)), (2, _LIST, _list(_I32, [_number(_PLAIN), _number(_RLE)])),
                (3, _LIST, _list(_BINARY, [_binary(name.encode())])), (4, _I32, _number(_GZIP)),
                (5, _I64, _number(len(group))), (6, _I64, _number(len(page))), (7, _I64, _number(len(page))),
                (9, _I64, _number(offset)),
            )  # fmt: skip
            chunks.append(_struct((2, _I64, _number(offset)), (3, _STRUCT, about)))
            yield page
            offset += len(page)
        size = offset - begin
        groups.append(
            _struct((1, _LIST, _list(_STRUCT, chunks)), (2, _I64, _number(size)), (3, _I64, _number(len(group))))
        )
        written += len(group)
    columns = [
        _struct((1, _I32, _number(_BYTE_ARRAY)), (3, _I32, _number(_OPTIONAL)), (4, _BINARY, _binary(name.encode())),
                (6, _I32, _number(_UTF8)))
        for name in names
    ]  # fmt: skip
    root = _struct((4, _BINARY, _binary(b"schema")), (5, _I32, _number(len(names))))
    footer = _struct(
        (1, _I32, _number(1)), (2, _LIST, _list(_STRUCT, [root, *columns])), (3, _I64, _number(written)),
        (4, _LIST, _list(_STRUCT, groups)),
    )  # fmt: skip
    yield footer + struct.pack("<I", len(footer)) + b"PAR1"


def _page(values: Sequence[str | None]) -> bytes:
    """A data page: which values are there, a run for each, then those values."""
    levels = b"".join(_varint(1 << 1) + bytes([value is not None]) for value in values)
    texts = b"".join(struct.pack("<I", len(text)) + text for text in _encoded(values))
    body = struct.pack("<I", len(levels)) + levels + texts
    stored = gzip.compress(body, mtime=0)
    about = _struct(
        (1, _I32, _number(len(values))), (2, _I32, _number(_PLAIN)), (3, _I32, _number(_RLE)), (4, _I32, _number(_RLE))
    )
    return (
        _struct((1, _I32, _number(0)), (2, _I32, _number(len(body))), (3, _I32, _number(len(stored))),
                (5, _STRUCT, about))
        + stored
    )  # fmt: skip


def _encoded(values: Sequence[str | None]) -> Iterator[bytes]:
    return (value.encode("utf-8", "surrogateescape") for value in values if value is not None)


def _struct(*fields: Field) -> bytes:
    """Thrift's compact protocol."""
    content, last = b"", 0
    for number, kind, value in fields:
        content += bytes([(number - last) << 4 | kind]) + value
        last = number
    return content + b"\0"


def _list(kind: int, elements: Sequence[bytes]) -> bytes:
    return bytes([0xF0 | kind]) + _varint(len(elements)) + b"".join(elements)


def _binary(value: bytes) -> bytes:
    return _varint(len(value)) + value


def _number(value: int) -> bytes:
    return _varint(value << 1)


def _varint(value: int) -> bytes:
    content = b""
    while value > 0x7F:
        content += bytes([value & 0x7F | 0x80])
        value >>= 7
    return content + bytes([value])
