"""Imports payments of another system into the ledger, so that a kill between two steps neither loses nor doubles one.

For each part of a file:

1. Rows become payments (``payments``). Card numbers go no further.
2. The ledger says which of them it has. What it has already is unchanged; what contradicts it is rejected, not written.
3. The audit record of the part names each payment that is new or changed, by its digest (``lambdas.books.imports``).
4. The payments are written, each on condition that nobody wrote it meanwhile: settled, released (limits never counted
   them), with the record's key and hash.
5. They are read back, because the file is deleted when each of its rows is in the ledger.

After the last part, ``end`` writes the record that ends the import. A killed import is run again: from any earlier row
on, as often as needed. What it wrote is recognised by the line that each payment carries. One whose file was
replaced or skipped is not run again: ``give_up`` ends it.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import islice
from typing import Any, Final, Protocol

from lambdas.adapters.ledger import to_item
from lambdas.books.agreement import Row
from lambdas.books.imports import End, GivenUp, Part, row_digest
from lambdas.migration import files
from lambdas.migration.planning import Known, PartOfFile, Planned
from lambdas.migration.report import Report
from lambdas.payments.audit import AuditLog, Chain, Record
from lambdas.payments.card_keys import CardKeys
from lambdas.payments.transactions import timestamp

PART_ROWS: Final = 2_000
"""A part's record then has about 220 KB, and its rows a few megabytes of memory."""
_WRITERS: Final = 8
_COUNTS: Final = ("read", "inserted", "updated", "unchanged", "rejected")


class History(Protocol):
    """The ledger as an import needs it. Its methods raise ``Unavailable``."""

    def stored(self, transaction_ids: Sequence[str]) -> Mapping[str, Row]:
        """Those of the payments that the ledger holds, by id, as they are now."""

    def write(self, item: Mapping[str, Any], replaces: str | None) -> bool:
        """Write a payment if it is new, or if the ledger holds it with the audit hash ``replaces`` and nobody amended
        it. Returns whether it did."""


class ImportLog(AuditLog, Protocol):
    """The audit log as an import needs it. Its methods raise ``Unavailable``."""

    def imported(self, import_id: str) -> Iterable[bytes]:
        """The records of the parts that an import has written."""


class PaymentImport:
    """The import of one file. ``import_id``: the same for each attempt at this file. ``order``: of a file of changes
    among the others; empty for a file of the full load. ``check``: raises when no payment may be imported now."""

    def __init__(
        self,
        history: History,
        audit_log: ImportLog,
        known: Known,
        keys: CardKeys,
        *,
        import_id: str,
        source: str,
        order: str = "",
        clock: Callable[[], datetime],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._history = history
        self._audit_log = audit_log
        self._known = known
        self._keys = keys
        self._import_id = import_id
        self._source = source
        self._order = order
        self._clock = clock
        self._check = check
        self._chain = Chain()

    def apply(self, rows: Iterable[files.Row], report: Report) -> None:
        """Import ``rows``, in the file's order, and count in ``report`` what was done. Raises ``Unavailable``; the same
        rows may then be applied again, with the report from before."""
        self._check()
        left = iter(rows)
        while part := list(islice(left, PART_ROWS)):
            self._apply_part(part, report)

    def end(self, report: Report) -> Record:
        """Write that the whole file was applied, as ``report`` says. May be repeated."""
        end = End(
            import_id=self._import_id,
            source=self._source,
            created_at=timestamp(self._clock()),
            counts={name: getattr(report, name) for name in _COUNTS},
            totals=report.sums,
        )
        return self._chain.add(end.record, self._audit_log)

    def give_up(self, report: Report, after_line: int) -> None:
        """End an import that nobody goes on with, and that is in the ledger up to ``after_line``. It may have died
        between the record of a part and its payments: what is not in the ledger never comes, and is named.

        Raises ``Unavailable``; may be repeated.
        """
        parts, left = 0, dict[str, dict[str, str]]()
        for body in self._audit_log.imported(self._import_id):
            part, parts = json.loads(body), parts + 1
            if part["first_line"] <= after_line:
                continue
            digests = {id: (day, named) for day, found in part["payments"].items() for id, named in found.items()}
            stored = self._history.stored(list(digests))
            for id, (day, named) in digests.items():
                if id not in stored or row_digest(stored[id]) != named:
                    left.setdefault(day, {})[id] = named
        if left:
            number = sum(map(len, left.values()))
            report.note(f"{number} payments were recorded and not written when the import was given up")
            given_up = GivenUp(
                import_id=self._import_id, source=self._source, created_at=timestamp(self._clock()), given_up=left
            )
            self._chain.add(given_up.record, self._audit_log)
        if parts:
            self.end(report)

    def _apply_part(self, rows: Sequence[files.Row], report: Report) -> None:
        part = PartOfFile(rows, self._import_id, self._order)
        part.read(self._keys, self._clock())
        part.refuse_unknown(self._known)
        part.plan(self._history.stored(part.ids), self._keys)
        if part.planned:
            self._write(part)
        part.add_to(report)

    def _write(self, part: PartOfFile) -> None:
        planned = list(part.planned.values())
        created_at = timestamp(self._clock())
        drafted = Part(
            import_id=self._import_id,
            source=self._source,
            created_at=created_at,
            first_line=min(each.line for each in planned),
            rows=[each.row for each in planned],
        )
        record = self._chain.add(drafted.record, self._audit_log)

        def write(each: Planned) -> bool:
            return self._history.write(_item(each, record), each.replaces)

        with ThreadPoolExecutor(_WRITERS) as writers:
            for _ in writers.map(write, planned):
                pass  # a payment may be there from another attempt: what counts is what the ledger holds now
        stored = self._history.stored([each.transaction.transaction_id for each in planned])
        for each in planned:
            found = stored.get(each.transaction.transaction_id)
            if found is None or row_digest(found) != row_digest(each.row):
                part.unplan(each, "the ledger was changed meanwhile: verify its day")


def _item(planned: Planned, record: Record) -> dict[str, Any]:
    return to_item(planned.transaction) | {
        "audit_key": {"S": record.key},
        "audit_hash": {"S": record.hash},
        "released": {"BOOL": True},
        "import_position": {"S": planned.position},
    }
