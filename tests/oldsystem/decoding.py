"""Reads the messages of PostgreSQL's output plug-in ``pgoutput``: transactions, with the rows that they changed.

Source: PostgreSQL 18 documentation, 54.9 "Logical Replication Message Formats" (protocol version 1).
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_BOOLEAN = 16
"""The type's object id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A table, and its columns by name with their types' object ids."""

    schema: str
    name: str
    columns: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One changed row. ``op``: ``I``, ``U`` or ``D``, of which the last one has values in the key's columns only."""

    op: str
    relation: Relation
    values: tuple[str | None, ...]


@dataclass(slots=True, kw_only=True)
class Transaction:
    """A committed transaction. ``end``: the log's position behind it."""

    committed_at: datetime
    end: int = 0
    changes: list[Change] = field(default_factory=list)


def transactions(messages: Iterable[bytes]) -> Iterator[Transaction]:
    """The transactions in ``messages``, which are whole, in the order in which they were committed."""
    relations: dict[int, Relation] = {}
    current = Transaction(committed_at=_EPOCH)
    for message in messages:
        kind, reader = chr(message[0]), _Reader(message[1:])
        if kind == "B":
            reader.number("q")
            current = Transaction(committed_at=_EPOCH + timedelta(microseconds=reader.number("q")))
        elif kind == "C":
            reader.number("b")
            reader.number("q")
            current.end = reader.number("q")
            yield current
        elif kind == "R":
            id = reader.number("i")
            relations[id] = reader.relation()
        elif kind in "IUD":
            current.changes += _changes(kind, relations[reader.number("i")], reader)
        elif kind == "T":
            raise ValueError("a table was truncated: its rows can only be loaded again")


def _changes(kind: str, relation: Relation, reader: "_Reader") -> Iterator[Change]:
    """One change; two for a row that got another key, because its old one is gone."""
    part = reader.letter()
    if kind == "D" or part in "KO":
        yield Change(op="D", relation=relation, values=reader.row(relation))
        if kind == "D":
            return
        kind, _ = "I", reader.letter()
    yield Change(op=kind, relation=relation, values=reader.row(relation))


class _Reader:
    """Takes a message apart."""

    def __init__(self, message: bytes) -> None:
        self._message, self._at = message, 0

    def number(self, form: str) -> int:
        """The next integer; ``form`` as in ``struct``."""
        (number,) = struct.unpack_from(f"!{form}", self._message, self._at)
        self._at += struct.calcsize(form)
        return int(number)

    def letter(self) -> str:
        return chr(self.number("B"))

    def text(self) -> str:
        end = self._message.index(0, self._at)
        found, self._at = self._message[self._at : end].decode(), end + 1
        return found

    def relation(self) -> Relation:
        schema, name, _ = self.text(), self.text(), self.letter()
        columns = []
        for _ in range(self.number("h")):
            self.number("b")
            columns.append((self.text(), self.number("i")))
            self.number("i")
        return Relation(schema=schema, name=name, columns=tuple(columns))

    def row(self, relation: Relation) -> tuple[str | None, ...]:
        self.number("h")
        return tuple(self._value(type) for _, type in relation.columns)

    def _value(self, type: int) -> str | None:
        kind = self.letter()
        if kind == "n":
            return None
        if kind != "t":
            raise ValueError("a value is not in the log: give its table REPLICA IDENTITY FULL")
        size = self.number("i")
        text, self._at = self._message[self._at : self._at + size].decode(), self._at + size
        return {"t": "true", "f": "false"}[text] if type == _BOOLEAN else text
