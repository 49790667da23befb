"""A payment in a file of another system's history, read into a transaction of the ledger.

The card number lives in ``Incoming`` while its part of the file is imported, and nowhere else: the transaction has
fingerprint, brand and last four digits. No message here quotes a value.
"""

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, Final

import fastjsonschema

from lambdas.api import contract
from lambdas.payments.amendments import Status
from lambdas.payments.card_keys import CardKeys
from lambdas.payments.card_text import holds_card_number, without_identifiers
from lambdas.payments.cards import Card, CardNumber
from lambdas.payments.errors import InvalidField
from lambdas.payments.money import Currency, Money
from lambdas.payments.transactions import MIGRATION, Transaction, timestamp

REQUIRED: Final = (
    "payment_id", "created_at", "merchant_id", "customer_id", "amount", "currency", "card_number", "status",
)  # fmt: skip
OPTIONAL: Final = ("reasons", "merchant_reference", "client_ip", "country", "refunded_amount")
"""The columns of a payment. Others, such as an expiry date or an idempotency key, are not stored."""

SKEW: Final = timedelta(minutes=5)
"""How far the clock of the other system may be ahead."""
_OLDEST: Final = datetime(1990, 1, 1, tzinfo=UTC)
_STATUSES: Final = frozenset(Status)
_GIVEN_BACK: Final = (Status.VOIDED, Status.REFUNDED)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SOURCE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/#-]{0,63}")
_REASON: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MOST_REASONS: Final = 20
_DIGITS: Final = re.compile(r"[0-9]{12,19}")
_CARD_FAULTS: Final = frozenset({"card_length_wrong", "card_check_digit_wrong"})
"""Brands that are unknown or not accepted here may have been good there."""


class Rejected(Exception):
    """A row can't be imported: ``column``, and ``reason`` for people."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(f"{column}: {reason}")
        self.column = column
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A payment of the file, with its card number, whose every text form is masked."""

    transaction: Transaction
    number: CardNumber

    def under(self, version: int, fingerprint: str, keys: CardKeys) -> Transaction:
        """The transaction with the card's fingerprint under an earlier ``version`` of the keys. When that version was
        dropped, what is stored of the card (``fingerprint``) is taken as it is: brand and last four digits decide."""
        card = self.transaction.card
        if version == card.key_version:
            return self.transaction
        key = keys.version(version)
        earlier = fingerprint if key is None else self.number.fingerprint(key.key)
        return replace(self.transaction, card=replace(card, fingerprint=earlier, key_version=version))


def read(values: Mapping[str, str | None], *, keys: CardKeys, import_id: str, now: datetime) -> Incoming:
    """The payment in ``values``, by column. Raises ``Rejected``. ``now``: UTC.

    A time without a zone is in UTC, as AWS DMS writes it. An amount is in major units.
    """
    source_id = _text(values, "payment_id", _SOURCE_ID)
    number = _card_number(values)
    if number.appears_in(source_id) or any(map(_is_card_number, _DIGITS.findall(without_identifiers(source_id)))):
        raise Rejected("payment_id", "holds what is a card number")
    currency = _currency(values)
    minor = _minor(values, "amount", currency)
    status = str(values.get("status") or "")
    if status not in _STATUSES:
        raise Rejected("status", f"is none of {', '.join(sorted(_STATUSES))}")
    transaction = Transaction(
        transaction_id=transaction_id(source_id, keys),
        status=status,
        outcome=status,
        created_at=timestamp(_moment(values, now)),
        customer_id=_clear(values, "customer_id", _NAME, number),
        caller=MIGRATION,
        minor=minor,
        currency=currency.code,
        card=Card.of(number, keys.newest),
        reasons=_reasons(values),
        score=0,
        request_id=MIGRATION,
        payment_fingerprint="",  # the old system keeps its idempotency keys: no request here repeats one of its own
        merchant_reference=_contractual(values, "merchant_reference", number),
        client_ip=_contractual(values, "client_ip", number),
        country=_contractual(values, "country", number),
        merchant_id=_clear(values, "merchant_id", _NAME, number),
        synthetic=False,
        origin=MIGRATION,
        source_id=source_id,
        import_id=import_id,
        given_back=_given_back(values, currency, status, minor),
    )
    return Incoming(transaction=transaction, number=number)


def transaction_id(source_id: str, keys: CardKeys) -> str:
    """The id of the payment ``source_id`` in the ledger: always the same, and nobody can guess it."""
    return f"txn_{hmac.digest(keys.ids_key, f'{MIGRATION} {source_id}'.encode(), 'sha256').hex()[:32]}"


def _text(values: Mapping[str, str | None], column: str, form: re.Pattern[str]) -> str:
    text = values.get(column)
    if not text:
        raise Rejected(column, "is empty")
    if not form.fullmatch(text):
        raise Rejected(column, "has characters that an id has not, or over 64")
    return text


def _clear(values: Mapping[str, str | None], column: str, form: re.Pattern[str], number: CardNumber) -> str:
    text = _text(values, column, form)
    _refuse_card_number(column, text, number)
    return text


def _refuse_card_number(column: str, text: str, number: CardNumber) -> None:
    if number.appears_in(text) or (column != "client_ip" and holds_card_number(text)):
        raise Rejected(column, "holds what may be a card number")


def _is_card_number(digits: str) -> bool:
    """Of a known brand: ids of other systems are long numbers, too, and one in ten passes Luhn's test."""
    return not CardNumber(digits).faults()


def _card_number(values: Mapping[str, str | None]) -> CardNumber:
    try:
        number = CardNumber(values.get("card_number") or "")
    except ValueError:
        raise Rejected("card_number", "is not 12 to 19 digits") from None
    if faults := _CARD_FAULTS.intersection(number.faults()):
        raise Rejected("card_number", "has a wrong " + ("length" if "card_length_wrong" in faults else "check digit"))
    return number


def _currency(values: Mapping[str, str | None]) -> Currency:
    try:
        return Currency.of(values.get("currency") or "")
    except InvalidField as error:
        raise Rejected("currency", error.detail) from None


def _minor(values: Mapping[str, str | None], column: str, currency: Currency) -> int:
    try:
        return Money.parse(_shortened(values.get(column) or ""), currency).minor
    except InvalidField as error:
        raise Rejected(column, error.detail) from None


def _shortened(amount: str) -> str:
    """Without zeros at the end: a column of three decimals writes 12.50 as 12.500."""
    return amount.rstrip("0").rstrip(".") if "." in amount else amount


def _moment(values: Mapping[str, str | None], now: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(values.get("created_at") or "")
        moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):  # year 1 in a zone east of UTC has none in UTC
        raise Rejected("created_at", "is no time as ISO 8601 writes it") from None
    if len(values["created_at"] or "") < len("2026-01-01T00:00"):
        raise Rejected("created_at", "has no time of the day")
    if moment > now + SKEW:
        raise Rejected("created_at", f"is over {SKEW.seconds // 60} minutes in the future: a wrong clock, or zone")
    if moment < _OLDEST:
        raise Rejected("created_at", f"is before {_OLDEST:%Y}")
    return moment


def _reasons(values: Mapping[str, str | None]) -> tuple[str, ...]:
    codes = tuple(code.strip() for code in (values.get("reasons") or "").split(",") if code.strip())
    if len(codes) > _MOST_REASONS or not all(map(_REASON.fullmatch, codes)):
        raise Rejected("reasons", "is no list of codes such as country_mismatch,amount_over_limit")
    return codes


def _contractual(values: Mapping[str, str | None], column: str, number: CardNumber) -> str | None:
    """A field that a request may have, too, in the form that the contract asks for."""
    text = values.get(column)
    if not text:
        return None
    try:
        _field(column)(text)
    except fastjsonschema.JsonSchemaValueException:
        raise Rejected(column, "is not what a request may have there") from None
    _refuse_card_number(column, text, number)
    return text


@cache
def _field(column: str) -> Callable[[str], Any]:
    compiled: Callable[[str], Any] = fastjsonschema.compile(contract.schema(contract.PAYMENT)["properties"][column])
    return compiled


def _given_back(values: Mapping[str, str | None], currency: Currency, status: str, minor: int) -> int | None:
    """What was given back. Raises ``Rejected`` when amount and status contradict each other."""
    text = values.get("refunded_amount")
    given = 0 if not text or Decimal(0) == _decimal(text) else _minor(values, "refunded_amount", currency)
    if status in _GIVEN_BACK:
        if given not in (0, minor):
            raise Rejected("refunded_amount", f"is not the amount, although the payment is {status}")
        return minor
    if (status == Status.PARTLY_REFUNDED) != (0 < given < minor):
        raise Rejected("refunded_amount", f"is none that a payment has which is {status}")
    return given or None


def _decimal(text: str) -> Decimal | None:
    return Decimal(text) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", text) else None
