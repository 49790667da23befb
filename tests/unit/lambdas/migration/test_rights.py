"""The user of the migration may write what moves, and nothing else; it is gone when the move is over."""

from typing import Any

import pytest
from pg8000.exceptions import DatabaseError, InterfaceError

from lambdas.adapters.database import sqlstate
from lambdas.schema.handler import MIGRATION_USER, end_migration, let_migrate
from localcloud.postgres import Postgres
from stages import database
from tests.unit.lambdas.migration.conftest import ADMIN, DATABASE, PASSWORD, Move, connect

DENIED = "42501"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE public.mine (id int)",
        "DROP TABLE customers",
        "TRUNCATE customers",
        "ALTER TABLE customers ADD COLUMN x int",
        "SELECT * FROM schema_migrations",
        "CREATE ROLE other",
    ],
)
def test_it_may_do_no_more_than_move_rows(statement: str, move: Move) -> None:
    with pytest.raises(DatabaseError) as refused:
        move.connection.run(statement)
    assert sqlstate(refused.value) == DENIED


def test_it_is_made_and_removed_as_often_as_the_setting_changes(server: Postgres) -> None:
    admin: Any = connect(server, ADMIN)
    for _ in range(2):
        # When the setting is taken away
        end_migration(admin, DATABASE)
        end_migration(admin, DATABASE)
        # Then nobody can log in as it
        with pytest.raises((DatabaseError, InterfaceError)):  # the server closes the connection after its refusal
            connect(server, MIGRATION_USER)
        # When it is set again
        let_migrate(admin, DATABASE, PASSWORD)
        let_migrate(admin, DATABASE, PASSWORD)
        # Then it has its rights
        connection = connect(server, MIGRATION_USER)
        assert connection.run("SELECT count(*) >= 0 FROM customers") == [[True]]
        connection.close()
    admin.close()


def test_stages_and_functions_call_it_the_same() -> None:
    assert database.MIGRATION_USER == MIGRATION_USER
