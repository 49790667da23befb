"""Both sides of a move on one PostgreSQL: the old system's database, and the platform's with its own rows in it."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pg8000.native import Connection

from lambdas.payments.money import CURRENCIES
from lambdas.schema import migrator
from lambdas.schema.handler import MIGRATION_USER, let_migrate
from localcloud.postgres import Postgres
from tests.oldsystem.database import SETTINGS, OldSystem

_NAME = _USER = "platform"
_SEEDS = Path(migrator.__file__).with_name("seeds")
_CONVERTED = {
    "customers": "{0}, {1}, {2}, string_to_array({3}, ','), {4}::jsonb, {5}::jsonb, {6}",
    "merchants": "{0}, {1}, string_to_array({2}, ','), {3}::jsonb, string_to_array({4}, ','), {5}, {6}",
    "merchant_customers": "{0}, {1}",
}


class Sides:
    """``old``: the old system. The platform is migrated and seeded as a deployment does it."""

    def __init__(self, server: Postgres) -> None:
        self._server, self._password = server, secrets.token_urlsafe(16)
        self.old = OldSystem(server)
        server.ensure_database(_USER, self._password, _NAME)
        connection = self.platform()
        migrator.apply(connection, migrator.load())
        for seed in ("synthetic", "demo"):
            for statement in (_SEEDS / f"{seed}.sql").read_text().split(";\n"):
                if statement.strip():
                    connection.run(
                        statement, currencies=sorted(CURRENCIES), synthetic_principals=["s"], demo_principals=["d"]
                    )
        let_migrate(connection, _NAME, self._password)
        connection.close()

    def migration(self) -> Any:
        """The same, as the user of the migration's function."""
        return Connection(MIGRATION_USER, password=self._password, unix_sock=self._server.socket, database=_NAME)

    def platform(self) -> Any:
        """A connection of ``pg8000.native`` to the platform's database."""
        return Connection(_USER, password=self._password, unix_sock=self._server.socket, database=_NAME)

    def clear(self) -> None:
        """Without the rows of both sides, except the platform's own."""
        old, platform = self.old.connect(), self.platform()
        old.run("TRUNCATE customers, merchants, merchant_customers, payments")
        platform.run("DELETE FROM merchant_customers USING merchants m WHERE m.merchant_id = "
                     "merchant_customers.merchant_id AND takes = 'real'")  # fmt: skip
        platform.run("DELETE FROM merchants WHERE takes = 'real'")
        platform.run("DELETE FROM customers WHERE NOT synthetic AND customer_id NOT LIKE 'cust-%'")
        platform.run("TRUNCATE migration.files, migration.layouts, migration.changed_rows, migration.staged_rows")
        old.close()
        platform.close()

    def move(self) -> None:
        """Bring the old system's rows to the platform, as a load without rejected rows does."""
        old, platform = self.old.connect(), self.platform()
        for table, converted in _CONVERTED.items():
            [[columns]] = old.run(
                "SELECT array_agg(column_name::text ORDER BY ordinal_position) FROM information_schema.columns "
                "WHERE table_schema = 'public' AND table_name = :table", table=table,
            )  # fmt: skip
            rows = old.run(f"SELECT to_json(array_agg({table}.*))::text FROM {table}")[0][0]
            if rows:
                platform.run(
                    f"INSERT INTO {table} ({', '.join(columns)}) SELECT {converted.format(*columns)} "
                    f"FROM json_to_recordset(CAST(:rows AS json)) AS t ({', '.join(_types(table, columns))}) "
                    "ON CONFLICT DO NOTHING", rows=rows,
                )  # fmt: skip
        old.close()
        platform.close()


def _types(table: str, columns: list[str]) -> list[str]:
    types = {"created_at": "timestamptz", "platform_wide": "boolean"}
    return [f"{column} {types.get(column, 'text')}" for column in columns]


@contextmanager
def both_sides(folder: Path) -> Iterator[Sides]:
    server = Postgres(folder, SETTINGS)
    server.start()
    try:
        yield Sides(server)
    finally:
        server.stop()
        server.remove()
