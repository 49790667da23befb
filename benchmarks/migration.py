"""Rows a second and memory of a full load: ``python -m benchmarks migration``. ROWS names other numbers of rows.

Loads a file of customers, CSV and Parquet, in a process of its own into a real PostgreSQL with the platform's schema,
and once more. The bytes come from disk in the place of S3. The memory is the highest that the process had, beside what
it has before it reads a row. "of its own": rows for each second of the process's own processor time, which other work
does not slow.
"""

import csv
import io
import itertools
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pg8000.native import Connection

from benchmarks._memory import peak_mib
from lambdas.migration.load import Loader
from lambdas.migration.objects import Bucket
from lambdas.schema import handler as schema
from lambdas.schema import migrator
from localcloud.postgres import Postgres
from tests.oldsystem.parquet import parquet_parts

ADMIN, DATABASE, PASSWORD = "payments_admin", "payments", "a-password"
HEADER = "Op,customer_id,status,country,allowed_currencies,payment_limits,spending_limits,created_at\n"
ROW = 'I,c-{n:09},active,DE,"EUR,USD","{{""EUR"": 250000}}",{{}},2021-03-01 08:00:00.123456\n'


class _Disk:
    """A file on disk as S3 gives it."""

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key = path, key

    def get_paginator(self, operation: str) -> Any:
        found = {"Key": self._key, "ETag": "1", "Size": self._path.stat().st_size, "LastModified": datetime.now(UTC)}
        return SimpleNamespace(paginate=lambda **_: [{"Contents": [found]}])

    def get_object(self, *, Range: str, **_: str) -> Any:
        file, (first, last) = io.FileIO(self._path), Range.removeprefix("bytes=").split("-")
        file.seek(int(first))
        left = int(last) + 1 - int(first) if last else self._path.stat().st_size

        def iter_chunks(size: int) -> Iterator[bytes]:
            nonlocal left
            while chunk := file.read(min(size, left)):
                left -= len(chunk)
                yield chunk

        return {"Body": SimpleNamespace(iter_chunks=iter_chunks)}

    def put_object(self, **_: Any) -> None:
        """The report is not kept."""


def main() -> None:
    counts = [int(each) for each in os.environ.get("ROWS", "100000,1000000").split(",")]
    with tempfile.TemporaryDirectory() as name:
        server = Postgres(Path(name) / "postgres")
        server.start()
        try:
            server.ensure_database(ADMIN, PASSWORD, DATABASE)
            admin = Connection(ADMIN, password=PASSWORD, unix_sock=server.socket, database=DATABASE)
            migrator.apply(admin, migrator.load())
            schema.let_migrate(admin, DATABASE, PASSWORD)
            print(f"{'rows':>10}  {'run':<20}{'seconds':>9}{'rows/s':>9}{'of its own':>12}{'MiB more':>9}")
            for count, form in itertools.product(counts, ("csv", "parquet")):
                path = Path(name) / f"customers.{form}"
                with path.open("wb") as file:
                    file.writelines(_parquet(count) if form == "parquet" else _csv(count))
                for run in ("inserted", "unchanged"):
                    _measure(server.socket, path, count, run)
                path.unlink()
                admin.run("TRUNCATE customers CASCADE")
        finally:
            server.stop()
            server.remove()


def _csv(count: int) -> Iterator[bytes]:
    yield HEADER.encode()
    yield from (ROW.format(n=n).encode() for n in range(count))


def _parquet(count: int) -> Iterator[bytes]:
    names = HEADER.strip().split(",")
    return parquet_parts(names, (next(csv.reader([ROW.format(n=n)])) for n in range(count)))


def _measure(socket: str, path: Path, count: int, run: str) -> None:
    """In a process of its own, which has no memory of an earlier run."""
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    process = context.Process(
        target=_load, args=(socket, path, f"public/customers/LOAD{count:08}{len(run)}{path.suffix}", results)
    )
    process.start()
    seconds, own, memory, found = results.get()
    process.join()
    if found[run] != count:
        raise SystemExit(f"{found}: not all {count} rows were {run}")
    print(
        f"{count:>10,}  {f'{path.suffix[1:]}, {run}':<20}{seconds:>9.1f}{count / seconds:>9,.0f}{count / own:>12,.0f}"
        f"{memory:>9.1f}",
        flush=True,
    )


def _load(socket: str, path: Path, key: str, results: Any) -> None:
    connection = Connection(schema.MIGRATION_USER, password=PASSWORD, unix_sock=socket, database=DATABASE)
    bucket = Bucket(_Disk(path, key), "migration")
    [file] = bucket.files()
    before = peak_mib()
    begun, own = time.monotonic(), time.process_time()
    report = Loader(connection, bucket, lambda: True).load(file).report
    seconds, own = time.monotonic() - begun, time.process_time() - own
    memory = peak_mib() - before
    results.put((seconds, own, memory, {"inserted": report.inserted, "unchanged": report.unchanged}))
