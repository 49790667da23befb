"""Stores in memory with the guarantees of the real ones: conditional, atomic writes that all readers see at once."""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from lambdas.adapters.ledger import to_item
from lambdas.books.agreement import Row
from lambdas.books.imports import FOLDER, Name, folder, order
from lambdas.payments.audit import Record, prefix
from lambdas.payments.callers import Caller
from lambdas.payments.card_keys import CardKeys
from lambdas.payments.customers import Customer
from lambdas.payments.examination import Keyring
from lambdas.payments.merchants import Merchant, Parties
from lambdas.payments.money import CURRENCIES
from lambdas.payments.transactions import PENDING, Ids, Transaction
from lambdas.payments.velocity import Addition, Contended, State, Watch

Hook = Callable[[str], None]


class Killed(BaseException):
    """The function's process ends here, as after kill -9."""


class KillAt:
    """Kills at the ``n``-th step. A step is the moment before or after a write."""

    def __init__(self, n: int) -> None:
        self._left = n
        self.steps: list[str] = []

    def __call__(self, step: str) -> None:
        self.steps.append(step)
        self._left -= 1
        if self._left == 0:
            raise Killed(step)


def nothing(step: str) -> None:
    """No hook."""


class MemoryLedger:
    """``transactions.Ledger`` and ``velocity.Velocity``: one store, because a payment is written to both at once."""

    def __init__(self) -> None:
        self.items: dict[str, Transaction] = {}
        self.audited: dict[str, tuple[str, str]] = {}
        self.settled_count = 0
        self.states: dict[str, State] = {}
        self.totals: Counter[str] = Counter()
        self.watched: defaultdict[str, set[str]] = defaultdict(set)
        self.contended = 0
        self._released: set[str] = set()
        self.hook: Hook = nothing
        self._lock = threading.Lock()

    def find(self, ids: Ids) -> Transaction | None:
        with self._lock:
            return self.items.get(ids.own) or self.items.get(ids.other)

    def open(
        self, transaction: Transaction, other_id: str, states: Sequence[State], additions: Sequence[Addition] = ()
    ) -> Transaction:
        self.hook("before open")
        with self._lock:
            stored = self.items.get(transaction.transaction_id) or self.items.get(other_id)
            if stored is None:
                self._write(states, additions)
                stored = self.items[transaction.transaction_id] = transaction
        self.hook("after open")
        return stored

    def release(self, transaction: Transaction, states: Sequence[State], additions: Sequence[Addition] = ()) -> None:
        self.hook("before release")
        with self._lock:
            if transaction.transaction_id not in self._released:
                self._write(states, additions)
                self._released.add(transaction.transaction_id)
        self.hook("after release")

    def _write(self, states: Sequence[State], additions: Sequence[Addition]) -> None:
        if any(self.states.get(state.key, State(key=state.key)).version != state.version for state in states):
            self.contended += 1
            raise Contended
        for state in states:
            # By its text, as in the real store.
            self.states[state.key] = State.of(state.key, state.version + 1, state.to_json())
        for addition in additions:
            self.totals[addition.key] += addition.minor

    def read(self, keys: Sequence[str]) -> list[State]:
        with self._lock:
            return [self.states.get(key, State(key=key)) for key in keys]

    def total(self, keys: Sequence[str]) -> int:
        with self._lock:
            return sum(self.totals[key] for key in keys)

    def watch(self, watches: Iterable[Watch]) -> frozenset[str]:
        with self._lock:
            return frozenset(watch.rule for watch in watches if self._is_full(self.watched[watch.key], watch))

    def full(self, watches: Iterable[Watch]) -> frozenset[str]:
        with self._lock:
            return frozenset(
                watch.rule
                for watch in watches
                if len(self.watched.get(watch.key, ())) >= watch.most and watch.card not in self.watched[watch.key]
            )

    @staticmethod
    def _is_full(cards: set[str], watch: Watch) -> bool:
        if len(cards) < watch.most:
            cards.add(watch.card)
        return watch.card not in cards

    def settle(self, transaction: Transaction, audit_key: str, audit_hash: str) -> None:
        self.hook("before settle")
        with self._lock:
            stored = self.items[transaction.transaction_id]
            if stored.status == PENDING:
                self.items[transaction.transaction_id] = replace(stored, status=stored.outcome)
                self.audited[transaction.transaction_id] = (audit_key, audit_hash)
                self.settled_count += 1
        self.hook("after settle")

    def rows(self) -> dict[str, dict[str, Any]]:
        """The items of the table, by id, as DynamoDB gives them."""
        rows = {id: to_item(transaction) for id, transaction in self.items.items()}
        for id, (key, hash) in self.audited.items():
            rows[id] |= {"audit_key": {"S": key}, "audit_hash": {"S": hash}}
        return rows


class MemoryAuditLog:
    """``audit.AuditLog``."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.hook: Hook = nothing
        self._lock = threading.Lock()

    def put_if_absent(self, record: Record) -> Record:
        self.hook("before audit")
        with self._lock:
            stored = self.records.setdefault(record.key, record)
        self.hook("after audit")
        return stored

    def imported(self, import_id: str) -> Iterable[bytes]:
        return [self.records[key].body for key in self.records if (name := Name.of(key)) and name.is_part_of(import_id)]


@dataclass
class MemoryBooks:
    """``verification.Books`` of a day: its records' bodies by key, its items by id."""

    day: str
    bodies: dict[str, bytes]
    items: dict[str, dict[str, Any]] = field(default_factory=dict)

    def transactions(self) -> list[Row]:
        return [Row.of(item) for item in self.items.values() if item["created_at"]["S"].startswith(self.day)]

    def records(self) -> Iterable[tuple[str, bytes]]:
        folders = (prefix(self.day), folder(self.day))
        return [(key, body) for key, body in sorted(self.bodies.items()) if key.startswith(folders)]

    def imports(self) -> Iterable[tuple[str, bytes, bool]]:
        names = {key: name for key in self.bodies if key.startswith(FOLDER) and (name := Name.of(key))}
        written = {key: number for number, key in enumerate(self.bodies)}
        ended = {name.import_id: written[key] for key, name in names.items() if name.ended}
        return [
            (key, self.bodies[key], written[key] > ended.get(names[key].import_id, -1))
            for key in sorted(names, key=order)
            if names[key].may_hold(self.day)
        ]

    def record(self, key: str) -> bytes | None:
        return self.bodies.get(key)

    def rows(self, transaction_ids: Sequence[str]) -> Mapping[str, Row]:
        return {id: Row.of(self.items[id]) for id in transaction_ids if id in self.items}


class MemorySecret:
    """The secret of the card keys, which rotates."""

    def __init__(self) -> None:
        self.keys = CardKeys.of_one(b"k" * 64)

    def rotate(self, now: datetime) -> None:
        key = f"{self.keys.newest.number + 1:064}"
        self.keys = CardKeys.parse(self.keys.rotated(key, int(now.timestamp())).to_json())

    def keyring(self) -> Keyring:
        """A function's cache, which never expires."""
        cached: list[CardKeys] = []

        def read(*, fresh: bool = False) -> CardKeys:
            if fresh or not cached:
                cached[:] = [self.keys]
            return cached[0]

        return read


def active_customer(customer_id: str) -> Customer:
    return Customer(
        customer_id=customer_id,
        status="active",
        country="US",
        allowed_currencies=frozenset(CURRENCIES),
        payment_limits={},
    )


MERCHANT = Merchant(
    merchant_id="shop", status="active", allowed_currencies=frozenset(CURRENCIES), limits={},
    required_fields=frozenset(),
)  # fmt: skip


@dataclass
class MemoryDirectory:
    """``merchants.Directory`` with an active customer for every id, and one merchant for every caller."""

    merchants: dict[str, Merchant] = field(default_factory=dict)
    """By principal. All others belong to ``MERCHANT``."""
    customers: dict[str, Customer | None] = field(default_factory=dict)

    def find(self, caller: Caller, customer_id: str) -> Parties | None:
        return Parties(
            merchant=self.merchants.get(caller.shadow_of or caller.principal, MERCHANT),
            customer=self.customers.get(customer_id, active_customer(customer_id)),
        )
