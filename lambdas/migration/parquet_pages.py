"""The pages of one column in a Parquet file, decoded into texts one by one: one page and one dictionary are in memory.

Source: Apache Parquet, "File Format" (Encodings.md, README.md "Data Pages").
"""

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Any, Final

from lambdas.migration import thrift
from lambdas.migration.files import BadFile

Fetch = Callable[[int, int], bytes]
"""The bytes of a file, by offset and number."""
Text = str | None

MOST_PAGE_BYTES: Final = 1 << 24
"""A longer page would take too much memory. Writers make pages of 1 MiB."""
_BLOCK_BYTES: Final = 1 << 18
_HEADER_BYTES: Final = 1 << 16
"""A page's header has some 50, and what its writer keeps of the least and the greatest value."""
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
_PLAIN, _PLAIN_DICTIONARY, _RLE, _RLE_DICTIONARY = 0, 2, 3, 8
_UNCOMPRESSED, _GZIP = 0, 2
_CODECS: Final = ("none", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW")
_BOOLEAN, _INT96, _BYTE_ARRAY, _FIXED = 0, 3, 6, 7
NUMBERS: Final = {1: "i", 2: "q", 4: "f", 5: "d"}
"""How ``struct`` reads numbers of a physical type: INT32, INT64, FLOAT, DOUBLE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """``physical``: its type; ``size``: bytes of a value of fixed size; ``text``: makes a value a text."""

    name: str
    physical: int
    size: int
    unsigned: bool
    optional: bool
    text: Callable[[Any], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """The part of a row group that has one column's values: bytes ``begin`` to ``end`` of the file."""

    codec: int
    values: int
    begin: int
    end: int


def texts(column: Column, chunk: Chunk, fetch: Fetch, skip: int) -> Iterator[Text]:
    """The texts of a chunk, without the first ``skip``. Pages of those alone are not decoded. Raises ``BadFile``, and
    for damaged bytes ``ValueError``, ``IndexError``, ``struct.error`` or ``zlib.error``."""
    if chunk.codec not in (_UNCOMPRESSED, _GZIP):
        name = _CODECS[chunk.codec] if 0 <= chunk.codec < len(_CODECS) else "something unknown"
        raise BadFile(f"the column {column.name} is compressed by {name}: write it with GZIP, or uncompressed")
    stream, dictionary, left = _Stream(fetch, chunk.begin, chunk.end), list[str](), chunk.values
    while left > 0:
        head = stream.header()
        kind, size = head[1], head[3]
        if not (0 <= size <= MOST_PAGE_BYTES and 0 <= head[2] <= MOST_PAGE_BYTES):
            raise BadFile(f"the column {column.name} has a page of over 16 MiB: write smaller ones (DMS: DataPageSize)")
        if kind == _DICTIONARY:
            content = _inflated(stream.read(size), chunk.codec, head[2])
            dictionary = list(map(column.text, islice(_plain(column, content), head[7][1])))
        elif kind in (_DATA, _DATA_V2):
            about = head[5] if kind == _DATA else head[8]
            number = about[1]
            left -= number
            if skip >= number:
                skip -= number
                stream.skip(size)
                continue
            page = (_data if kind == _DATA else _data_v2)(column, chunk.codec, head, stream.read(size))
            yield from islice(_joined(column, page, number, dictionary), skip, None)
            skip = 0
        else:
            stream.skip(size)  # an index
    if left:
        raise ValueError("pages have more values than their column")


@dataclass(frozen=True, slots=True)
class _Page:
    levels: Iterable[int] | None
    """1 for each value that is there, 0 for each that is missing; ``None``: all are there."""
    values: bytes
    encoding: int


def _data(column: Column, codec: int, head: thrift.Struct, stored: bytes) -> _Page:
    content, about, levels = _inflated(stored, codec, head[2]), head[5], None
    if column.optional:
        if about[3] != _RLE:
            raise BadFile(f"the column {column.name} has levels in an encoding that Parquet has given up")
        size = int.from_bytes(content[:4], "little")
        levels, content = _hybrid(content[4 : 4 + size], 1, about[1]), content[4 + size :]
    return _Page(levels, content, about[2])


def _data_v2(column: Column, codec: int, head: thrift.Struct, stored: bytes) -> _Page:
    about = head[8]
    size = about[5] + about[6]
    content = stored[size:]
    if about.get(7, True):
        content = _inflated(content, codec, head[2] - size)
    levels = _hybrid(stored[about[6] : size], 1, about[1]) if column.optional else None
    return _Page(levels, content, about[4])


def _joined(column: Column, page: _Page, number: int, dictionary: list[str]) -> Iterator[Text]:
    values = _values(column, page, number, dictionary)
    if page.levels is None:
        yield from islice(values, number)
        return
    for level in page.levels:
        yield next(values) if level else None


def _values(column: Column, page: _Page, number: int, dictionary: list[str]) -> Iterator[str]:
    if page.encoding in (_PLAIN_DICTIONARY, _RLE_DICTIONARY):
        indices = _hybrid(page.values[1:], page.values[0], number) if page.values else iter(())
        return map(dictionary.__getitem__, indices)
    if page.encoding == _PLAIN:
        return map(column.text, _plain(column, page.values))
    if page.encoding == _RLE and column.physical == _BOOLEAN:
        return map(column.text, _hybrid(page.values[4:], 1, number))
    raise BadFile(
        f"the column {column.name} is encoded by number {page.encoding} of Parquet's encodings: "
        "write it plain or with a dictionary (DMS: EncodingType)"
    )


def _plain(column: Column, content: bytes) -> Iterator[Any]:
    if column.physical == _BYTE_ARRAY:
        return _byte_arrays(content)
    if column.physical == _BOOLEAN:
        return (byte >> bit & 1 for byte in content for bit in range(8))
    if column.physical in NUMBERS:
        form = NUMBERS[column.physical]
        form = f"<{form.upper() if column.unsigned else form}"
        whole = len(content) - len(content) % struct.calcsize(form)
        return chain.from_iterable(struct.iter_unpack(form, content[:whole]))
    size = 12 if column.physical == _INT96 else column.size
    return (content[at : at + size] for at in range(0, len(content) - size + 1, size))


def _byte_arrays(content: bytes) -> Iterator[bytes]:
    at, end = 0, len(content)
    while at < end:
        begin = at + 4
        at = begin + int.from_bytes(content[at:begin], "little")
        if at > end:
            raise ValueError("a value is longer than its page")
        yield content[begin:at]


def _hybrid(content: bytes, width: int, number: int) -> Iterator[int]:
    """``number`` numbers of ``width`` bits: runs of the same number, and groups of eight that are packed."""
    if not width:
        yield from repeat(0, number)
        return
    at, mask = 0, (1 << width) - 1
    while number > 0:
        head, at = thrift.varint(content, at)
        if head & 1:
            for _ in range(head >> 1):
                packed = content[at : at + width]
                at += width
                if len(packed) < width:
                    raise IndexError("packed numbers end too early")
                group = int.from_bytes(packed, "little")
                yield from (group >> shift & mask for shift in range(0, min(8, number) * width, width))
                number -= min(8, number)
                if not number:
                    break
        else:
            size = (width + 7) // 8
            run = min(head >> 1, number)
            if at + size > len(content):
                raise IndexError("a run has no number")
            yield from repeat(int.from_bytes(content[at : at + size], "little"), run)
            at += size
            number -= run


def _inflated(content: bytes, codec: int, size: int) -> bytes:
    if codec == _UNCOMPRESSED:
        return content
    found = zlib.decompressobj(wbits=31).decompress(content, size) if size else b""  # 0 would mean no limit
    if len(found) != size:
        raise ValueError("a page has another size than its header says")
    return found


class _Stream:
    """The bytes of a chunk in their order, fetched by blocks."""

    def __init__(self, fetch: Fetch, begin: int, end: int) -> None:
        self._fetch, self._next, self._end = fetch, begin, end
        self._bytes = b""

    def header(self) -> thrift.Struct:
        self._fill(min(_HEADER_BYTES, len(self._bytes) + self._end - self._next))
        found, size = thrift.struct(self._bytes)
        self._bytes = self._bytes[size:]
        return found

    def read(self, number: int) -> bytes:
        self._fill(number)
        found, self._bytes = self._bytes[:number], self._bytes[number:]
        return found

    def skip(self, number: int) -> None:
        within = min(number, len(self._bytes))
        self._bytes = self._bytes[within:]
        self._next += number - within

    def _fill(self, number: int) -> None:
        lacking = number - len(self._bytes)
        if lacking <= 0:
            return
        if self._next + lacking > self._end:
            raise ValueError("a page ends behind its column")
        size = min(max(lacking, _BLOCK_BYTES), self._end - self._next)
        self._bytes += self._fetch(self._next, size)
        self._next += size
        if len(self._bytes) < number:
            raise ValueError("the file is shorter than it says")
