"""A day's payments in the two ledgers: those that a system took itself, and its copies of what the other one took."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final, NamedTuple, Protocol

from lambdas.books.agreement import Row
from lambdas.books.stored import StoredBooks
from lambdas.payments.amendments import Status
from lambdas.payments.card_text import mask_card_numbers
from lambdas.payments.money import CURRENCIES, Money
from lambdas.payments.transactions import ID_FORM, MIGRATION, PENDING
from migration.outcome import Unavailable
from pipeline.aws import PlatformOutputs

_AT_ONCE: Final = 10_000
_DAY: Final = """
SELECT payment_id, merchant_id, customer_id, merchant_reference, currency, CAST(amount AS text), status,
  to_jsonb(payments) ->> 'refunded_amount'
FROM payments WHERE created_at >= CAST(:begin AS timestamptz) AND created_at < CAST(:end AS timestamptz)
"""
"""What the old system must answer: a table or a view ``payments``. The column ``refunded_amount`` may be left out."""


class Payment(NamedTuple):
    """A payment as a ledger has it."""

    merchant_id: str
    customer_id: str
    reference: str
    """The merchant's own number; empty if there is none."""
    currency: str
    minor: int
    status: str
    given_back: int | None = None
    """Of a payment that is partly refunded, in minor units; ``None`` of all others, and where a ledger does not say."""


@dataclass(slots=True, kw_only=True)
class Ledger:
    """A day's payments of one system, by their id in the system that took them."""

    own: dict[str, Payment] = field(default_factory=dict)
    """Those that it took."""
    copies: dict[str, Payment] = field(default_factory=dict)
    """Those that the other one took."""
    unsettled: list[str] = field(default_factory=list)
    """Those of which something is being recorded."""


class Days(Protocol):
    """A system whose ledger can be read by day (UTC). Raises ``Unavailable``."""

    def __call__(self, day: date) -> Ledger: ...


def old_system(connection: Any) -> Days:
    """The ledger of the old system. A payment with an id of this platform is one that it got from here.

    ``connection``: of ``migration.source.connect``.
    """

    def read(day: date) -> Ledger:
        ledger = Ledger()
        for row in _rows(connection, day):
            payment_id, merchant_id, customer_id, reference, currency, amount, status, refunded = row
            minor = _minor(str(payment_id), str(amount), str(currency))
            partly = status == Status.PARTLY_REFUNDED and refunded
            given_back = _minor(str(payment_id), str(refunded), str(currency)) if partly else None
            payment = Payment(merchant_id, customer_id, reference or "", currency, minor, status, given_back)
            (ledger.copies if ID_FORM.fullmatch(payment_id) else ledger.own)[payment_id] = payment
        return ledger

    return read


def _rows(connection: Any, day: date) -> Iterator[Any]:
    """Some at a time, so that a busy day is in memory once, and not as the driver's rows too."""
    from pg8000.exceptions import DatabaseError, InterfaceError

    begin, end = (f"{each.isoformat()}T00:00:00+00:00" for each in (day, day + timedelta(days=1)))
    try:
        connection.run("START TRANSACTION READ ONLY")
        connection.run(f"DECLARE day NO SCROLL CURSOR FOR {_DAY}", begin=begin, end=end)
        while rows := connection.run(f"FETCH {_AT_ONCE} FROM day"):
            yield from rows
        connection.run("COMMIT")
    except (DatabaseError, InterfaceError, OSError) as error:
        raise Unavailable(f"the old system's payments can't be read: {error}") from error


def _minor(payment_id: str, amount: str, currency: str) -> int:
    try:
        return Money.parse(amount.rstrip("0").rstrip(".") if "." in amount else amount, CURRENCIES[currency]).minor
    except (KeyError, ValueError) as error:
        own = mask_card_numbers(payment_id)
        raise Unavailable(f"the old system's payment {own} has an impossible amount or currency") from error


def platform(s3: Any, dynamodb: Any, outputs: PlatformOutputs) -> Days:
    """The ledger of this platform. ``outputs``: of the environment's stack."""

    def read(day: date) -> Ledger:
        return of_rows(books(s3, dynamodb, outputs, day).complete())

    return read


def books(s3: Any, dynamodb: Any, outputs: PlatformOutputs, day: date) -> StoredBooks:
    bucket, table = outputs["AuditLogBucket"], outputs["TransactionTableName"]
    return StoredBooks(s3=s3, dynamodb=dynamodb, bucket=bucket, table=table, day=day.isoformat())


def of_rows(rows: list[Row]) -> Ledger:
    """Synthetic payments are left out: they are no customer's."""
    ledger = Ledger()
    for row in rows:
        values = row.values
        if values.get("synthetic"):
            continue
        if row.under_way_since:
            ledger.unsettled.append(row.transaction_id)
        status = str(values.get("outcome") if values.get("status") == PENDING else values.get("status"))
        given_back = int(values.get("given_back") or 0) + sum(int(each.get("minor", 0)) for each in row.history)
        payment = Payment(
            merchant_id=str(values.get("merchant_id")),
            customer_id=str(values.get("customer_id")),
            reference=str(values.get("merchant_reference") or ""),
            currency=str(values.get("currency")),
            minor=int(values.get("minor", 0)),
            status=status,
            given_back=given_back if status == Status.PARTLY_REFUNDED else None,
        )
        imported = values.get("origin") == MIGRATION
        (ledger.copies if imported else ledger.own)[
            str(values.get("source_id")) if imported else row.transaction_id
        ] = payment
    return ledger
