"""Writes what was taken here as a file for the old system: the way back loses no payment.

    python -m migration export --env prod --from 2026-12-01 --to 2026-12-02 --folder way-back
    python -m migration export --env prod --from 2026-12-01 --to 2026-12-02 --folder way-back --verify

Writes ``payments.csv`` (RFC 4180, UTF-8) and ``manifest.json`` with count, sums and SHA-256, by which the old side
checks the file before it loads it. ``I`` is a payment that was taken here. ``U`` is one that the old system has
already, its own or of an earlier export, and that was decided or given back here in these days. There are no card
numbers, because this platform has none: brand and last four digits stand in their place. ``--verify`` holds the loaded
payments in the old system's database (``--source``) against the file.

First let no traffic reach the platform any more (``cutover``). The file is written until two readings give the same,
because an index of the ledger may not show yet what was written a moment ago. Exit codes: 0 written, or verified; 1 the
old system has a payment of the file otherwise, or not; 3 something is still being recorded, or payments still arrive,
so that the file is not complete; 4 could not be read.
"""

import argparse
import csv
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

from lambdas.books.agreement import Row
from lambdas.payments.money import CURRENCIES
from lambdas.payments.transactions import MIGRATION
from migration import source
from migration.arguments import add_command
from migration.ledgers import Days, books, old_system
from migration.outcome import ExitCode, Failed, Inconclusive
from pipeline.aws import PlatformOutputs, session
from pipeline.output import say

COLUMNS: Final = (
    "Op", "payment_id", "created_at", "merchant_id", "customer_id", "amount", "currency", "status", "refunded_amount",
    "card_brand", "card_last4", "reasons", "merchant_reference", "client_ip", "country",
)  # fmt: skip
FILE, MANIFEST = "payments.csv", "manifest.json"
_MOST_SHOWN: Final = 20
_BETWEEN_SECONDS: Final = 10.0
"""From a reading to the next: far longer than an index of DynamoDB is late."""
_READINGS: Final = 4


class Day(Protocol):
    """The platform's books of a day (``lambdas.books.stored.StoredBooks``)."""

    def complete(self) -> Iterable[Row]: ...
    def amended(self) -> Sequence[str]: ...
    def under_way(self) -> Sequence[str]: ...
    def rows(self, transaction_ids: Sequence[str]) -> Mapping[str, Row]: ...


def changed_on(day: Day, begin: str) -> list[Row]:
    """The payments of a day, and those from before ``begin`` that were amended on it, or are being amended."""
    changed = sorted({*day.amended(), *day.under_way()})
    earlier = [row for row in day.rows(changed).values() if row.created_at < begin]
    return [*earlier, *day.complete()]


class Exported:
    """The rows of a file as they are written: what its manifest says of them."""

    def __init__(self, begin: date) -> None:
        self._begin = begin.isoformat()
        self._earlier: set[str] = set()
        self.rows = 0
        self.sums: dict[str, dict[str, dict[str, Any]]] = {}
        self.unsettled: list[str] = []

    def lines(self, days: Iterable[Iterable[Row]]) -> Iterator[list[str]]:
        """Those of payments that the old system lacks, or has otherwise. Synthetic ones are no customer's."""
        for rows in days:
            for row in sorted(rows, key=lambda each: (each.created_at, each.transaction_id)):
                is_known = row.created_at < self._begin or row.values.get("origin") == MIGRATION
                if row.values.get("synthetic") or row.transaction_id in self._earlier:
                    continue
                if row.created_at < self._begin:  # it may have been amended on several days
                    self._earlier.add(row.transaction_id)
                if row.under_way_since:
                    self.unsettled.append(row.transaction_id)
                    continue
                if row.history or not is_known:
                    yield self._line("U" if is_known else "I", row.values, row.history)

    def _line(self, op: str, values: Mapping[str, Any], history: Iterable[Mapping[str, Any]]) -> list[str]:
        imported = values.get("origin") == MIGRATION
        given_back = int(values.get("given_back") or 0) + sum(int(each.get("minor", 0)) for each in history)
        currency, minor = str(values["currency"]), int(values["minor"])
        total = self.sums.setdefault(currency, {}).setdefault(str(values["status"]), {"payments": 0, "minor": 0})
        total["payments"] += 1
        total["minor"] += minor
        self.rows += 1
        texts = {
            **{name: values.get(name) for name in COLUMNS},
            "Op": op,
            "payment_id": values["source_id"] if imported else values["transaction_id"],
            "amount": _major(minor, currency),
            "refunded_amount": _major(given_back, currency) if given_back else None,
            "reasons": ",".join(values.get("reasons") or ()),
        }
        return ["" if texts[name] is None else str(texts[name]) for name in COLUMNS]


Written = tuple[Exported, Mapping[str, Any]]


def write(folder: Path, begin: date, end: date, days: Iterable[Iterable[Row]]) -> Written:
    """Write file and manifest into ``folder``. The manifest comes last, and each by a rename: none is half written."""
    folder.mkdir(parents=True, exist_ok=True)
    exported, temporary = Exported(begin), folder / f".{FILE}"
    with open(
        os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", newline="", encoding="utf-8"
    ) as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(exported.lines(days))
    (folder / MANIFEST).unlink(missing_ok=True)  # an older one is of another file
    temporary.replace(folder / FILE)
    manifest = {
        "from": begin.isoformat(),
        "to": end.isoformat(),
        "file": FILE,
        "sha256": sha256(folder / FILE),
        "payments": exported.rows,
        "sums": exported.sums,
        "unsettled": exported.unsettled,
    }
    written = folder / f".{MANIFEST}"
    written.write_text(json.dumps(manifest, indent=2) + "\n")
    written.replace(folder / MANIFEST)
    return exported, manifest


def until_complete(written: Callable[[], Written], sleep: Callable[[float], None] = time.sleep) -> Written:
    """Write the file until two readings give the same, and nothing is being recorded. Raises ``Inconclusive``."""
    former, last = "", written()
    for _ in range(_READINGS - 1):
        former = last[1]["sha256"]
        sleep(_BETWEEN_SECONDS)
        last = written()
        if last[1]["sha256"] == former and not last[0].unsettled:
            return last
    if left := last[0].unsettled:
        raise Inconclusive(f"{len(left)} payments are being recorded, the first {left[0]}: export again")
    raise Inconclusive("payments still arrive here, so the file is not complete: move the traffic, then export again")


def check_file(folder: Path) -> Mapping[str, Any]:
    """The manifest of a file that is whole. Raises ``Failed``. The old side does the same before it loads the file."""
    try:
        manifest: Mapping[str, Any] = json.loads((folder / MANIFEST).read_text())
        found = sha256(folder / manifest["file"])
    except (OSError, ValueError, KeyError) as error:
        raise Failed(f"{folder} has no export that can be read: {error}") from error
    if found != manifest["sha256"]:
        raise Failed(f"{folder / FILE} is not the file that its manifest describes: its SHA-256 is {found}")
    return manifest


def verify(folder: Path, there: Days) -> list[str]:
    """What the old system has otherwise than the file, or not. Raises ``Failed`` and ``Unavailable``."""
    manifest, read = check_file(folder), lru_cache(maxsize=2)(there)
    faults: list[str] = []
    with (folder / FILE).open(newline="", encoding="utf-8") as file:
        number = 0
        for number, line in enumerate(csv.DictReader(file), 1):  # noqa: B007  # it is the count
            id, day = line["payment_id"], line["created_at"][:10]
            ledger = read(date.fromisoformat(day))
            payment = ledger.copies.get(id) or ledger.own.get(id)
            if payment is None:
                faults.append(f"{id} of {day} is not in the old system")
                continue
            theirs: tuple[str, ...] = (payment.status, payment.currency, _major(payment.minor, payment.currency))
            ours: tuple[str, ...] = (line["status"], line["currency"], line["amount"])
            if payment.given_back is not None:
                theirs += ("given back", _major(payment.given_back, payment.currency))
                ours += ("given back", line["refunded_amount"])
            if theirs != ours:
                faults.append(f"{id}: {' '.join(ours)} in the file, {' '.join(theirs)} in the old system")
    if number != manifest["payments"]:
        faults.append(f"the file has {number} payments, and its manifest says {manifest['payments']}")
    return faults


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _major(minor: int, currency: str) -> str:
    return str(Decimal(minor).scaleb(-CURRENCIES[currency].decimals))


def run(options: argparse.Namespace) -> ExitCode:
    return _verify(options) if options.verify else _write(options)


def _write(options: argparse.Namespace) -> ExitCode:
    aws = session(options.env.region, options.env.name)
    outputs = PlatformOutputs.read(options.env.stack_name, aws)
    s3, dynamodb = aws.client("s3"), aws.client("dynamodb")
    days = [options.begin + timedelta(days=n) for n in range((options.end - options.begin).days + 1)]

    def written() -> Written:
        rows = (changed_on(books(s3, dynamodb, outputs, day), options.begin.isoformat()) for day in days)
        return write(options.folder, options.begin, options.end, rows)

    exported, manifest = until_complete(written)
    say(f"{options.folder / FILE}: {exported.rows} payments, SHA-256 {manifest['sha256']}")
    return ExitCode.DONE


def _verify(options: argparse.Namespace) -> ExitCode:
    connection = source.connect(options.source)
    try:
        faults = verify(options.folder, old_system(connection))
    finally:
        connection.close()
    for fault in faults[:_MOST_SHOWN]:
        say(f"DIFFERENT {fault}")
    if faults:
        raise Failed(f"{len(faults)} payments of {options.folder / FILE} are not in the old system as they are here")
    say(f"{options.folder / FILE}: the old system has each of its payments as it is here")
    return ExitCode.DONE


def register(commands: Any) -> None:
    command = add_command(commands, "export", run, help="write what was taken here as a file for the old system")
    source.add_argument(command)
    for name, what in (("--from", "the first day"), ("--to", "the last day")):
        command.add_argument(
            name, dest="begin" if name == "--from" else "end", type=date.fromisoformat, required=True,
            help=f"{what} of the payments, YYYY-MM-DD in UTC",
        )  # fmt: skip
    command.add_argument("--folder", type=Path, required=True, help="where file and manifest are")
    command.add_argument("--verify", action="store_true", help="hold the old system against the file")
