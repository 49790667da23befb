"""Compares the rows of two databases without moving them: by count, by sums, and by digests of ordered chunks.

Each side gives its rows in one canonical form, as a query with the columns that ``CANONICAL`` names, all of them texts.
The rest is the same for both sides: equal rows give equal digests whatever their types are. Keys are in the order of
their bytes (collation "C"), because the two databases may sort texts differently.

No digest and no key tells a card number: the tables that are compared hold none.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

CANONICAL: Final = {
    "customers": (
        "customer_id", "status", "country", "allowed_currencies", "payment_limits", "spending_limits", "created_at",
    ),
    "merchants": (
        "merchant_id", "status", "allowed_currencies", "limits", "required_fields", "platform_wide", "created_at",
    ),
    "merchant_principals": ("principal", "merchant_id"),
    "merchant_customers": ("merchant_id", "customer_id"),
}  # fmt: skip
"""The columns of each table that is compared, each table after those that it refers to."""
_KEYS: Final = {"merchant_customers": "json_build_array(merchant_id, customer_id)::text"}
"""A key is one text. Of the other tables it is the first column."""
_STATUS: Final = "status"
_LIMITS: Final = ("payment_limits", "spending_limits", "limits")

TIME: Final = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
"""A time as a text, to the microsecond."""
LIST: Final = (
    "array_to_string(ARRAY(SELECT DISTINCT one COLLATE \"C\" FROM unnest({}) AS one WHERE one <> '' ORDER BY 1), ',')"
)
"""An array of texts as one text, in order."""

_DEMONSTRATION: Final = "'^cust-(100[0-4][0-9]|10050|12345)$'"
"""The customers of ``lambdas/schema/seeds/demo.sql``, which no other system knows."""

TARGET: Final = {
    "customers": f"""
        SELECT customer_id, status, country::text AS country, {LIST.format("allowed_currencies")} AS allowed_currencies,
               payment_limits::text AS payment_limits, spending_limits::text AS spending_limits,
               {TIME.format("created_at")} AS created_at
        FROM customers WHERE NOT synthetic AND customer_id !~ {_DEMONSTRATION}
    """,
    "merchants": f"""
        SELECT merchant_id, status, {LIST.format("allowed_currencies")} AS allowed_currencies, limits::text AS limits,
               {LIST.format("required_fields")} AS required_fields, platform_wide::text AS platform_wide,
               {TIME.format("created_at")} AS created_at
        FROM merchants WHERE takes = 'real'
    """,
    "merchant_principals": """
        SELECT principal, merchant_id FROM merchant_principals JOIN merchants USING (merchant_id) WHERE takes = 'real'
    """,
    "merchant_customers": """
        SELECT merchant_id, customer_id FROM merchant_customers JOIN merchants USING (merchant_id) WHERE takes = 'real'
    """,
}
"""This platform's rows, without those that are its own."""


class Chunk(NamedTuple):
    """The rows whose keys are at least ``low`` and under ``high``; ``None``: no such bound."""

    low: str | None
    high: str | None


class Digest(NamedTuple):
    """Of the rows in a chunk. ``middle``: the key that divides them in halves; ``None`` when there are none."""

    rows: int
    hash: str
    middle: str | None


EMPTY: Final = Digest(0, "", None)


class Side:
    """One of the two databases. ``tables``: the query of each table's canonical rows."""

    def __init__(self, connection: Any, tables: Mapping[str, str]) -> None:
        self._connection = connection
        self._tables = tables

    def totals(self, table: str) -> dict[str, int]:
        """Counts of rows, and of rows by status, and sums of limits by their name."""
        columns, rows = CANONICAL[table], f"({self._tables[table]}) AS c"  # each part makes the columns that it needs
        parts = [f"SELECT 'rows', count(*) FROM {rows}"]
        if _STATUS in columns:
            parts.append(f"SELECT 'status ' || status, count(*) FROM {rows} GROUP BY 1")
        parts += [
            f"SELECT 'sum of {name} ' || one.key, sum(one.value::numeric) FROM {rows}, LATERAL jsonb_each_text("
            f"CASE WHEN left({name}, 1) = '{{' THEN {name}::jsonb ELSE '{{}}' END) AS one "
            "WHERE one.value ~ '^[0-9]+$' GROUP BY 1"
            for name in _LIMITS
            if name in columns
        ]
        found = self._connection.run(" UNION ALL ".join(parts))
        return {name: int(number) for name, number in sorted(found)}

    def bounds(self, table: str, size: int) -> list[Chunk]:
        """Chunks of ``size`` rows that together take in every possible key."""
        rows = self._connection.run(
            "SELECT key FROM (SELECT key, row_number() OVER (ORDER BY key) AS number "
            f"FROM ({self._rows(table)}) AS c) AS n WHERE number > 1 AND number % :size = 1 % :size ORDER BY key",
            size=size,
        )
        edges = [None, *(key for (key,) in rows), None]
        return [Chunk(*pair) for pair in pairwise(edges)]

    def digests(self, table: str, chunks: Sequence[Chunk]) -> list[Digest]:
        """Of ``chunks``, which are in order and do not overlap. Reads the table once."""
        rows = self._connection.run(
            f"SELECT number, count(*), {_hash(_TOGETHER)}, percentile_disc(0.5) WITHIN GROUP (ORDER BY key) "
            f"FROM ({self._numbered(table)}) AS found GROUP BY number",
            **_edges(chunks),
        )
        found = {number: Digest(count, hash, middle) for number, count, hash, middle in rows}
        return [found.get(number, EMPTY) for number in range(1, len(chunks) + 1)]

    def rows(self, table: str, chunks: Sequence[Chunk]) -> dict[str, str]:
        """The digest of each row of ``chunks``, by key."""
        rows = self._connection.run(
            f"SELECT key, {_hash('content')} FROM ({self._numbered(table)}) AS found", **_edges(chunks)
        )
        return dict(rows)

    def look(self, table: str, keys: Sequence[str]) -> dict[str, str]:
        """The digests of the rows that have one of ``keys``."""
        rows = self._connection.run(
            f"SELECT key, {_hash('content')} FROM ({self._rows(table)}) AS c WHERE key = ANY(CAST(:keys AS text[]))",
            keys=list(keys),
        )
        return dict(rows)

    def _numbered(self, table: str) -> str:
        return (
            "SELECT * FROM (SELECT key, content, width_bucket(key, CAST(:lows AS text[])) AS number "
            f"FROM ({self._rows(table)}) AS c) AS n WHERE number > 0 AND "
            "((CAST(:highs AS text[]))[number] IS NULL OR key < (CAST(:highs AS text[]))[number])"
        )

    def _rows(self, table: str) -> str:
        """A query of each row's key and content."""
        columns = CANONICAL[table]
        return (
            f'SELECT {key_of(table)} COLLATE "C" AS key, json_build_array({", ".join(columns)})::text AS content '
            f"FROM ({self._tables[table]}) AS canonical"
        )


_TOGETHER: Final = "string_agg(content, E'\\n' ORDER BY key)"


def _hash(text: str) -> str:
    return f"encode(sha256(convert_to({text}, 'UTF8')), 'hex')"


def answer(connection: Any, event: Mapping[str, Any]) -> Any:
    """What ``event`` asks of this platform's side: ``ask`` names a method of ``Side``, ``table`` its table."""
    side, table = Side(connection, TARGET), event["table"]
    if event["ask"] == "totals":
        return side.totals(table)
    if event["ask"] == "look":
        return side.look(table, event["keys"])
    chunks = [Chunk(*each) for each in event["chunks"]]
    return side.digests(table, chunks) if event["ask"] == "digests" else side.rows(table, chunks)


def key_of(table: str) -> str:
    """The expression of a row's key: one text."""
    return _KEYS.get(table, CANONICAL[table][0])


def _edges(chunks: Sequence[Chunk]) -> dict[str, list[str | None]]:
    """As parameters. No key is empty, so the empty text is under all of them."""
    return {"lows": [chunk.low or "" for chunk in chunks], "highs": [chunk.high for chunk in chunks]}
