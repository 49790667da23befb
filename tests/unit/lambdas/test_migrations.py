"""Migrations follow the rules that let old and new versions of the functions share one schema."""

import re
from pathlib import Path

import pytest

from lambdas.schema.migrator import FOLDER, Migration, load

DESTRUCTIVE = re.compile(r"\b(DROP|RENAME|TRUNCATE|DELETE)\b|\bALTER\s+COLUMN\b|\bSET\s+NOT\s+NULL\b", re.IGNORECASE)


@pytest.mark.parametrize("migration", load(), ids=lambda migration: migration.name)
def test_a_migration_says_what_it_is_and_expand_takes_nothing_away(migration: Migration) -> None:
    kind = migration.sql.partition("\n")[0]
    assert kind in ("-- expand", "-- contract")
    if kind == "-- expand":
        assert not DESTRUCTIVE.search(migration.sql)


def test_migrations_have_numbers_of_their_own_and_come_in_order(tmp_path: Path) -> None:
    names = [migration.name for migration in load(FOLDER)]
    assert names
    assert [name[:4] for name in names] == [f"{n:04}" for n in range(1, len(names) + 1)]
    for name in ("0002_b.sql", "0001_a.sql", "README.md"):
        (tmp_path / name).write_text("-- expand\n")
    assert [migration.name for migration in load(tmp_path)] == ["0001_a", "0002_b"]
