"""Brings single rows in line with the old system, through the merge that files and changes take."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lambdas.migration import files, merging
from lambdas.migration.comparison import TARGET, Side
from lambdas.migration.state import State
from lambdas.migration.tables import TABLES, Fault

_Incoming = tuple[str, int, Sequence[str]]
"""Position, line and texts of a row that is merged."""


def repair(
    connection: Any, state: State, table_name: str, rows: Sequence[Mapping[str, Any]], named: Sequence[str] = ()
) -> dict[str, Any]:
    """Apply ``rows``: ``key`` and ``seen``, the row's digest when it was compared (``None``: it was missing), and
    ``values``, its columns as texts (``None``: it shall go). ``named``: keys that a person has named, see ``merging``.

    A row that is not as it was seen any more is left out: a change has come, which may be newer than ``values``.
    """
    table = TABLES[table_name]
    columns = [each for each in table.columns if any(each.name in (row["values"] or {}) for row in rows)]
    rejected: list[list[str]] = []
    upserts: list[_Incoming] = []
    deletes: list[_Incoming] = []
    with state.transaction():
        position = _position(state)
        now = Side(connection, TARGET).look(table_name, [row["key"] for row in rows])
        skipped = [row["key"] for row in rows if now.get(row["key"]) != row["seen"]]
        for line, row in enumerate(rows):
            if row["key"] in skipped:
                continue
            values = row["values"]
            read = table.read(values) if values is not None else table.key_of(_key_values(table.key, row["key"]))
            if isinstance(read, Fault):
                rejected.append([row["key"], *read])
            else:
                (deletes if values is None else upserts).append((position, line, read))
        applied = 0
        for chosen, are_upserts in ((upserts, True), (deletes, False)):
            if not chosen:
                continue
            merging.stage(connection, columns if are_upserts else table.key_columns(), chosen)
            if are_upserts:
                counts, faults = merging.upsert(connection, table, columns, named)
            else:
                counts, faults = merging.delete(connection, table)
            if position:
                merging.remember(connection, table)
            applied += sum(counts.get(name, 0) for name in ("inserted", "updated", "deleted"))
            rejected += [[rows[line]["key"], *fault] for line, fault in faults]
    return {"applied": applied, "skipped": skipped, "rejected": rejected}


def _key_values(names: Sequence[str], key: str) -> dict[str, str | None]:
    return dict(zip(names, json.loads(key) if len(names) > 1 else [key], strict=True))


def _position(state: State) -> str:
    """Just behind the last change that was applied, so that older ones change these rows no more, and newer ones do."""
    newest = state.watermark()
    name = files.Name.of(newest["file"]) if newest else None
    return f"{name.order}#{newest['line']:012d}~" if newest and name else ""
