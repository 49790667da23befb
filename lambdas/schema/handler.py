"""Migrates the customer database to the schema of this version, on create and on update.

Properties: ``Host`` (writer endpoint), ``Port``, ``Database``, ``MasterSecretArn``, ``AppSecretArn``,
``MigrationSecretArn`` (of the user that moves customers here; absent where nobody moves), ``DemoCustomers``
(``true`` or ``false``), ``SyntheticPrincipals`` and ``DemoPrincipals`` (who calls the API as the seeded merchants),
``MigrationsHash`` (a change triggers another call). No attributes. A delete does nothing: the data is deleted or kept
with its cluster.
"""

import json
import os
from pathlib import Path
from typing import Any

from lambdas.adapters import aws, database, roles
from lambdas.deployment.custom_resource import Event, Outcome, custom_resource
from lambdas.payments.money import CURRENCIES
from lambdas.schema import migrator

_SEEDS = Path(__file__).with_name("seeds")

_READ = ("customers", "merchants", "merchant_principals", "merchant_customers")

MIGRATION_USER = "payments_migration"
"""The user that moves another system's customers here."""

_MIGRATION_SECONDS = 240
"""The limit for one migration, which may build an index or wait for another migrator. The function has 5 minutes."""


@custom_resource
def handler(event: Event) -> Outcome:
    properties = event["ResourceProperties"]
    physical_id = f"{properties['Host']}/{properties['Database']}"
    if event["RequestType"] != "Delete":
        login = _secret(properties["MasterSecretArn"])
        connection = database.connect(login, _address(properties), timeout=_MIGRATION_SECONDS)
        try:
            applied = migrator.apply(connection, migrator.load())
            _grant(connection, properties["Database"], _secret(properties["AppSecretArn"]))
            if arn := properties.get("MigrationSecretArn"):
                let_migrate(connection, properties["Database"], _secret(arn)["password"])
            else:
                end_migration(connection, properties["Database"])
            _seed(connection, properties)
        finally:
            connection.close()
        print(json.dumps({"message": "schema is up to date", "applied": applied}))
    return physical_id, {}


def _address(properties: Event) -> dict[str, str]:
    address = {
        "DATABASE_HOST": properties["Host"],
        "DATABASE_PORT": properties["Port"],
        "DATABASE_NAME": properties["Database"],
    }
    if "DATABASE_CA_BUNDLE" in os.environ:
        address["DATABASE_CA_BUNDLE"] = os.environ["DATABASE_CA_BUNDLE"]
    return address


def _secret(arn: str) -> dict[str, str]:
    login: dict[str, str] = json.loads(
        aws.patient_client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
    )
    return login


def _grant(connection: Any, name: str, login: dict[str, str]) -> None:
    """Create the application's role if it is missing. It may log in, read customers and merchants, and nothing else."""
    from pg8000.native import identifier

    role = identifier(login["username"])
    _ensure_role(connection, login["username"], login["password"])
    connection.run(f"REVOKE ALL ON DATABASE {identifier(name)} FROM PUBLIC")
    connection.run("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    connection.run(f"GRANT CONNECT ON DATABASE {identifier(name)} TO {role}")
    connection.run(f"GRANT USAGE ON SCHEMA public TO {role}")
    connection.run(f"GRANT SELECT ON {', '.join(_READ)} TO {role}")


def let_migrate(connection: Any, name: str, password: str) -> None:
    """Create the user of the migration if it is missing. It may write customers and merchants, and its own notes."""
    from pg8000.native import identifier

    _ensure_role(connection, MIGRATION_USER, password)
    connection.run(f"GRANT CONNECT, TEMPORARY ON DATABASE {identifier(name)} TO {MIGRATION_USER}")
    connection.run(f"GRANT USAGE ON SCHEMA public, migration TO {MIGRATION_USER}")
    connection.run(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(_READ)} TO {MIGRATION_USER}")
    connection.run(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA migration TO {MIGRATION_USER}")


def end_migration(connection: Any, name: str) -> None:
    """Remove the user of the migration, if there is one."""
    from pg8000.native import identifier

    if not _exists(connection, MIGRATION_USER):
        return
    connection.run(f"REVOKE ALL ON ALL TABLES IN SCHEMA public, migration FROM {MIGRATION_USER}")
    connection.run(f"REVOKE ALL ON SCHEMA public, migration FROM {MIGRATION_USER}")
    connection.run(f"REVOKE ALL ON DATABASE {identifier(name)} FROM {MIGRATION_USER}")
    connection.run(f"DROP ROLE {MIGRATION_USER}")


def _ensure_role(connection: Any, name: str, password: str) -> None:
    from pg8000.native import identifier

    if not _exists(connection, name):
        connection.run(f"CREATE ROLE {identifier(name)} LOGIN")
    roles.set_password(connection, name, password)


def _exists(connection: Any, role: str) -> bool:
    return bool(connection.run("SELECT 1 FROM pg_roles WHERE rolname = :role", role=role))


def _seed(connection: Any, properties: Event) -> None:
    for name in ["synthetic", *(["demo"] if properties["DemoCustomers"] == "true" else [])]:
        for statement in (_SEEDS / f"{name}.sql").read_text().split(";\n"):
            if statement.strip():
                connection.run(
                    statement,
                    currencies=sorted(CURRENCIES),
                    synthetic_principals=list(properties["SyntheticPrincipals"]),
                    demo_principals=list(properties["DemoPrincipals"]),
                )
