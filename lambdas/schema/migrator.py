"""SQL migrations: files ``NNNN_name.sql``, applied in order, each once and in a transaction of its own.

Each file begins with ``-- expand`` or ``-- contract``. During a shift the stable and the candidate version use the same
schema. An expand migration adds columns for the candidate, and removes none that the stable version reads. A contract
migration removes them in a later release, when no version that reads them can be rolled back to.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("migrations")

_LOCK = 7_301_201
"""Advisory lock: one migrator at a time."""

_HISTORY = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationChanged(Exception):
    """The text of an applied migration has changed. Restore it, and add another migration instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load(folder: Path = FOLDER) -> list[Migration]:
    """The migrations in ``folder``, in order."""
    return [Migration(name=file.stem, sql=file.read_text()) for file in sorted(folder.glob("[0-9]*.sql"))]


def apply(connection: Any, migrations: list[Migration]) -> list[str]:
    """Apply the migrations that the database lacks. Returns their names. Raises ``MigrationChanged``."""
    connection.run(f"SELECT pg_advisory_lock({_LOCK})")
    try:
        connection.run(_HISTORY)
        applied = dict(connection.run("SELECT name, checksum FROM schema_migrations"))
        for migration in migrations:
            if applied.get(migration.name, migration.checksum) != migration.checksum:
                raise MigrationChanged(migration.name)
        missing = [migration for migration in migrations if migration.name not in applied]
        for migration in missing:
            _apply_one(connection, migration)
        return [migration.name for migration in missing]
    finally:
        connection.run(f"SELECT pg_advisory_unlock({_LOCK})")


def _apply_one(connection: Any, migration: Migration) -> None:
    connection.run("START TRANSACTION")
    try:
        connection.run(migration.sql)
        connection.run(
            "INSERT INTO schema_migrations (name, checksum) VALUES (:name, :checksum)",
            name=migration.name,
            checksum=migration.checksum,
        )
        connection.run("COMMIT")
    except BaseException:
        connection.run("ROLLBACK")
        raise
