"""The old system's PostgreSQL: a real server of its own, which keeps what logical decoding needs."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pg8000.native import Connection

from localcloud.postgres import Postgres

NAME = USER = "cards"
TABLES = ("customers", "merchants", "merchant_customers", "payments")
"""In the order in which their rows can be loaded."""
SCHEMA = "public"
PUBLICATION = "moved"
"""What is published to whoever decodes the log: all tables."""

SETTINGS = "wal_level = logical\nmax_slot_wal_keep_size = 1GB\nsynchronous_commit = on\n"
"""What is committed is in the log at once, so that an export finds it."""
_ALLOW_DECODING = "ALTER ROLE cards REPLICATION;"


class OldSystem:
    """The database ``cards`` on a running server."""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._password = secrets.token_urlsafe(16)
        server.ensure_database(USER, self._password, NAME)
        server.run(_ALLOW_DECODING)
        connection = self.connect()
        connection.run(Path(__file__).with_name("schema.sql").read_text())
        connection.run(f"CREATE PUBLICATION {PUBLICATION} FOR TABLE {', '.join(TABLES)}")
        connection.close()

    @property
    def url(self) -> str:
        """The address of the database, as libpq reads it: with the folder of the socket as the host."""
        folder = str(Path(self._server.socket).parent)
        return f"postgresql://{USER}:{self._password}@/{NAME}?host={quote(folder, safe='')}"

    def connect(self) -> Any:
        """A connection of ``pg8000.native``. One thread uses it at a time."""
        return Connection(USER, password=self._password, unix_sock=self._server.socket, database=NAME)


@contextmanager
def old_system(folder: Path) -> Iterator[OldSystem]:
    """An old system with empty tables. Its data are gone afterwards."""
    server = Postgres(folder, SETTINGS)
    server.start()
    try:
        yield OldSystem(server)
    finally:
        server.stop()
        server.remove()
