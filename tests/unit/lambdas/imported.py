"""A ledger, an audit log and a directory in memory, into which payments of another system are imported."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from lambdas.books.agreement import Row
from lambdas.books.verification import Verification, verify
from lambdas.migration import files
from lambdas.migration.files import Position
from lambdas.migration.history import PaymentImport
from lambdas.migration.planning import Known
from lambdas.migration.report import Report
from tests.unit.lambdas.stores import Killed, MemoryAuditLog, MemoryBooks, MemorySecret, nothing

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
DAY = "2025-03-04"
VISA, MASTERCARD = "4111111111111111", "5555555555554444"

PAYMENT: Mapping[str, str | None] = {
    "payment_id": "old-1",
    "created_at": f"{DAY} 10:11:12.123456",
    "merchant_id": "shop",
    "customer_id": "c1",
    "amount": "12.500",
    "currency": "USD",
    "card_number": VISA,
    "card_expiry": "2027-09",
    "status": "approved",
    "reasons": "",
    "merchant_reference": "order/7",
    "client_ip": "203.0.113.9",
    "country": "DE",
    "idempotency_key": "k1",
}
"""A row of the old system's payments."""


def row(line: int, op: str = "I", **changes: str | None) -> files.Row:
    return files.Row(line, op, {**PAYMENT, **changes}, Position(line, 0))


def payments(count: int, first: int = 1) -> list[files.Row]:
    """Different payments, one a line."""
    return [row(line, payment_id=f"old-{line}", amount=f"{line}.00") for line in range(first, first + count)]


class Death:
    """The process dies at the ``n``-th step: no thread of it does anything from then on."""

    def __init__(self, n: int) -> None:
        self._n = n
        self.steps: list[str] = []

    def __call__(self, step: str) -> None:
        self.steps.append(step)
        if len(self.steps) >= self._n:
            raise Killed(step)


class MemoryHistory:
    """``history.History``: conditional writes that all see at once."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.writes = 0
        self.hook = nothing
        self._lock = threading.Lock()

    def stored(self, transaction_ids: Sequence[str]) -> Mapping[str, Row]:
        return {id: Row.of(self.items[id]) for id in transaction_ids if id in self.items}

    def write(self, item: Mapping[str, Any], replaces: str | None) -> bool:
        self.hook("before write")
        id = item["transaction_id"]["S"]
        with self._lock:
            known = self.items.get(id)
            if replaces is None:
                may = known is None
            else:
                may = known is not None and known["audit_hash"]["S"] == replaces and "history" not in known
            if may:
                self.items[id] = dict(item)
                self.writes += 1
        self.hook("after write")
        return may


class Everybody:
    """``planning.Known``: every customer but ``nobody``, every merchant but ``nowhere``."""

    def customers(self, ids: Iterable[str]) -> frozenset[str]:
        return frozenset(ids) - {"nobody"}

    def merchants(self, ids: Iterable[str]) -> frozenset[str]:
        return frozenset(ids) - {"nowhere"}


class Platform:
    """Where payments are imported to."""

    def __init__(self) -> None:
        self.history = MemoryHistory()
        self.audit_log = MemoryAuditLog()
        self.secret = MemorySecret()
        self.now = NOW

    def start(self, file: str = "1", *, order: str = "") -> PaymentImport:
        """A function begins or goes on with the import of ``file``. ``order``: of a file of changes."""
        source = f"full-load/public/payments/LOAD{file:0>8}.csv"
        return self.importing(Everybody(), import_id=f"imp_{file:0>32}", source=source, order=order)

    def importing(self, known: Known, **of_file: str) -> PaymentImport:
        return PaymentImport(
            self.history, self.audit_log, known, self.secret.keys, clock=lambda: self.now, **of_file
        )  # fmt: skip

    def load(self, *rows: files.Row, file: str = "1", end: bool = True) -> Report:
        """Import a file of ``rows``."""
        report, started = Report(), self.start(file)
        started.apply(rows, report)
        if end:
            started.end(report)
        return report

    def change(self, *rows: files.Row, file: str) -> Report:
        """Apply a file of changes."""
        self.now += timedelta(seconds=1)
        report, started = Report(), self.start(file, order=file)
        started.apply(rows, report)
        started.end(report)
        return report

    def die_at(self, hook: Any) -> None:
        self.history.hook = self.audit_log.hook = hook

    def verify(self, day: str = DAY) -> Verification:
        bodies = {key: record.body for key, record in self.audit_log.records.items()}
        return verify(MemoryBooks(day, bodies, self.history.items))

    def breaks(self, day: str = DAY) -> list[str]:
        return [f"{found.key}: {found.reason}" for found in self.verify(day).breaks]
