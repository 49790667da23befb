"""The cost of importing payments, and its memory whatever the file: ``python -m benchmarks payment_import``.

A file in DMS's layout, CSV or Parquet, is read as a stream, checked, compared with an empty ledger, recorded, written
and read back. Ledger, audit log and directory answer at once and keep a part at most, so it holds everything but
network calls and the SDK. Each size runs in a process of its own. PAYMENTS names other sizes. Lambda gives the
import's function one whole processor (``stages/migration.py``).
"""

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks._memory import peak_mib
from environments import MigrationSettings
from tests.oldsystem.parquet import parquet_parts

SIZES = [int(each) for each in os.environ.get("PAYMENTS", "10000,50000,100000").split(",")]
FORMATS = ("csv", "parquet")
CUSTOMERS, MERCHANTS = 5000, 50
GOAL_SHARE, GOAL_MIB = 0.25, 256
"""Of a processor at the usual pace, and of memory."""
_HISTORY = 10_000_000
COLUMNS = (
    "Op", "payment_id", "created_at", "merchant_id", "customer_id", "amount", "currency", "card_number", "card_expiry",
    "status", "reasons", "merchant_reference", "client_ip", "country", "idempotency_key",
)  # fmt: skip
_PIECE = 1 << 20


def main() -> None:
    pace = MigrationSettings().payments_per_second
    print(f"payments of a file, each size in a process of its own (goal: at most {GOAL_SHARE:.0%} of a processor at")
    print(f"{pace} a second, and {GOAL_MIB} MiB whatever the file)")
    for form in FORMATS:
        first: dict[str, Any] | None = None
        for size in SIZES:
            found = _in_a_process_of_its_own(size, form)
            first = first or found
            print(
                f"  {form:8}{size:>10,}  {size / found['seconds']:6,.0f} a second  "
                f"{pace * found['seconds'] / size:.0%} of a processor at {pace} a second  "
                f"{found['mib']:.0f} MiB, {found['mib'] / first['mib']:.2f} times the first  "
                f"{found['bytes'] / size:.0f} bytes of audit log a payment",
                flush=True,
            )
    hours = _HISTORY / pace / 3600
    print(f"{_HISTORY:,} payments take {hours:.1f} hours at {pace} a second: the pace decides, not the processor")


def _in_a_process_of_its_own(size: int, form: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"payments.{form}"
        with path.open("wb") as file:
            lines = payments(size)
            file.writelines(
                parquet_parts(COLUMNS, lines)
                if form == "parquet"
                else (f"{','.join(line)}\n".encode() for line in chain([COLUMNS], lines))
            )
        run = [sys.executable, "-m", "benchmarks.payment_import", str(size), str(path)]
        found: dict[str, Any] = json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    return found


def payments(size: int) -> Iterator[list[str]]:
    """Different payments, in order of time: the fields of ``COLUMNS``."""
    begin = datetime(2025, 1, 1, tzinfo=UTC)
    for number in range(size):
        at = begin + timedelta(seconds=6 * number)
        yield [
            "I", f"old-{number:017}", f"{at:%Y-%m-%d %H:%M:%S}.123456", f"shop-{number % MERCHANTS}",
            f"customer-{number % CUSTOMERS}", f"{number % 900 + 1}.500", "USD", "4111111111111111", "2027-09",
            "approved", "", f"order/{number}x", f"203.0.113.{number % 250}", "DE", "k",
        ]  # fmt: skip


def measure(size: int, file: str) -> dict[str, Any]:
    from lambdas.books.agreement import Row
    from lambdas.migration import files
    from lambdas.migration.history import PaymentImport
    from lambdas.migration.parquet import ParquetFile
    from lambdas.migration.report import Report
    from lambdas.payments.audit import Record
    from lambdas.payments.card_keys import CardKeys

    class Nothing:
        """Ledger, audit log and directory. The ledger knows what was written since it was asked for something else."""

        audited = 0

        def __init__(self) -> None:
            self._written: dict[str, Mapping[str, Any]] = {}

        def stored(self, transaction_ids: Sequence[str]) -> Mapping[str, Row]:
            if transaction_ids[0] not in self._written:
                self._written.clear()
            return {id: Row.of(self._written[id]) for id in transaction_ids if id in self._written}

        def write(self, item: Mapping[str, Any], replaces: str | None) -> bool:
            self._written[item["transaction_id"]["S"]] = item
            return True

        def put_if_absent(self, record: Record) -> Record:
            self.audited += len(record.body)
            return record

        def imported(self, import_id: str) -> Iterable[bytes]:
            return []

        def customers(self, ids: Iterable[str]) -> frozenset[str]:
            return frozenset(ids)

        merchants = customers

    nothing, report = Nothing(), Report()
    importing = PaymentImport(
        nothing, nothing, nothing, CardKeys.of_one(b"k" * 64), import_id=f"imp_{0:032}", source="benchmark",
        clock=lambda: datetime.now(UTC),
    )  # fmt: skip
    content, path = io.FileIO(file), Path(file)
    if path.suffix == ".parquet":
        found = ParquetFile(lambda offset, number: os.pread(content.fileno(), number, offset), path.stat().st_size)
        rows = found.rows(files.BEGIN)
    else:
        rows = files.rows(iter(lambda: content.read(_PIECE), b""))
    start = time.process_time()
    importing.apply(rows, report)
    importing.end(report)
    seconds = time.process_time() - start
    if (report.inserted, report.rejected) != (size, 0):
        raise SystemExit(f"of {size} payments {report.inserted} were imported: {report.listed[:1]}")
    return {"seconds": seconds, "mib": peak_mib(), "bytes": nothing.audited}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), sys.argv[2])))
