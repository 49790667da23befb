"""Searches for transactions: those of a customer, or of a status, in a stretch of time, page by page."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple, Protocol

from lambdas.payments.amendments import Entry

LONGEST_SPAN: Final = timedelta(days=31)
LARGEST_PAGE: Final = 100
USUAL_PAGE: Final = 25


class Position(NamedTuple):
    """A place between two transactions of a search. It stays what it is when others are added."""

    created_at: str
    transaction_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for, newest first. One of ``customer_id`` and ``status`` is given."""

    begin: str
    end: str
    """Times as transactions have them. The end itself is not part of the search."""
    limit: int
    """The most transactions of a page."""
    customer_id: str | None = None
    status: str | None = None
    merchant_id: str | None = None
    """Only those of this merchant; ``None``: of all."""
    after: Position | None = None
    """The last transaction that was seen. ``None``: from the newest on."""


class Page(NamedTuple):
    """One page of a search."""

    entries: Sequence[Entry]
    """Fewer than the limit when much of what was read is another merchant's."""
    last: Position | None
    """Where the next page begins; ``None`` when there is none."""


class SearchableEntries(Protocol):
    """The store of transactions."""

    def page(self, search: Search) -> Page:
        """A page of ``search``, as the index shows it: the newest changes may be missing. Raises ``Unavailable``."""
