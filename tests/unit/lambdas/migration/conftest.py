"""A real PostgreSQL with the platform's schema, as the user of the migration sees it, and a bucket in memory."""

import hashlib
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pg8000.native import Connection

from lambdas.adapters.history import PostgresKnown
from lambdas.migration.changes import Follower
from lambdas.migration.history import PaymentImport
from lambdas.migration.load import Loader
from lambdas.migration.objects import Bucket, Object
from lambdas.migration.payment_load import PAYMENTS, PaymentLoader, import_id
from lambdas.migration.state import Progress, State
from lambdas.schema import handler as schema
from lambdas.schema import migrator
from localcloud.postgres import Postgres
from tests.unit.lambdas.imported import Platform

ADMIN, DATABASE, PASSWORD = "payments_admin", "payments", "a-password"
TABLES = ("merchant_customers", "merchant_principals", "merchants", "customers")


class S3:
    """A versioned bucket: what the functions ask of S3. ``versions``: of each key, oldest first, by their ids."""

    def __init__(self) -> None:
        self.versions: dict[str, dict[str, bytes]] = {}
        self.arrived: dict[str, datetime] = {}
        self.longest_read = 0
        self._ids = itertools.count(1)

    @property
    def objects(self) -> dict[str, bytes]:
        """The newest content by key."""
        return {key: [*versions.values()][-1] for key, versions in self.versions.items() if versions}

    def put(self, key: str, body: str | bytes, arrived: datetime | None = None) -> None:
        content = body if isinstance(body, bytes) else body.encode()
        self.versions.setdefault(key, {})[f"v{next(self._ids)}"] = content
        self.arrived[key] = arrived or datetime.now(UTC)

    def get_paginator(self, operation: str) -> Any:
        pages = {"list_objects_v2": self._objects, "list_object_versions": self._versions}[operation]
        return SimpleNamespace(paginate=lambda Bucket, Prefix: [pages(Prefix)])

    def _objects(self, prefix: str) -> Any:
        return {
            "Contents": [
                {"Key": key, "ETag": _etag(body), "Size": len(body), "LastModified": self.arrived[key]}
                for key, body in sorted(self.objects.items())
                if key.startswith(prefix)
            ]
        }

    def _versions(self, prefix: str) -> Any:
        return {
            "Versions": [
                {"Key": key, "VersionId": id, "ETag": _etag(body)}
                for key, versions in sorted(self.versions.items())
                for id, body in reversed(versions.items())
                if key.startswith(prefix)
            ]
        }

    def delete_object(self, *, Bucket: str, Key: str, VersionId: str | None = None) -> None:
        del self.versions[Key][VersionId or [*self.versions[Key]][-1]]

    def lose(self, key: str) -> None:
        """As when somebody deletes it."""
        del self.versions[key]

    def get_object(self, *, Bucket: str, Key: str, Range: str, IfMatch: str) -> Any:
        body = self.objects[Key]
        if _etag(body) != IfMatch:
            raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "GetObject")
        first, last = Range.removeprefix("bytes=").split("-")
        content = body[int(first) : int(last) + 1 if last else None]
        self.longest_read = max(self.longest_read, len(content))
        rest = io.BytesIO(content)

        def iter_chunks(size: int) -> Iterator[bytes]:
            while chunk := rest.read(7_000):
                yield chunk

        return {"Body": SimpleNamespace(iter_chunks=iter_chunks)}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, ContentType: str) -> None:
        self.put(Key, Body)


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


@dataclass
class Move:
    """A move under way. ``connection``: as the migration's user; ``admin``: as the database's administrator.
    ``platform``: ledger and audit log."""

    connection: Any
    admin: Any
    s3: S3 = field(default_factory=S3)
    platform: Platform = field(default_factory=Platform)

    @property
    def bucket(self) -> Bucket:
        return Bucket(self.s3, "migration")

    def load(self, key: str, body: str | bytes | None = None, calls: int = 1, time: Any = lambda: True) -> Progress:
        """Put the file, if a body is given, and load it."""
        if body is not None:
            self.s3.put(key, body)
        [file] = [each for each in self.bucket.files() if each.name.key == key]
        if file.name.table == PAYMENTS:
            return PaymentLoader(self.connection, self.bucket, time, self.payment_import).load(file)
        return Loader(self.connection, self.bucket, time).load(file)

    def payment_import(self, file: Object) -> PaymentImport:
        return self.platform.importing(
            PostgresKnown(self.connection),
            import_id=import_id(file),
            source=file.name.key,
            order="" if file.name.kind == "load" else file.name.order,
        )

    def follow(self) -> list[Progress]:
        """Apply all the changes that wait."""
        follower, applied = Follower(self.connection, self.bucket, lambda: True, self.payment_import), []
        follower.watch(follower.backlog())
        while pending := follower.pending():
            applied.append(follower.apply(pending[0]))
            if applied[-1].state != "done":
                break
        return applied

    def rows(self, sql: str) -> list[list[Any]]:
        found: list[list[Any]] = self.admin.run(sql)
        return found

    @property
    def state(self) -> State:
        return State(self.connection)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres(tmp_path_factory.mktemp("postgres"))
    server.start()
    try:
        server.ensure_database(ADMIN, PASSWORD, DATABASE)
        admin = connect(server, ADMIN)
        migrator.apply(admin, migrator.load())
        schema.let_migrate(admin, DATABASE, PASSWORD)
        admin.close()
        yield server
    finally:
        server.stop()
        server.remove()


def connect(server: Postgres, user: str) -> Any:
    return Connection(user, password=PASSWORD, unix_sock=server.socket, database=DATABASE)


@pytest.fixture
def move(server: Postgres) -> Iterator[Move]:
    """With empty tables."""
    admin, connection = connect(server, ADMIN), connect(server, schema.MIGRATION_USER)
    for table in (*TABLES, *(f"migration.{own}" for own in ("files", "layouts", "changed_rows", "staged_rows"))):
        admin.run(f"DELETE FROM {table}")
    yield Move(connection, admin)
    connection.close()
    admin.close()
