"""Requests of the old system with its answers, as ``python -m migration shadow`` reads them: one JSON object a line.

    {"merchant_id": "m-001", "request": {"customer_id": "c-7", "amount": "12.50", "currency": "EUR",
     "card_number": "…"}, "decision": "approved", "reasons": [], "latency_ms": 41.7}

``request`` is what ``POST /process`` takes (docs/payments.md), ``decision`` is ``approved``, ``review`` or
``declined``, and ``reasons`` are the codes of this platform. Other fields are ignored; ``latency_ms`` may be missing.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lambdas.payments.card_text import masked

_SHOWN = ("customer_id", "amount", "currency", "country", "merchant_reference")
LONGEST_LINE = 16 * 1024
"""Characters. The largest request that the platform reads has 8 KB."""


class Decision(NamedTuple):
    """What a system made of a payment."""

    outcome: str
    """``approved``, ``review``, ``declined``; ``refused`` when the platform takes no such request."""
    reasons: frozenset[str]

    def __str__(self) -> str:
        return f"{self.outcome} ({', '.join(sorted(self.reasons))})" if self.reasons else self.outcome


OUTCOMES = ("approved", "review", "declined")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A request that the old system has answered. No text form shows its card number."""

    line: int
    merchant_id: str
    request: Mapping[str, Any] = field(repr=False)
    decision: Decision
    latency_ms: float | None

    def shown(self) -> dict[str, Any]:
        """What a report may show of the request: no field that it does not know, because that may be a security code,
        and the card's last four digits alone."""
        known = {name: masked(self.request[name]) for name in _SHOWN if name in self.request}
        card = str(self.request.get("card_number", ""))[-4:]
        return {"line": self.line, "merchant_id": masked(self.merchant_id), **known, "card": f"****{card}"}


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that is no recorded request, and why. The reason quotes nothing of it, because it may hold a card."""

    line: int
    reason: str


def read(lines: Iterable[str]) -> Iterator[Recorded | Unreadable]:
    """The requests in ``lines``, from the first one on. Empty lines count as lines and are left out."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield _recorded(number, line)
            except ValueError as error:
                yield Unreadable(number, str(error))


def _recorded(number: int, line: str) -> Recorded:
    if len(line) > LONGEST_LINE:
        raise ValueError(f"longer than {LONGEST_LINE} characters")
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("no JSON") from None
    if not isinstance(document, dict):
        raise ValueError("no JSON object")
    merchant_id, request, outcome = (document.get(name) for name in ("merchant_id", "request", "decision"))
    reasons, latency = document.get("reasons"), document.get("latency_ms")
    if not isinstance(merchant_id, str) or not re.fullmatch("[!-~]+", merchant_id):
        raise ValueError("merchant_id: a text of visible ASCII is needed")
    if not isinstance(request, dict):
        raise ValueError("request: an object is needed")
    if outcome not in OUTCOMES:
        raise ValueError(f"decision: {', '.join(OUTCOMES)} are possible")
    if not isinstance(reasons, list) or not all(isinstance(each, str) for each in reasons):
        raise ValueError("reasons: a list of texts is needed")
    if latency is not None and (isinstance(latency, bool) or not isinstance(latency, int | float) or not latency >= 0):
        raise ValueError("latency_ms: a number from 0 is needed")
    return Recorded(
        line=number,
        merchant_id=merchant_id,
        request=request,
        decision=Decision(outcome, frozenset(masked(reasons))),
        latency_ms=latency,
    )
