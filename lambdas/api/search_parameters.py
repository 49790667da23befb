"""The query of a search, and the cursor that leads to its next page."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from lambdas.api.problems import Fault, Problem
from lambdas.payments.amendments import Status
from lambdas.payments.card_text import holds_card_number
from lambdas.payments.search import LARGEST_PAGE, LONGEST_SPAN, USUAL_PAGE, Position, Search
from lambdas.payments.transactions import ID_FORM, PENDING, timestamp

STATUSES: Final = (PENDING, *Status)
_USUAL_SPAN: Final = timedelta(days=1)
_CUSTOMER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MOMENT: Final = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z)?")
_STORED_MOMENT: Final = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_LONGEST_CURSOR: Final = 400
_NAMES: Final = ("customer_id", "status", "from", "to", "limit", "cursor")


def search_of(query: Mapping[str, Sequence[str]], principal: str, merchant_id: str | None, now: datetime) -> Search:
    """The search that ``query`` asks for. ``merchant_id``: whose transactions the caller may see; ``None``: all.

    ``from`` and ``to`` are in UTC, and ``to`` is no part of the search. Without them it is the last 24 hours. Raises
    ``Problem``.
    """
    given = {name: values[0] for name, values in query.items()}
    if not query.keys() <= set(_NAMES) or any(len(values) != 1 for values in query.values()):
        raise _malformed("", f"Send each of {', '.join(_NAMES)} once at most, and nothing else.")
    customer_id, status = given.get("customer_id"), given.get("status")
    if (customer_id is None) == (status is None):
        raise _malformed("customer_id", "Send customer_id or status, one of both.")
    if customer_id is not None and not _CUSTOMER.fullmatch(customer_id):
        raise _malformed("customer_id", "The value doesn't have the form that the contract asks for.")
    if customer_id is not None and holds_card_number(customer_id):
        raise Problem("card_number_misplaced", Fault("customer_id", "card_number_misplaced", "Send no card number."))
    if status is not None and status not in STATUSES:
        raise _malformed("status", "The contract does not list this value.")
    bound = _bound({name: given.get(name) for name in _NAMES[:4]}, principal)
    (begin, end), after = _read(given["cursor"], bound) if "cursor" in given else (_stretch(given, now), None)
    return Search(
        begin=begin, end=end, limit=_limit(given.get("limit")), customer_id=customer_id, status=status,
        merchant_id=merchant_id, after=after,
    )  # fmt: skip


def cursor(search: Search, last: Position, query: Mapping[str, Sequence[str]], principal: str) -> str:
    """The cursor of the page of ``search`` after ``last``. It is good for the same ``query`` of the same caller only.

    It is not signed: it holds no right. Whoever makes one of their own sees what they may see without it.
    """
    bound = _bound({name: query[name][0] if name in query else None for name in _NAMES[:4]}, principal)
    text = json.dumps([search.begin, search.end, *last, bound], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _read(text: str, bound: str) -> tuple[tuple[str, str], Position]:
    """Stretch of time and position of a cursor. Raises ``Problem``."""
    try:
        if len(text) > _LONGEST_CURSOR:
            raise ValueError(text)
        begin, end, created_at, transaction_id, own = json.loads(
            base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        )
        whole = all(_STORED_MOMENT.fullmatch(each) for each in (begin, end, created_at))
        if not whole or not ID_FORM.fullmatch(transaction_id) or own != bound:
            raise ValueError(text)
        if not timedelta() < _moment(end) - _moment(begin) <= LONGEST_SPAN or not begin <= created_at < end:
            raise ValueError(text)
    except (ValueError, TypeError, RecursionError):
        raise Problem(
            "cursor_malformed",
            Fault("cursor", "cursor_malformed", "Send a cursor with the query that it was given for."),
        ) from None
    return (begin, end), Position(created_at, transaction_id)


def _stretch(given: Mapping[str, str], now: datetime) -> tuple[str, str]:
    for name in ("from", "to"):
        if name in given and not _MOMENT.fullmatch(given[name]):
            raise _malformed(name, "Send a date, or a time in UTC that ends with Z.")
    try:
        end = _moment(given["to"]) if "to" in given else now
        begin = _moment(given["from"]) if "from" in given else end - _USUAL_SPAN
    except ValueError:
        raise _malformed("from", "There is no such date or time.") from None
    if not timedelta() < end - begin <= LONGEST_SPAN:
        raise _malformed("from", f"It must be before to, by {LONGEST_SPAN.days} days at most.")
    return timestamp(begin), timestamp(end)


def _moment(text: str) -> datetime:
    """A date is its first moment."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _limit(text: str | None) -> int:
    if text is None:
        return USUAL_PAGE
    if not re.fullmatch("[0-9]{1,3}", text) or not 1 <= int(text) <= LARGEST_PAGE:
        raise _malformed("limit", f"Send a whole number from 1 to {LARGEST_PAGE}.")
    return int(text)


def _bound(query: Mapping[str, Any], principal: str) -> str:
    """What a cursor is bound to, in short."""
    return hashlib.sha256(json.dumps([query, principal]).encode()).hexdigest()[:16]


def _malformed(field: str, detail: str) -> Problem:
    return Problem("query_malformed", Fault(field, "query_malformed", detail))
