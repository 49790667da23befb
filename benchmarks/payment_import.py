"""The cost of importing payments, and its memory whatever the file: ``python -m benchmarks payment_import``.

A file in DMS's layout is read as a stream, checked, compared with an empty ledger, recorded and written. Ledger, audit
log and directory answer at once and keep nothing, so it holds everything but network calls and the SDK. Each size runs
in a process of its own. Lambda gives the import's function one whole processor (``stages/migration.py``).
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from environments import MigrationSettings

SIZES = (10_000, 50_000, 100_000)
GOAL_SHARE, GOAL_MIB = 0.25, 256
"""Of a processor at the usual pace, and of memory."""
_HISTORY = 10_000_000
_COLUMNS = (
    "Op,payment_id,created_at,merchant_id,customer_id,amount,currency,card_number,card_expiry,status,reasons,"
    "merchant_reference,client_ip,country,idempotency_key\n"
)


def main() -> None:
    pace = MigrationSettings().payments_per_second
    print(f"payments of a file, each size in a process of its own (goal: at most {GOAL_SHARE:.0%} of a processor at")
    print(f"{pace} a second, and {GOAL_MIB} MiB whatever the file)")
    first: dict[str, Any] | None = None
    for size in SIZES:
        found = _in_a_process_of_its_own(size)
        first = first or found
        share = pace * found["seconds"] / size
        print(
            f"  {size:>8,}  {size / found['seconds']:6,.0f} a second  {share:.0%} of a processor at {pace} a second  "
            f"{found['mib']:.0f} MiB, {found['mib'] / first['mib']:.2f} times the first  "
            f"{found['bytes'] / size:.0f} bytes of audit log a payment"
        )
    hours = _HISTORY / pace / 3600
    print(f"{_HISTORY:,} payments take {hours:.1f} hours at {pace} a second: the pace decides, not the processor")


def _in_a_process_of_its_own(size: int) -> dict[str, Any]:
    run = [sys.executable, "-m", "benchmarks.payment_import", str(size)]
    found: dict[str, Any] = json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    return found


def measure(size: int) -> dict[str, Any]:
    from lambdas.books.agreement import Row
    from lambdas.migration import files
    from lambdas.migration.history import PaymentImport
    from lambdas.migration.report import Report
    from lambdas.payments.audit import Record
    from lambdas.payments.card_keys import CardKeys

    class Nothing:
        """Ledger, audit log and directory."""

        audited = written = 0

        def stored(self, transaction_ids: Sequence[str]) -> Mapping[str, Row]:
            return {}

        def write(self, item: Mapping[str, Any], replaces: str | None) -> bool:
            self.written += 1
            return True

        def put_if_absent(self, record: Record) -> Record:
            self.audited += len(record.body)
            return record

        def customers(self, ids: Iterable[str]) -> frozenset[str]:
            return frozenset(ids)

        merchants = customers

    nothing, report = Nothing(), Report()
    importing = PaymentImport(
        nothing, nothing, nothing, CardKeys.of_one(b"k" * 64), import_id=f"imp_{0:032}", source="benchmark",
        clock=lambda: datetime.now(UTC),
    )  # fmt: skip
    start = time.process_time()
    importing.apply(files.rows(_file(size)), report)
    importing.end(report)
    seconds = time.process_time() - start
    if (report.inserted, report.rejected) != (size, 0):
        raise SystemExit(f"of {size} payments {report.inserted} were imported: {report.listed[:1]}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "mib": peak, "bytes": nothing.audited}


def _file(size: int) -> Iterator[bytes]:
    """In pieces, as S3 gives them, in order of time."""
    yield _COLUMNS.encode()
    begin = datetime(2025, 1, 1, tzinfo=UTC)
    for number in range(size):
        at = begin + timedelta(seconds=6 * number)
        yield (
            f"I,old-{number:017},{at:%Y-%m-%d %H:%M:%S}.123456,shop-{number % 50},customer-{number % 5000},"
            f"{number % 900 + 1}.500,USD,4111111111111111,2027-09,approved,,order/{number}x,"
            f"203.0.113.{number % 250},DE,k\n"
        ).encode()


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
