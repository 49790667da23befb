"""The platform's side of a comparison: the function of the migration, which alone may read customers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lambdas.migration.comparison import Chunk, Digest

Call = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Calls the function with an event, and gives its answer. Raises ``Unavailable``."""


class Target:
    """``differences.Side`` by calls of the function."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def totals(self, table: str) -> Mapping[str, int]:
        return self._asked("totals", table)  # type: ignore[no-any-return]

    def digests(self, table: str, chunks: Sequence[Chunk]) -> Sequence[Digest]:
        return [Digest(*each) for each in self._asked("digests", table, chunks=chunks)]

    def rows(self, table: str, chunks: Sequence[Chunk]) -> Mapping[str, str]:
        return self._asked("rows", table, chunks=chunks)  # type: ignore[no-any-return]

    def look(self, table: str, keys: Sequence[str]) -> Mapping[str, str]:
        return self._asked("look", table, keys=keys)  # type: ignore[no-any-return]

    def lag(self) -> float:
        """The age in seconds of the oldest change that waits here; 0 when none does."""
        return float(self._call({"command": "status", "files": 0})["lag_seconds"])

    def repair(self, table: str, rows: Sequence[Mapping[str, Any]], named: Sequence[str]) -> Mapping[str, Any]:
        """See ``lambdas.migration.repair``."""
        return self._call({"command": "repair", "table": table, "rows": rows, "named": list(named)})

    def _asked(self, ask: str, table: str, **more: Any) -> Any:
        return self._call({"command": "compare", "ask": ask, "table": table, **more})["answer"]
