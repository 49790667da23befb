"""The load: seeded, reproducible payments, and the checks of the answers to them.

Request ``index`` of a ``seed`` is the same in every run, on every process and machine.
"""

import json
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from typing import Any

from loadtest.faults import Fault, FaultKind
from names import Function

LOAD_CUSTOMERS = 2000
"""Every environment holds the synthetic customers ``load-00001`` to ``load-02000``."""

CARD_PREFIXES = ("424242", "555555", "601111")
"""From the card brands' published test numbers. Each customer has a card of its own, because fraud rules would find
a few shared numbers."""


class Kind(StrEnum):
    """The sorts of payments in the mix."""

    ORDINARY = "ordinary"
    BAD_CARD = "bad card"
    """The card number's check digit is wrong."""
    UNKNOWN_CUSTOMER = "unknown customer"
    OVER_LIMIT = "over the limit"
    """More than any single payment may be."""


KINDS = (Kind.ORDINARY,) * 90 + (Kind.BAD_CARD,) * 5 + (Kind.UNKNOWN_CUSTOMER,) * 3 + (Kind.OVER_LIMIT,) * 2
"""In percent. The API must refuse all kinds except the first. Such a refusal is a right answer."""
CURRENCIES = ("USD",) * 6 + ("EUR",) * 2 + ("GBP", "JPY")
YEN_PER_DOLLAR = 150
OVER_ANY_LIMIT = 50_000
"""Dollars."""
_METHODS = {function.path: function.method for function in Function}


class Look(StrEnum):
    """What is asked of the route of transactions."""

    SEARCH = "search"
    """For a customer's transactions of the last day."""
    GET = "get"
    """A payment that was just made."""
    VOID = "void"
    """Such a payment, once."""


LOOKS = (Look.SEARCH,) * 6 + (Look.GET,) * 2 + (Look.VOID,) * 2
NOBODYS = f"txn_{0:032x}"
"""The id of no transaction. It is asked for until a payment is known, and 404 is the right answer."""


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """One request of the load: its route, the kind of payment, its JSON body (none for GET), and the body's amount and
    currency, which the answer must repeat. ``target``: path and query that are sent. ``look``: what a request for
    transactions asks, and for ``whom``, a customer or a transaction."""

    method: str
    route: str
    kind: Kind
    body: bytes
    amount: float
    currency: str
    target: str
    look: Look | None = None
    whom: str = ""

    @property
    def is_about_one(self) -> bool:
        """Whether it is about one transaction, which must be known first."""
        return self.look in (Look.GET, Look.VOID)

    def about(self, transaction_id: str) -> "PaymentRequest":
        """The same request about another transaction."""
        return replace(self, target=self.target.replace(self.whom, transaction_id), whom=transaction_id)


def another_seed() -> int:
    """A random seed."""
    return 1 + secrets.randbelow(2**31 - 1)


class Scenario:
    """The endless sequence of requests of ``seed``.

    ``mix`` holds routes and integer shares. Within each block of ``sum of shares`` requests every route occurs exactly
    its share of times, in random order: each route gets its samples, and no route follows a rhythm.
    """

    def __init__(self, mix: Sequence[tuple[str, int]], seed: int) -> None:
        self._seed = seed
        self._deck = [route for route, share in mix for _ in range(share)]
        self._block, self._shuffled = -1, self._deck

    def request(self, index: int) -> PaymentRequest:
        block, place = divmod(index, len(self._deck))
        if block != self._block:
            dice = random.Random((self._seed << 64) + block)  # noqa: S311
            self._block, self._shuffled = block, dice.sample(self._deck, len(self._deck))
        dice = random.Random((self._seed << 40) + index)  # noqa: S311
        kind = KINDS[int(dice.random() * len(KINDS))]
        customer = 1 + int(dice.random() * LOAD_CUSTOMERS)
        currency = CURRENCIES[int(dice.random() * len(CURRENCIES))]
        amount = _amount(kind, currency, dice)
        customer_id = f"load-9{customer:04d}" if kind is Kind.UNKNOWN_CUSTOMER else f"load-{customer:05d}"
        card = card_number(customer, check_digit_off_by=1 if kind is Kind.BAD_CARD else 0)
        body = (
            f'{{"customer_id": "{customer_id}", "amount": {amount}, "currency": "{currency}", '
            f'"card_number": "{card}", "client_ip": "{client_address(customer)}"}}'
        )
        route = self._shuffled[place]
        if route == Function.TRANSACTIONS.path:
            return _look(LOOKS[int(dice.random() * len(LOOKS))], f"load-{customer:05d}", amount, currency)
        return PaymentRequest(_METHODS[route], route, kind, body.encode(), amount, currency, target=route)


def _look(look: Look, customer_id: str, amount: float, currency: str) -> PaymentRequest:
    route = Function.TRANSACTIONS.path
    method, target, body = {
        Look.SEARCH: ("GET", f"{route}?customer_id={customer_id}", b""),
        Look.GET: ("GET", f"{route}/{NOBODYS}", b""),
        Look.VOID: ("POST", f"{route}/{NOBODYS}/reversal", b'{"kind": "void", "reason": "Load test"}'),
    }[look]
    whom = customer_id if look is Look.SEARCH else NOBODYS
    return PaymentRequest(method, route, Kind.ORDINARY, body, amount, currency, target, look, whom)


def _amount(kind: Kind, currency: str, dice: random.Random) -> float:
    """An amount in dollars. Half of all amounts are under 35, one in a hundred is over 340."""
    dollars = min(dice.lognormvariate(3.5, 1.0) + 1, 2_000.0)
    if kind is Kind.OVER_LIMIT:
        dollars += OVER_ANY_LIMIT
    return int(dollars * YEN_PER_DOLLAR) if currency == "JPY" else round(dollars, 2)


@cache
def card_number(customer: int, check_digit_off_by: int = 0) -> str:
    """The 16-digit card number of a synthetic customer, with its Luhn check digit (ISO/IEC 7812-1, annex B)."""
    digits = CARD_PREFIXES[customer % len(CARD_PREFIXES)] + f"{customer:09d}"
    total = sum(int(digit) if place % 2 else sum(divmod(2 * int(digit), 10)) for place, digit in enumerate(digits))
    return f"{digits}{(check_digit_off_by - total) % 10}"


def client_address(customer: int) -> str:
    """The address of a synthetic customer, of the range for benchmarks (RFC 2544). Each has its own, because many cards
    from one address are card testing."""
    return f"198.18.{customer // 256}.{customer % 256}"


def fault(request: PaymentRequest, status: int, body: bytes) -> Fault | None:
    """Why the answer to ``request`` is an error; ``None`` when it is right.

    The expected refusal of a payment is a right answer. A 200 with the wrong content is an error.
    """
    if request.whom == NOBODYS and status == 404:
        return None
    expected = 201 if request.route == Function.PROCESSING.path or request.look is Look.VOID else 200
    if status != expected:
        unavailable = status >= 500 or status == 429
        return Fault(FaultKind.UNAVAILABLE if unavailable else FaultKind.WRONG_ANSWER, f"status {status}")
    wrong = _wrong_content(request, body)
    return Fault(FaultKind.WRONG_ANSWER, wrong) if wrong else None


def _wrong_content(request: PaymentRequest, body: bytes) -> str | None:
    try:
        answer = json.loads(body)
    except ValueError:
        return "body is not JSON"
    if not isinstance(answer, dict):
        return "body is not an object"
    check = _CHECKS.get(request.route)
    return check(request, answer) if check else None


def _validate_fault(request: PaymentRequest, answer: dict[str, Any]) -> str | None:
    valid, reasons = answer.get("valid"), answer.get("reasons")
    if not isinstance(valid, bool) or not isinstance(reasons, list):
        return "no verdict in the body"
    if valid is not (request.kind is Kind.ORDINARY):
        return f"{request.kind} payment judged valid={valid}"
    return None if valid or reasons else "invalid without a reason"


def _fraud_check_fault(request: PaymentRequest, answer: dict[str, Any]) -> str | None:
    if answer.get("decision") not in ("approve", "review", "decline"):
        return "no decision in the body"
    return None if isinstance(answer.get("score"), int) else "no score in the body"


def _process_fault(request: PaymentRequest, answer: dict[str, Any]) -> str | None:
    if not answer.get("transaction_id"):
        return "no transaction id in the body"
    status = answer.get("status")
    if status not in ("approved", "review", "declined"):
        return "no status in the body"
    if request.kind is not Kind.ORDINARY and status == "approved":
        return f"{request.kind} payment approved"
    if answer.get("currency") != request.currency or answer.get("amount") not in _same_amounts(request):
        return "another payment's amount in the body"
    return None


def _look_fault(request: PaymentRequest, answer: dict[str, Any]) -> str | None:
    if request.look is Look.SEARCH:
        found = answer.get("transactions")
        if not isinstance(found, list):
            return "no transactions in the body"
        return None if all(each.get("customer_id") == request.whom for each in found) else "another customer's payment"
    if answer.get("transaction_id") != request.whom:
        return "another transaction in the body"
    return "not voided" if request.look is Look.VOID and answer.get("status") != "voided" else None


def approved(request: PaymentRequest, body: bytes) -> str | None:
    """The id of the payment that ``body``, a right answer, says was approved."""
    if request.route != Function.PROCESSING.path:
        return None
    answer = json.loads(body)
    return str(answer["transaction_id"]) if answer["status"] == "approved" else None


def _same_amounts(request: PaymentRequest) -> tuple[object, ...]:
    """The request's amount as a number, and as the decimal string that keeps money exact."""
    return request.amount, str(request.amount) if request.currency == "JPY" else f"{request.amount:.2f}"


_CHECKS = {
    Function.VALIDATION.path: _validate_fault,
    Function.FRAUD_DETECTION.path: _fraud_check_fault,
    Function.PROCESSING.path: _process_fault,
    Function.TRANSACTIONS.path: _look_fault,
}
"""The check of an answer, by route. For any other route, the answer only has to be a JSON object."""
