"""Brings rows into the platform's tables, inside the caller's transaction, and names those that have a fault.

Rows wait in the temporary table ``incoming``. Each step takes away those that it refuses. A merge may be repeated: rows
that are as they should be stay untouched.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from lambdas.migration.tables import TABLES, Column, Fault, Table

_DROP: Final = "DROP TABLE IF EXISTS incoming"


def stage(connection: Any, columns: Sequence[Column], rows: Sequence[tuple[str, int, Sequence[str]]]) -> None:
    """Make ``incoming`` of ``rows``: position, line and texts of each."""
    connection.run(_DROP)
    connection.run(
        f"CREATE TEMPORARY TABLE incoming ON COMMIT DROP AS SELECT position, line, {_typed(columns)} "
        "FROM (SELECT ''::text AS position, 0::bigint AS line, '{}'::text[] AS texts) AS none WHERE false"
    )
    if rows:
        connection.run(
            f"INSERT INTO incoming SELECT position, line, {_typed(columns)} FROM (SELECT e->>0 AS position, "
            "(e->>1)::bigint AS line, ARRAY(SELECT jsonb_array_elements_text(e->2)) AS texts "
            "FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS e) AS given",
            rows=json.dumps(rows),
        )


def stage_file(connection: Any, columns: Sequence[Column], file: str) -> int:
    """Make ``incoming`` of the staged rows of a full load. Returns their number."""
    connection.run(_DROP)
    connection.run(
        f"CREATE TEMPORARY TABLE incoming ON COMMIT DROP AS SELECT ''::text AS position, line, {_typed(columns)} "
        "FROM migration.staged_rows WHERE file = :file",
        file=file,
    )
    [[number]] = connection.run("SELECT count(*) FROM incoming")
    return int(number)


def _typed(columns: Sequence[Column]) -> str:
    return ", ".join(f"texts[{n}]::{column.type} AS {column.name}" for n, column in enumerate(columns, 1))


def upsert(
    connection: Any, table: Table, columns: Sequence[Column], named: Sequence[str] = ()
) -> tuple[dict[str, int], list[tuple[int, Fault]]]:
    """Insert or update the rows of ``incoming``. Returns the counts, and the faults by line. ``named``: keys of a
    fixed table whose rows may change."""
    connection.run("ANALYZE incoming")
    superseded = _take_superseded(connection, table)
    faults = [*_duplicates(connection, table), *_own(connection, table), *_orphans(connection, table)]
    if table.fixed:
        faults += _moved(connection, table, columns, named)
    names = [column.name for column in columns]
    others = [name for name in names if name not in table.key]
    if others:
        ours, theirs = (", ".join(f"{side}.{name}" for name in others) for side in ("target", "excluded"))
        conflict = (
            f"UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in others)} "
            f"WHERE ROW({ours}) IS DISTINCT FROM ROW({theirs})"
        )
    else:
        conflict = "NOTHING"
    [[inserted, updated, given]] = connection.run(
        # A row that was just inserted has no transaction that replaced it.
        f"WITH merged AS (INSERT INTO {table.name} AS target ({', '.join(names)}) "
        f"SELECT {', '.join(names)} FROM incoming ORDER BY {', '.join(table.key)} "
        f"ON CONFLICT ({', '.join(table.key)}) DO {conflict} RETURNING xmax = 0 AS is_new) "
        "SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new), (SELECT count(*) FROM incoming) "
        "FROM merged"
    )
    _read_back(connection, table, names, given)
    counts = {"inserted": inserted, "updated": updated, "unchanged": given - inserted - updated}
    return counts | {"superseded": superseded}, faults


def _read_back(connection: Any, table: Table, names: Sequence[str], given: int) -> None:
    """The file is deleted when its rows are there, so look for each. Raises ``RuntimeError``; the caller rolls back."""
    there, ours = (", ".join(f"{side}.{name}" for name in names) for side in ("target", "incoming"))
    [[held]] = connection.run(
        f"SELECT count(*) FROM incoming JOIN {table.name} AS target ON {_same_key(table)} "
        f"WHERE ROW({there}) IS NOT DISTINCT FROM ROW({ours})"
    )
    if held != given:
        raise RuntimeError(f"{given - held} rows of {table.name} are not as they were merged")


def delete(connection: Any, table: Table) -> tuple[dict[str, int], list[tuple[int, Fault]]]:
    """Delete the rows whose keys are in ``incoming``. Returns the counts, and the faults by line."""
    superseded = _take_superseded(connection, table)
    faults = [*_own(connection, table), *_referred(connection, table)]
    [[deleted, given]] = connection.run(
        f"WITH gone AS (DELETE FROM {table.name} AS target USING incoming WHERE {_same_key(table)} RETURNING 1) "
        "SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM incoming)"
    )
    return {"deleted": deleted, "unchanged": given - deleted, "superseded": superseded}, faults


def remember(connection: Any, table: Table) -> None:
    """Remember the positions of the changes in ``incoming``, so that no older ones are applied after them."""
    connection.run(
        f"INSERT INTO migration.changed_rows AS known (table_name, key, position) "
        f"SELECT '{table.name}', {_key(table, 'incoming')}, position FROM incoming "
        "ON CONFLICT (table_name, key) DO UPDATE SET position = excluded.position"
    )


def _take_superseded(connection: Any, table: Table) -> int:
    rows = connection.run(
        "DELETE FROM incoming USING migration.changed_rows AS known "
        f"WHERE known.table_name = '{table.name}' AND known.key = {_key(table, 'incoming')} "
        'AND known.position >= incoming.position COLLATE "C" RETURNING 1'
    )
    return len(rows)


def _duplicates(connection: Any, table: Table) -> Iterator[tuple[int, Fault]]:
    by_key = ", ".join(table.key)
    for line, first in connection.run(
        "DELETE FROM incoming USING "
        f"(SELECT line AS this, min(line) OVER (PARTITION BY {by_key}) AS first FROM incoming) AS known "
        "WHERE line = this AND first < this RETURNING line, first"
    ):
        yield line, Fault(by_key, f"is also in line {first}, which was taken")


def _own(connection: Any, table: Table) -> Iterator[tuple[int, Fault]]:
    for (line,) in connection.run(
        f"DELETE FROM incoming USING {table.name} AS target WHERE {_same_key(table)} AND ({table.own}) RETURNING line"
    ):
        yield line, Fault(", ".join(table.key), "is a row of the platform's own load test or demonstration")


def _orphans(connection: Any, table: Table) -> Iterator[tuple[int, Fault]]:
    for column, parent in table.parents.items():
        for (line,) in connection.run(
            f"DELETE FROM incoming WHERE NOT EXISTS (SELECT FROM {parent} AS target "
            f"WHERE target.{column} = incoming.{column} AND NOT ({TABLES[parent].own})) RETURNING line"
        ):
            yield line, Fault(column, f"refers to none of the {parent} that moved")


def _moved(
    connection: Any, table: Table, columns: Sequence[Column], named: Sequence[str]
) -> Iterator[tuple[int, Fault]]:
    """Also one that was deleted by a change: else a deletion and an insertion would do what no update may."""
    others = [column.name for column in columns if column.name not in table.key]
    theirs, ours = (", ".join(f"{side}.{name}" for name in others) for side in ("incoming", "target"))
    for (line,) in connection.run(
        f"DELETE FROM incoming WHERE NOT {table.key[0]} = ANY(CAST(:named AS text[])) AND (EXISTS (SELECT FROM "
        f"{table.name} AS target WHERE {_same_key(table)} AND ROW({ours}) IS DISTINCT FROM ROW({theirs})) OR EXISTS "
        f"(SELECT FROM migration.changed_rows AS known WHERE known.table_name = '{table.name}' AND known.key = "
        f"{_key(table, 'incoming')}) AND NOT EXISTS (SELECT FROM {table.name} AS target WHERE {_same_key(table)})) "
        "RETURNING line",
        named=list(named),
    ):
        yield (
            line,
            Fault(", ".join(others), "is another one here, or was before a deletion: `repair --principal` names it"),
        )


def _referred(connection: Any, table: Table) -> Iterator[tuple[int, Fault]]:
    for other in TABLES.values():
        for column, parent in other.parents.items():
            if parent != table.name:
                continue
            for (line,) in connection.run(
                f"DELETE FROM incoming WHERE EXISTS (SELECT FROM {other.name} AS target "
                f"WHERE target.{column} = incoming.{column}) RETURNING line"
            ):
                yield line, Fault(column, f"is deleted, and rows of {other.name} still refer to it")


def _same_key(table: Table) -> str:
    return " AND ".join(f"target.{name} = incoming.{name}" for name in table.key)


def _key(table: Table, relation: str) -> str:
    return f"ARRAY[{', '.join(f'{relation}.{name}' for name in table.key)}]"
