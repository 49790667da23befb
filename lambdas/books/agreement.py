"""One transaction in the ledger against its audit records, its own and its amendments', field by field."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final

from lambdas.payments import transactions
from lambdas.payments.amendments import OF_TRANSACTION, Status
from lambdas.payments.audit import NOT_RECORDED
from lambdas.payments.card_text import masked
from lambdas.payments.cards import Card
from lambdas.payments.transactions import AMENDING, OUTCOMES, PENDING, Transaction

LEDGER_ONLY: Final = NOT_RECORDED | {
    "audit_key": "names the record; verification looks there",
    "audit_hash": "names the record; verification compares the hash",
    "day_shard": "follows from id and time; verification computes it",
    "released": "marks that limits count the payment no more",
    "history": "is compared with the amendments' own records",
    "amending": "becomes part of the history when its record is written",
}
"""What only the ledger holds of a transaction, and why. Every other field is in the record too, with the same value."""
RECORD_ONLY: Final = {"chain": "the record's place among the others; verification follows it"}

_NAMES: Final = {each.name: each for each in fields(Transaction)} | {f"card_{each.name}": each for each in fields(Card)}
_DEFAULTS: Final = {name: each.default for name, each in _NAMES.items() if each.default is not MISSING}
_OF_IMPORTS: Final = ("origin", "source_id", "import_id", "given_back")
"""No payment that was taken here ever had them, not even one whose record is older than these fields."""
_KNOWN: Final = {*_NAMES, "card_bin"} - {*_OF_IMPORTS}
"""Also a former field. An older version may have left a payment pending with it, whose record then lacks it."""
_LONGEST_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class Row:
    """A transaction as it stands in the ledger's table. Anybody may have written it, so any field may be anything."""

    values: Mapping[str, Any]

    @classmethod
    def of(cls, item: Mapping[str, Mapping[str, Any]]) -> "Row":
        """``item``: as DynamoDB gives it."""
        return cls({name: _plain(attribute) for name, attribute in item.items()})

    @property
    def transaction_id(self) -> str:
        return str(self.values.get("transaction_id"))

    @property
    def created_at(self) -> str:
        return str(self.values.get("created_at"))

    @property
    def settled(self) -> bool:
        return self.values.get("status") != PENDING

    @property
    def history(self) -> Sequence[Mapping[str, Any]]:
        """The amendments that are done, in order."""
        found = self.values.get("history")
        return [_amendment(each) for each in found] if isinstance(found, list) else []

    @property
    def amending(self) -> Mapping[str, Any] | None:
        """The amendment that is being recorded."""
        return _amendment(self.values["amending"]) if "amending" in self.values else None

    @property
    def under_way_since(self) -> str | None:
        """The time since when a payment or an amendment is being recorded; ``None``: nothing is."""
        if not self.settled:
            return self.created_at
        return str(self.amending.get("created_at")) if self.amending is not None else None


@dataclass(frozen=True, slots=True)
class Difference:
    """A field with another value than the record's, or than it can have. Values are shown without card data."""

    field: str
    ledger: str
    record: str

    def __str__(self) -> str:
        if self.field.startswith("card_"):
            return f"{self.field} is another one in the ledger than in the record"
        return f"{self.field} is {self.ledger} in the ledger, and {self.record} in the record"


def differences(row: Row, record: Mapping[str, Any]) -> Iterator[Difference]:
    """What ``row`` and ``record`` do not agree on. A pending transaction has the record's outcome only later. After
    amendments it has the status of the last one, and ``amending`` while one is being recorded."""
    values = row.values
    status, outcome = values.get("status"), record.get("outcome")
    if status == AMENDING and row.amending:
        pass
    elif row.history:
        if status != row.history[-1].get("status") or status not in tuple(Status):
            yield _difference("status", status, row.history[-1].get("status"))
    elif status not in (PENDING, outcome) or status not in (PENDING, *OUTCOMES):
        yield _difference("status", status, outcome)
    for name in sorted((values.keys() | record.keys()) - LEDGER_ONLY.keys() - RECORD_ONLY.keys()):
        if name not in record and name in _KNOWN:
            continue  # an older version wrote the record, which did not have this field yet
        value = values.get(name, _DEFAULTS.get(name))
        if value != record.get(name) or type(value) is not type(record.get(name)):
            yield _difference(name, value, record.get(name))
    shard = transactions.day_shard(row.transaction_id, row.created_at)
    if values.get("day_shard", shard) != shard:
        yield _difference("day_shard", values["day_shard"], shard)


def amendment_differences(row: Row, record: Mapping[str, Any]) -> Iterator[Difference]:
    """What ``row`` and the ``record`` of one of its amendments do not agree on."""
    known = [*row.history, *([row.amending] if row.amending is not None else [])]
    number = record.get("amendment")
    if not isinstance(number, int) or not 1 <= number <= len(known):
        yield _difference("history", None, number)
        return
    amended = known[number - 1]
    expected = {
        **{name: value for name, value in amended.items() if name not in ("number", "audit_hash")},
        "amendment": amended.get("number"),
        **{name: row.values.get(name) for name in OF_TRANSACTION},
    }
    for name in sorted((expected.keys() | record.keys()) - RECORD_ONLY.keys()):
        value = expected.get(name)
        if value != record.get(name) or type(value) is not type(record.get(name)):
            yield _difference(name, value, record.get(name))


def _difference(field: str, ledger: Any, record: Any) -> Difference:
    if field.startswith("card_"):
        return Difference(field, "not shown", "not shown")
    return Difference(field, shown(ledger), shown(record))


def shown(value: Any) -> str:
    """``value`` as one short line of ASCII, with possible card numbers masked."""
    text = json.dumps(masked(value), default=str)
    return "missing" if value is None else text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _amendment(text: Any) -> Mapping[str, Any]:
    """The amendment in a field of the ledger; empty when there is none in it."""
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _plain(attribute: Mapping[str, Any]) -> Any:
    [(kind, value)] = attribute.items()
    if kind == "N":
        return int(value) if value.lstrip("-").isdigit() else float(value)
    return [_plain(each) for each in value] if kind == "L" else value
