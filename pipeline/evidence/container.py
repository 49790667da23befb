"""The one zip that holds a bundle's files: what ``zipfile`` writes for ``bundle.pack``, and nothing else.

A zip has its names twice and its bytes once, and may hold bytes that no name leads to. Readers differ in what they
take: one follows the directory at the end, a streaming one the headers in between. So a bundle is read, written again
from what was read, and must be the same, byte by byte. Compressed data is taken over, because compressors differ.

Source: PKWARE, "APPNOTE.TXT - .ZIP File Format Specification", 4.3 and 4.4.
"""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath

from pipeline.evidence.errors import Mismatch

LIMIT = 64 * 1024 * 1024
"""The most bytes of a bundle, and of all files in it together. The pipeline's bundles have a few million."""
MOST_FILES, DIRECTORY_LIMIT = 1000, 256 * 1024
"""The most files of a bundle, and bytes of its directory. The pipeline's bundles have about twenty files."""
PART = r"(?!(?i:con|prn|aux|nul|com\d|lpt\d)(?:[./]|$))[A-Za-z0-9_-](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?"
NAME = re.compile(rf"(?:{PART}/)*{PART}")
"""A relative path that means the same on every system. No part begins or ends with a point, which Windows drops, or is
a device of Windows."""
UNREADABLE = (
    ValueError,
    KeyError,
    RuntimeError,
    EOFError,
    NotImplementedError,
    OSError,
    zipfile.BadZipFile,
    zlib.error,
)
"""The exceptions that reading a forged archive, UTF-8 text or JSON document can raise."""
ANOTHER_ZIP = "this is not the zip that `collect` wrote: it has other headers, or bytes that belong to no file"
END = struct.Struct("<4sHHHHLLH")
ZIP64_LOCATOR = 20
"""Bytes, before the end record of a zip in the ZIP64 format."""
VERSION, ON_UNIX, DEFLATED, MIDNIGHT, FIRST_OF_1980, MODE = 20, 3, 8, 0, 33, 0o644 << 16


def read(bundle: bytes) -> dict[str, bytes]:
    """The files by name. Raises ``Mismatch`` unless ``bundle`` is a zip of the form that ``bundle.pack`` writes."""
    if len(bundle) > LIMIT:
        raise Mismatch(f"this is no bundle: it has more than {LIMIT} bytes")
    _require_small_directory(bundle)
    content: dict[str, bytes] = {}
    seen: set[str] = set()
    above: set[str] = set()
    headers, directory, left = b"", b"", LIMIT
    for name, crc, packed in _entries(bundle):
        if not NAME.fullmatch(name):
            raise Mismatch(f"{name!r} is no name of a file in a bundle")
        if name.lower() in seen:
            raise Mismatch(f"{name} is in the bundle twice")
        seen.add(name.lower())
        above.update(str(each).lower() for each in PurePosixPath(name).parents)
        data = _inflated(name, packed, left)
        if zlib.crc32(data) != crc:
            raise Mismatch(f"{name} is damaged: Bad CRC-32")
        content[name] = data
        left -= len(data)
        common = struct.pack("<HHHHHLLLHH", VERSION, 0, DEFLATED, MIDNIGHT, FIRST_OF_1980, crc, len(packed), len(data),
                             len(name), 0)  # fmt: skip
        directory += struct.pack("<4sBB", b"PK\1\2", VERSION, ON_UNIX) + common
        directory += struct.pack("<HHHLL", 0, 0, 0, MODE, len(headers)) + name.encode()
        headers += b"PK\3\4" + common + name.encode() + packed
    if both := sorted(seen & above):
        raise Mismatch(f"{both[0]} is a file and a folder")
    end = END.pack(b"PK\5\6", 0, 0, len(content), len(content), len(directory), len(headers), 0)
    if headers + directory + end != bundle:
        raise Mismatch(ANOTHER_ZIP)
    return content


def _require_small_directory(bundle: bytes) -> None:
    """Refuse a zip with too many files before anything reads its directory, which takes time for each."""
    if len(bundle) < END.size or not zipfile.is_zipfile(io.BytesIO(bundle)):
        raise Mismatch("this is no zip file, or a damaged one: it has no directory at its end")
    magic, _, _, _, count, size, _, _ = END.unpack(bundle[-END.size :])
    locator = bundle[-END.size - ZIP64_LOCATOR : -END.size]
    if magic != b"PK\5\6" or locator.startswith(b"PK\6\7"):
        raise Mismatch(ANOTHER_ZIP)
    if count > MOST_FILES or size > DIRECTORY_LIMIT:
        raise Mismatch(f"this is no bundle: it lists more than {MOST_FILES} files")


def _entries(bundle: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Name, CRC-32 and compressed data of each entry of the directory at the end."""
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            entries = archive.infolist()
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_DEFLATED:
                raise Mismatch(f"{entry.filename} is packed with an unknown method")
            begin = entry.header_offset + 30 + len(entry.filename.encode())
            yield entry.filename, entry.CRC, bundle[begin : begin + entry.compress_size]
    except UNREADABLE as error:
        raise Mismatch(f"this is no zip file, or a damaged one: {error}") from error


def _inflated(name: str, packed: bytes, limit: int) -> bytes:
    """What ``packed`` holds, which must be one whole stream. The size that the entry claims is not trusted."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = stream.decompress(packed, limit + 1)
    except zlib.error as error:
        raise Mismatch(f"{name} is damaged: {error}") from error
    if len(data) > limit:
        raise Mismatch(f"{name} is too long: a bundle holds {LIMIT} bytes at most")
    if not stream.eof or stream.unused_data:
        raise Mismatch(f"{name} is damaged: its data does not end where it should")
    return data
