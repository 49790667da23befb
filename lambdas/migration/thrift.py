"""Thrift's compact protocol, as far as the metadata of a Parquet file needs it: structures as ``{field id: value}``.

Source: Apache Thrift, "Thrift Compact protocol encoding" (thrift-compact-protocol.md).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

Struct = dict[int, Any]
_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS: Final = (4, 5, 6)
_DEEPEST: Final = 32


def varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned number, and where the next value begins. Raises ``IndexError`` at the end of ``data``."""
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


def struct(
    data: bytes, at: int = 0, elements: Mapping[int, Callable[[Struct], Any]] | None = None, depth: int = 0
) -> tuple[Struct, int]:
    """The structure that begins at ``at``, and where it ends. ``elements``: what to keep of each element of these
    fields, which are lists of structures. Raises ``ValueError`` and ``IndexError`` for what is none."""
    if depth > _DEEPEST:
        raise ValueError("structures are nested too deeply")
    found: Struct = {}
    field = 0
    while (head := data[at]) != _STOP:
        at += 1
        if head >> 4:
            field += head >> 4
        else:
            field, at = _signed(data, at)
        found[field], at = _value(data, at, head & 0x0F, depth, (elements or {}).get(field))
    return found, at + 1


def _value(data: bytes, at: int, kind: int, depth: int, keep: Callable[[Struct], Any] | None = None) -> tuple[Any, int]:
    if kind in (_TRUE, _FALSE):
        return kind == _TRUE, at
    if kind == _BYTE:
        return data[at], at + 1
    if kind in _INTEGERS:
        return _signed(data, at)
    if kind == _DOUBLE:
        return data[at : at + 8], at + 8
    if kind == _BINARY:
        size, at = varint(data, at)
        if at + size > len(data):
            raise IndexError("a text is longer than the data")
        return data[at : at + size], at + size
    if kind in (_LIST, _SET):
        return _list(data, at, depth, keep)
    if kind == _MAP:
        return _map(data, at, depth + 1)
    if kind == _STRUCT:
        return struct(data, at, depth=depth + 1)
    raise ValueError(f"{kind} is no type of the protocol")


def _list(data: bytes, at: int, depth: int, keep: Callable[[Struct], Any] | None) -> tuple[list[Any], int]:
    if depth > _DEEPEST:
        raise ValueError("structures are nested too deeply")
    size, kind = data[at] >> 4, data[at] & 0x0F
    at += 1
    if size == 15:
        size, at = varint(data, at)
    found = []
    for _ in range(size):
        value: Any
        if kind in (_TRUE, _FALSE):  # in a list each has a byte of its own
            value, at = data[at] == _TRUE, at + 1
        else:
            value, at = _value(data, at, kind, depth + 1)
        found.append(keep(value) if keep else value)
    return found, at


def _map(data: bytes, at: int, depth: int) -> tuple[None, int]:
    """Nothing here needs one."""
    if depth > _DEEPEST:
        raise ValueError("structures are nested too deeply")
    size, at = varint(data, at)
    if size:
        kinds = data[at]
        at += 1
        for _ in range(size):
            for kind in (kinds >> 4, kinds & 0x0F):
                _, at = _value(data, at, kind, depth)
    return None, at


def _signed(data: bytes, at: int) -> tuple[int, int]:
    number, at = varint(data, at)
    return (number >> 1) ^ -(number & 1), at
