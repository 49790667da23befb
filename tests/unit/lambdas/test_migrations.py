"""Migrations follow the rules by which stable and candidate versions share one schema."""

import re
from pathlib import Path

import pytest

from lambdas.schema.migrator import FOLDER, Migration, load

DESTRUCTIVE = re.compile(r"\b(DROP|RENAME|TRUNCATE|DELETE)\b|\bALTER\s+COLUMN\b|\bSET\s+NOT\s+NULL\b", re.IGNORECASE)


@pytest.mark.parametrize("migration", load(), ids=lambda migration: migration.name)
def test_a_migration_states_its_kind_and_expand_removes_nothing(migration: Migration) -> None:
    kind = migration.sql.partition("\n")[0]
    assert kind in ("-- expand", "-- contract")
    if kind == "-- expand":
        assert not DESTRUCTIVE.search(migration.sql)


def test_migrations_have_unique_numbers_and_are_ordered(tmp_path: Path) -> None:
    names = [migration.name for migration in load(FOLDER)]
    assert names
    assert [name[:4] for name in names] == [f"{n:04}" for n in range(1, len(names) + 1)]
    for name in ("0002_b.sql", "0001_a.sql", "README.md"):
        (tmp_path / name).write_text("-- expand\n")
    assert [migration.name for migration in load(tmp_path)] == ["0001_a", "0002_b"]
