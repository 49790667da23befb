"""Finds the rows that differ between the old system and the platform, while both change.

Digests of ordered chunks are compared, and chunks that differ are halved until few rows are left, whose own digests
tell which differ. A row that differs may be on its way: it is looked at again when all that changed before has arrived.
If it has stayed the same in the old system meanwhile and still differs, it is a difference.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Protocol

from lambdas.migration.comparison import Chunk, Digest

CHUNK_ROWS = 10_000
LEAF_ROWS = 64
"""A chunk of so many rows is not halved any more: its rows are compared one by one."""
MOST_CHUNKS = 500
"""The most chunks that are halved at once. More of them differ only when a load is missing, not rows."""
LOOKS = 5


class Side(Protocol):
    """One of the two databases: ``lambdas.migration.comparison.Side``, or the function that has it."""

    def totals(self, table: str) -> Mapping[str, int]: ...
    def digests(self, table: str, chunks: Sequence[Chunk]) -> Sequence[Digest]: ...
    def rows(self, table: str, chunks: Sequence[Chunk]) -> Mapping[str, str]: ...
    def look(self, table: str, keys: Sequence[str]) -> Mapping[str, str]: ...


class Ordered(Side, Protocol):
    """The old system's side also says where chunks begin."""

    def bounds(self, table: str, size: int) -> Sequence[Chunk]: ...


class Kind(StrEnum):
    MISSING = "is missing here"
    EXTRA = "is only here"
    OTHER = "is another one here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A row that differs. ``seen``: its digest here; ``None`` when it is missing."""

    key: str
    kind: Kind
    seen: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Neighbouring rows of which one side has none, too many to name."""

    chunk: Chunk
    kind: Kind
    rows: int


@dataclass(slots=True, kw_only=True)
class Comparison:
    """Of one table. ``unsettled``: rows that the old system changed at each look. ``more``: there are more differences
    than are named."""

    table: str
    there: Mapping[str, int]
    here: Mapping[str, int]
    differences: list[Difference] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)
    in_flight: int = 0
    """Rows that differed at first, and not any more."""
    more: bool = False

    @property
    def differs(self) -> bool:
        return bool(self.differences or self.stretches)


Pair = tuple[str | None, str | None]
"""A row's digests there and here."""


def compare(
    old: Ordered, platform: Side, table: str, *, most: int, arrived: Callable[[], None], chunk_rows: int = CHUNK_ROWS
) -> Comparison:
    """Compare ``table``, and name up to ``most`` rows. ``arrived`` returns when all that the old system had changed
    before its call has reached the platform."""
    found = Comparison(table=table, there=old.totals(table), here=platform.totals(table))
    chunks = old.bounds(table, chunk_rows)
    suspects: dict[str, Pair] = {}
    while chunks:
        pairs = zip(chunks, old.digests(table, chunks), platform.digests(table, chunks), strict=True)
        differing = [(chunk, there, here) for chunk, there, here in pairs if there[:2] != here[:2]]
        found.more |= len(differing) > MOST_CHUNKS
        leaves, chunks = [], []
        for chunk, there, here in differing[:MOST_CHUNKS]:
            if max(there.rows, here.rows) <= LEAF_ROWS:
                leaves.append(chunk)
            elif there.rows and here.rows:
                middle = max(there, here).middle
                chunks += [Chunk(chunk.low, middle), Chunk(middle, chunk.high)]
            else:
                kind = Kind.MISSING if there.rows else Kind.EXTRA
                found.stretches.append(Stretch(chunk=chunk, kind=kind, rows=max(there.rows, here.rows)))
        if leaves:
            suspects |= _pairs(old.rows(table, leaves), platform.rows(table, leaves))
    found.more |= len(suspects) > most
    _settle(found, dict(islice(suspects.items(), most)), old, platform, arrived)
    return found


def _pairs(there: Mapping[str, str], here: Mapping[str, str]) -> dict[str, Pair]:
    """The rows whose digests are not the same, by key."""
    keys = sorted(there.keys() | here.keys())
    return {key: (there.get(key), here.get(key)) for key in keys if there.get(key) != here.get(key)}


def _settle(
    found: Comparison, suspects: Mapping[str, Pair], old: Side, platform: Side, arrived: Callable[[], None]
) -> None:
    """Look at the rows again until each is the same, or a difference."""
    left, first = dict(suspects), len(suspects)
    for _ in range(LOOKS):
        if not left and not found.stretches:
            break
        arrived()
        found.stretches = [each for each in found.stretches if not _has_come(each, found.table, old, platform)]
        again = _pairs(old.look(found.table, [*left]), platform.look(found.table, [*left]))
        settled = {key: pair for key, pair in again.items() if pair[0] == left[key][0]}
        found.differences += [_difference(key, *pair) for key, pair in settled.items()]
        left = {key: pair for key, pair in again.items() if key not in settled}
        if not left:
            break
    found.differences.sort(key=lambda each: each.key)
    found.unsettled = sorted(left)
    found.in_flight = first - len(found.differences) - len(left)


def _has_come(stretch: Stretch, table: str, old: Side, platform: Side) -> bool:
    [there], [here] = old.digests(table, [stretch.chunk]), platform.digests(table, [stretch.chunk])
    return there[:2] == here[:2]


def _difference(key: str, there: str | None, here: str | None) -> Difference:
    kind = Kind.MISSING if here is None else Kind.EXTRA if there is None else Kind.OTHER
    return Difference(key=key, kind=kind, seen=here)


def wait(
    seconds: float, lag: Callable[[], float], most_seconds: float, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Wait until what has changed in the old system is applied here: ``seconds`` for the export, then until the oldest
    file that waits here (``lag``: its age in seconds) came after those. Raises ``TimeoutError`` after ``most_seconds``.

    """
    began = time.monotonic()
    sleep(seconds)
    while lag() > max(0.0, time.monotonic() - began - seconds):
        if time.monotonic() - began > most_seconds:
            raise TimeoutError
        sleep(min(5.0, seconds))
