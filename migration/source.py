"""The database of the old system, which the commands read and never write.

Its address has libpq's form: ``postgresql://USER@HOST:5432/DATABASE``. The password is in the address or in
``PGPASSWORD``; ``?host=/FOLDER`` names the folder of a unix socket, and ``?sslrootcert=FILE`` the authorities that sign
the server's certificate. A connection to a host is encrypted and verified; only ``?sslmode=disable`` gives that up.
"""

import argparse
import os
import ssl
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from lambdas.migration.comparison import CANONICAL, LIST, TIME, Side, key_of
from migration.outcome import Unavailable

VARIABLE = "MIGRATION_SOURCE"
_SECONDS = 60
"""The limit for connecting, and for each answer."""


def add_argument(command: argparse.ArgumentParser) -> None:
    """Add ``--source``. Its default is a variable, because other users of a machine see the arguments of commands."""
    command.add_argument(
        "--source",
        default=os.environ.get(VARIABLE),
        metavar="URL",
        help=f"database of the old system, postgresql://…; default: the variable {VARIABLE}, which no list of "
        "processes shows",
    )


def connect(url: str | None, environ: Mapping[str, str] = os.environ) -> Any:
    """A connection of ``pg8000.native`` to the database at ``url``. Raises ``Unavailable``, which never shows a
    password."""
    from pg8000.exceptions import DatabaseError, InterfaceError
    from pg8000.native import Connection

    if not url:
        raise Unavailable(f"no address of the old system's database: set {VARIABLE}, or give --source")
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/"):
            raise ValueError
        more = dict(parse_qsl(parts.query))
        login = {
            "user": unquote(parts.username or "postgres"),
            "password": unquote(parts.password or environ.get("PGPASSWORD", "")) or None,
            "database": unquote(parts.path.strip("/")),
            "timeout": _SECONDS,
        }
        folder, port = more.get("host"), parts.port or 5432
    except ValueError:  # its text may hold the password
        raise Unavailable(
            "the address of the old system's database makes no sense: postgresql://USER@HOST/DATABASE is needed"
        ) from None
    try:
        if folder:
            return Connection(**login, unix_sock=f"{folder}/.s.PGSQL.{port}")
        tls = None if more.get("sslmode") == "disable" else ssl.create_default_context(cafile=more.get("sslrootcert"))
        return Connection(**login, host=parts.hostname or "localhost", port=port, ssl_context=tls)
    except (DatabaseError, InterfaceError, OSError) as error:
        raise Unavailable(f"the old system's database does not let us in: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    details = error.args[0] if error.args else ""
    return str(details.get("M", details)) if isinstance(details, dict) else str(error)


_JSON = (
    "CASE WHEN coalesce(nullif({0}, ''), '{{}}') IS JSON OBJECT THEN coalesce(nullif({0}, ''), '{{}}')::jsonb::text "
    "ELSE 'no JSON: ' || md5({0}) END"
)
"""A text of JSON as PostgreSQL writes it, so that spaces and order do not matter. One that is no object stays different
from every row here, and does not end the query. Needs PostgreSQL 16."""
_LIST = LIST.format("ARRAY(SELECT trim(each) FROM unnest(string_to_array(translate({}, '{{}}[]\"', ''), ',')) AS each)")
_CREATED = TIME.format("created_at")

TABLES = {
    "customers": f"""
        SELECT customer_id, lower(status) AS status, trim(country) AS country,
               {_LIST.format("allowed_currencies")} AS allowed_currencies,
               {_JSON.format("payment_limits")} AS payment_limits, {_JSON.format("spending_limits")} AS spending_limits,
               {_CREATED} AS created_at
        FROM customers
    """,
    "merchants": f"""
        SELECT merchant_id, lower(status) AS status, {_LIST.format("allowed_currencies")} AS allowed_currencies,
               {_JSON.format("limits")} AS limits,
               {_LIST.format("coalesce(required_fields, 'card_expiry,client_ip,country')")} AS required_fields,
               coalesce(platform_wide, false)::text AS platform_wide, {_CREATED} AS created_at
        FROM merchants
    """,
    "merchant_principals": "SELECT principal, merchant_id FROM merchant_principals",
    "merchant_customers": "SELECT merchant_id, customer_id FROM merchant_customers",
}
"""The old system's rows in the form of ``lambdas.migration.comparison``, and as a load reads them. Its tables, or views
of these names, have the columns that are exported: lists as ``EUR,USD``, limits as texts of JSON."""


class Source(Side):
    """The old system's side."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection, TABLES)

    def tables(self) -> list[str]:
        """Those that are compared. Many an old system knows no IAM principals: then they are this platform's own."""
        [[there]] = self._connection.run("SELECT to_regclass('merchant_principals') IS NOT NULL")
        return [table for table in CANONICAL if there or table != "merchant_principals"]

    def values(self, table: str, keys: Sequence[str]) -> dict[str, dict[str, str | None]]:
        """The rows that have one of ``keys``, as an export writes them: texts by column."""
        columns = CANONICAL[table]
        texts = ", ".join(f"CAST({column} AS text)" for column in columns)
        rows = self._connection.run(
            f"SELECT {key_of(table)}, {texts} FROM {table} WHERE {key_of(table)} = ANY(CAST(:keys AS text[]))",
            keys=list(keys),
        )
        return {key: dict(zip(columns, values, strict=True)) for key, *values in rows}
