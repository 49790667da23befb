"""Decides what each row of a part of a file is to the ledger: new, changed, unchanged, or rejected with the reason."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from lambdas.adapters.ledger import to_item
from lambdas.books.agreement import Row
from lambdas.books.imports import OF_LEDGER, row_digest, totals
from lambdas.migration import files
from lambdas.migration.payments import Incoming, Rejected, read
from lambdas.migration.report import Report
from lambdas.migration.tables import Fault
from lambdas.payments.card_keys import CardKeys
from lambdas.payments.transactions import Transaction

_COLUMNS: Final = {
    "minor": "amount", "given_back": "refunded_amount", "outcome": "status", "card_fingerprint": "card_number",
    "card_brand": "card_number", "card_last4": "card_number",
}  # fmt: skip
"""The columns of attributes that have another name."""


class Known(Protocol):
    """Customers and merchants whose payments may be imported. Its methods raise ``Unavailable``."""

    def customers(self, ids: Iterable[str]) -> frozenset[str]:
        """Those that exist."""

    def merchants(self, ids: Iterable[str]) -> frozenset[str]:
        """Those that exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A payment that is written with its part."""

    line: int
    position: str
    transaction: Transaction
    row: Row
    replaces: str | None
    """The audit hash of the payment as the ledger holds it; ``None``: it is new."""


class PartOfFile:
    """The rows of a part on their way. A file of changes has an ``order``: its rows replace what is older."""

    def __init__(self, rows: Sequence[files.Row], import_id: str, order: str) -> None:
        self._rows = rows
        self._import_id = import_id
        self._order = order
        self._incoming: dict[int, tuple[files.Row, Incoming]] = {}
        self._counts: Counter[str] = Counter()
        self._faults: list[tuple[int, Fault]] = []
        self._of_earlier_attempt: list[Row] = []
        self.planned: dict[str, Planned] = {}
        """By id."""

    def read(self, keys: CardKeys, now: datetime) -> None:
        for row in self._rows:
            if row.fault:
                self._reject(row.line, "", row.fault)
                continue
            if row.op == "D":
                self._reject(row.line, "op", "a payment is never deleted: the ledger keeps it")
                continue
            try:
                incoming = read(row.values, keys=keys, import_id=self._import_id, now=now)
            except Rejected as error:
                self._reject(row.line, error.column, error.reason)
            else:
                self._incoming[row.line] = row, incoming

    def refuse_unknown(self, known: Known) -> None:
        transactions = [incoming.transaction for _, incoming in self._incoming.values()]
        customers = known.customers({each.customer_id for each in transactions})
        merchants = known.merchants({str(each.merchant_id) for each in transactions})
        for line, (_, incoming) in list(self._incoming.items()):
            if incoming.transaction.customer_id not in customers:
                self._reject(line, "customer_id", "is no customer of this platform: import the customers first")
            elif incoming.transaction.merchant_id not in merchants:
                self._reject(line, "merchant_id", "is no merchant of this platform: import the merchants first")
            else:
                continue
            del self._incoming[line]

    @property
    def ids(self) -> list[str]:
        return list({incoming.transaction.transaction_id for _, incoming in self._incoming.values()})

    def plan(self, stored: Mapping[str, Row], keys: CardKeys) -> None:
        """Decide for each row, in order, what it is: new, changed, unchanged or rejected."""
        for row, incoming in self._incoming.values():
            id = incoming.transaction.transaction_id
            if id in self.planned:
                self._plan_again(row, incoming, self.planned[id])
            elif id in stored:
                self._plan_stored(row, incoming, stored[id], keys)
            else:
                self._plan(row.line, incoming.transaction, replaces=None)
                self._counts["inserted"] += 1

    def _plan(self, line: int, transaction: Transaction, *, replaces: str | None) -> None:
        self.planned[transaction.transaction_id] = Planned(
            line=line,
            position=self._position(line),
            transaction=transaction,
            row=Row.of(to_item(transaction)),
            replaces=replaces,
        )

    def _position(self, line: int) -> str:
        """Sorts by file and line. Each change comes after the full load."""
        return f"{self._order}#{line:012}"

    def _plan_again(self, row: files.Row, incoming: Incoming, planned: Planned) -> None:
        """``row`` has a payment that an earlier row of this part has."""
        same = row_digest(Row.of(to_item(incoming.transaction))) == row_digest(planned.row)
        if self._order:
            self._plan(row.line, incoming.transaction, replaces=planned.replaces)
            self._counts["unchanged" if same else "updated"] += 1
        else:
            how = "the same payment as" if same else "contradicts"
            self._reject(row.line, "payment_id", f"{how} line {planned.line}")

    def _plan_stored(self, row: files.Row, incoming: Incoming, stored: Row, keys: CardKeys) -> None:
        values, position = stored.values, str(stored.values.get("import_position", ""))
        transaction = incoming.under(int(values.get("card_key_version", 1)), str(values.get("card_fingerprint")), keys)
        mine = Row.of(to_item(transaction))
        same = row_digest(mine) == row_digest(stored)
        line = int(position.rpartition("#")[2] or 0) if values.get("import_id") == self._import_id else 0
        if line >= row.line:  # an earlier attempt applied this row
            self._counts["inserted" if row.op == "I" else "updated"] += 1
            if line == row.line:
                self._of_earlier_attempt.append(stored)
        elif not self._order and not same and position[:1].isdigit():
            self._counts["superseded"] += 1  # by a change, which is newer than any full load
        elif not self._order:
            self._refuse_contradiction(row.line, line, None if same else _differing(mine, stored))
        elif position >= self._position(row.line):
            self._counts["superseded"] += 1
        elif stored.history or stored.amending is not None:
            self._refuse_late_change(row.line, same=same)
        else:
            # Written also when it is the same: an older change that arrives late must not replace it.
            self._plan(row.line, transaction, replaces=str(values.get("audit_hash")))
            self._counts["unchanged" if same else "updated"] += 1

    def _refuse_late_change(self, line: int, *, same: bool) -> None:
        if same:
            self._counts["unchanged"] += 1
        else:
            self._reject(line, "status", "the payment was decided or given back here: its source may not change it")

    def _refuse_contradiction(self, line: int, earlier: int, column: str | None) -> None:
        """A full load has a payment that the ledger has: from line ``earlier`` of the same file, or from before (0).
        ``column``: the first in which they differ."""
        if column is not None:
            where = f"line {earlier}" if earlier else "the ledger"
            self._reject(line, column, f"contradicts {where}, which has the payment with another value")
        elif earlier:
            self._reject(line, "payment_id", f"the same payment as line {earlier}")
        else:
            self._counts["unchanged"] += 1

    def unplan(self, planned: Planned, reason: str) -> None:
        """``planned`` could not be written."""
        self._counts["updated" if planned.replaces else "inserted"] -= 1
        del self.planned[planned.transaction.transaction_id]
        self._reject(planned.line, "payment_id", reason)

    def _reject(self, line: int, column: str, reason: str) -> None:
        self._faults.append((line, Fault(column, reason)))

    def add_to(self, report: Report) -> None:
        """Count what was done with the rows."""
        for row in self._rows:
            report.row({name: value for name, value in row.values.items() if name != "card_number"})
        report.add(self._counts)
        report.reject_all(sorted(self._faults))
        report.add_sums(totals([*(each.row for each in self.planned.values()), *self._of_earlier_attempt]))


def _differing(mine: Row, stored: Row) -> str:
    """The column of the first attribute with another value."""
    names = sorted(mine.values.keys() | stored.values.keys())
    name = next(each for each in names if mine.values.get(each) != stored.values.get(each) and each not in OF_LEDGER)
    return _COLUMNS.get(name, name)
