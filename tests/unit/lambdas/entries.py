"""The ledger in memory with what is done to its transactions: ``amending.Entries`` and ``search.SearchableEntries``."""

from typing import Any

from lambdas.payments.amendments import Amendment, Entry
from lambdas.payments.search import Page, Position, Search
from lambdas.payments.transactions import AMENDING
from lambdas.payments.velocity import Contended
from tests.unit.lambdas.stores import MemoryLedger


class MemoryEntries(MemoryLedger):
    """All readers see each write at once."""

    def __init__(self) -> None:
        super().__init__()
        self._histories: dict[str, tuple[Amendment, ...]] = {}
        self._amending: dict[str, Amendment] = {}

    @classmethod
    def of(cls, ledger: MemoryLedger) -> "MemoryEntries":
        """With all that ``ledger`` holds."""
        entries = cls()
        entries.__dict__ |= ledger.__dict__
        return entries

    @property
    def released(self) -> set[str]:
        return self._released

    def entry(self, transaction_id: str) -> Entry:
        return Entry(
            transaction=self.items[transaction_id],
            history=self._histories.get(transaction_id, ()),
            amending=self._amending.get(transaction_id),
        )

    def get(self, transaction_id: str) -> Entry | None:
        with self._lock:
            return self.entry(transaction_id) if transaction_id in self.items else None

    def begin(self, entry: Entry, amendment: Amendment) -> None:
        self.hook("before begin")
        id = entry.transaction.transaction_id
        with self._lock:
            if self.entry(id) != entry:
                self.contended += 1
                raise Contended
            self._amending[id] = Amendment.of(amendment.to_json())
        self.hook("after begin")

    def complete(self, before: Entry, after: Entry) -> None:
        self.hook("before complete")
        id = before.transaction.transaction_id
        with self._lock:
            if self._amending.get(id) == before.amending:
                self.items[id], self._histories[id] = after.transaction, after.history
                del self._amending[id]
        self.hook("after complete")

    def rows(self) -> dict[str, dict[str, Any]]:
        rows = super().rows()
        for id, history in self._histories.items():
            rows[id]["history"] = {"L": [{"S": each.to_json()} for each in history]}
        for id, amending in self._amending.items():
            rows[id] |= {"status": {"S": AMENDING}, "amending": {"S": amending.to_json()}}
        return rows

    def page(self, search: Search) -> Page:
        found = sorted(
            (each for each in map(self.entry, self.items) if _matches(search, each)), key=_position, reverse=True
        )
        page = found[: search.limit]
        return Page(page, _position(page[-1]) if len(found) > search.limit else None)


def _matches(search: Search, entry: Entry) -> bool:
    transaction = entry.transaction
    return (
        search.customer_id in (None, transaction.customer_id)
        and (search.status is None or (search.status == transaction.status and entry.amending is None))
        and search.merchant_id in (None, transaction.merchant_id)
        and search.begin <= transaction.created_at < search.end
        and (search.after is None or _position(entry) < search.after)
    )


def _position(entry: Entry) -> Position:
    return Position(entry.transaction.created_at, entry.transaction.transaction_id)
