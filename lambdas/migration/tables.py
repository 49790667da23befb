"""The tables that a move fills: their columns, and what makes a row of the old system one of this platform's.

A row is checked alone here; what it needs of other rows is checked by the database when rows are merged
(``merging.py``). A fault names the column and the rule, and never shows the value, which may be a card number.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from lambdas.payments.card_text import holds_card_number
from lambdas.payments.money import CURRENCIES

_MOST_MINOR: Final = 10**15
"""Limits are under this, so that sums of them fit a bigint."""
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_PRINCIPAL: Final = re.compile(r"[0-9]{12}|arn:[a-z-]+:iam::[0-9]{12}:(?:root|(?:user|role)/[\w+=,.@-]{1,64})")
_TRUE, _FALSE = frozenset({"true", "t", "1", "y", "yes"}), frozenset({"false", "f", "0", "n", "no"})
_REQUIRABLE: Final = frozenset({"card_expiry", "client_ip", "country", "merchant_reference"})


class Fault(NamedTuple):
    """Why a row is refused."""

    column: str
    reason: str


class _Refused(Exception):
    """The value of a column breaks the column's rule, which is the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """``read``: gives the text that PostgreSQL takes for the column. ``default``: the same for a row without a value;
    ``None``: there must be one. A file may lack the whole column if it is ``optional``: then rows keep theirs."""

    name: str
    type: str
    read: Callable[[str], str]
    default: str | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of the platform."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    parents: Mapping[str, str]
    """Columns that must name a row of another table, which has the column as its key."""
    own: str
    """Which rows are the platform's own, as a condition on ``target``: no file may change them."""
    fixed: bool = False
    """Whether a row that is here, or that a change deleted, takes other values only if a person names it."""

    def missing(self, names: Collection[str]) -> list[str]:
        """The columns that a file with the columns ``names`` lacks."""
        return [each.name for each in self.columns if not each.optional and each.name not in names]

    def present(self, names: Collection[str]) -> list[Column]:
        """The columns that a file with the columns ``names`` has."""
        return [each for each in self.columns if each.name in names]

    def key_columns(self) -> list[Column]:
        return [each for name in self.key for each in self.columns if each.name == name]

    def ignored(self, names: Sequence[str]) -> list[str]:
        """The columns of a file that this platform has no place for."""
        known = {"op", *(each.name for each in self.columns)}
        return [name for name in names if name not in known]

    def read(self, values: Mapping[str, str | None]) -> tuple[str, ...] | Fault:
        """The row as texts that PostgreSQL takes, in the order of ``present(values)``."""
        texts = []
        for column in self.present(values):
            value = values[column.name]
            if value is None:
                if column.default is None:
                    return Fault(column.name, "is missing")
                texts.append(column.default)
                continue
            try:
                texts.append(column.read(value))
            except _Refused as refused:
                return Fault(column.name, str(refused))
        return tuple(texts)

    def key_of(self, values: Mapping[str, str | None]) -> tuple[str, ...] | Fault:
        """The values of the key, of a row that may lack all others. They are stored, so their rules hold for deletions
        too."""
        key = []
        for column in self.key_columns():
            value = values.get(column.name)
            if not value:
                return Fault(column.name, "is missing")
            try:
                key.append(column.read(value))
            except _Refused as refused:
                return Fault(column.name, str(refused))
        return tuple(key)


def _id(value: str) -> str:
    if not _ID.fullmatch(value):
        raise _Refused("is no id: 1 to 64 letters, digits, '-' and '_', a letter or digit first")
    if holds_card_number(value):
        raise _Refused("may be a card number")
    return value


def _one_of(*allowed: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value.lower() not in allowed:
            raise _Refused(f"is none of {', '.join(allowed)}")
        return value.lower()

    return read


def _country(value: str) -> str:
    if not _COUNTRY.fullmatch(value):
        raise _Refused("is no ISO 3166-1 alpha-2 code: two capital letters")
    return value


def _list_of(allowed: frozenset[str], what: str, *, empty: bool) -> Callable[[str], str]:
    """Reads ``EUR,USD``, ``{EUR,USD}`` and ``["EUR", "USD"]``. Gives an array literal in alphabetical order."""

    def read(value: str) -> str:
        if value.startswith("["):
            found = _json(value)
            if not all(isinstance(each, str) for each in found):
                raise _Refused("is no list of texts")
        else:
            found = [each.strip().strip('"') for each in value.strip().removeprefix("{").removesuffix("}").split(",")]
        names = {each for each in found if each}
        if not names and not empty:
            raise _Refused("is empty")
        if not names <= allowed:
            raise _Refused(what)
        return "{" + ",".join(sorted(names)) + "}"

    return read


def _limits(allowed: Sequence[str], what: str) -> Callable[[str], str]:
    """Reads ``{"EUR": 250000}``: limits in minor units."""

    def read(value: str) -> str:
        found = _json(value or "{}")
        if not isinstance(found, dict):
            raise _Refused("is no JSON object")
        if not set(found) <= set(allowed):
            raise _Refused(what)
        if not all(type(each) is int and 0 <= each < _MOST_MINOR for each in found.values()):
            raise _Refused("has a limit that is no whole number of minor units")
        return json.dumps(found, sort_keys=True)

    return read


def _json(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise _Refused("is no JSON") from None


def _boolean(value: str) -> str:
    if value.lower() in _TRUE | _FALSE:
        return "true" if value.lower() in _TRUE else "false"
    raise _Refused("is neither true nor false")


def _time(value: str) -> str:
    """A time without a zone is taken as UTC, as DMS writes it."""
    try:
        found = datetime.fromisoformat(value.strip())
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):  # year 1 in a zone east of UTC has none in UTC
        raise _Refused("is no time: YYYY-MM-DD hh:mm:ss") from None


def _principal(value: str) -> str:
    if not _PRINCIPAL.fullmatch(value):
        raise _Refused("is no account number, and no ARN of an IAM user or role without its path")
    return value


def _key_column(name: str) -> Column:
    return Column(name=name, type="text", read=_id)


_CODES: Final = frozenset(CURRENCIES)
_CURRENCIES: Final = Column(
    name="allowed_currencies", type="text[]", read=_list_of(_CODES, "has a currency that is not accepted", empty=False)
)
_CREATED: Final = Column(name="created_at", type="timestamptz", read=_time, optional=True)
_LIMIT_NAMES: Final = "has a limit that this platform does not know"

TABLES: Final = {
    table.name: table
    for table in (
        Table(
            name="customers",
            key=("customer_id",),
            columns=(
                _key_column("customer_id"),
                Column(name="status", type="text", read=_one_of("active", "blocked", "closed")),
                Column(name="country", type="char(2)", read=_country),
                _CURRENCIES,
                Column(
                    name="payment_limits", type="jsonb", default="{}", optional=True,
                    read=_limits(sorted(_CODES), "has a currency that is not accepted"),
                ),
                Column(
                    name="spending_limits", type="jsonb", default="{}", optional=True,
                    read=_limits(("day", "month"), _LIMIT_NAMES),
                ),
                _CREATED,
            ),
            parents={},
            own="target.synthetic",
        ),
        Table(
            name="merchants",
            key=("merchant_id",),
            columns=(
                _key_column("merchant_id"),
                Column(name="status", type="text", read=_one_of("active", "suspended", "closed")),
                _CURRENCIES,
                Column(
                    name="limits", type="jsonb", default="{}", optional=True,
                    read=_limits(("payment", "day"), _LIMIT_NAMES),
                ),
                Column(
                    name="required_fields", type="text[]", optional=True, default="{card_expiry,client_ip,country}",
                    read=_list_of(_REQUIRABLE, "has a field that no merchant can require", empty=True),
                ),
                Column(name="platform_wide", type="boolean", read=_boolean, default="false", optional=True),
                _CREATED,
            ),
            parents={},
            own="target.takes <> 'real'",
        ),
        Table(
            name="merchant_principals",
            key=("principal",),
            columns=(Column(name="principal", type="text", read=_principal), _key_column("merchant_id")),
            parents={"merchant_id": "merchants"},
            # Who could move a principal could pay and look up in another merchant's name.
            fixed=True,
            own="EXISTS (SELECT FROM merchants m WHERE m.merchant_id = target.merchant_id AND m.takes <> 'real')",
        ),
        Table(
            name="merchant_customers",
            key=("merchant_id", "customer_id"),
            columns=(_key_column("merchant_id"), _key_column("customer_id")),
            parents={"merchant_id": "merchants", "customer_id": "customers"},
            own="EXISTS (SELECT FROM merchants m WHERE m.merchant_id = target.merchant_id AND m.takes <> 'real')",
        ),
    )
}  # fmt: skip
"""By name, each after those that it refers to."""
