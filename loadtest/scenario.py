"""What the load is made of: seeded, reproducible payments, and what a right answer to each looks like.

Request ``index`` of seed ``seed`` is the same request in every run, whichever process or machine sends it.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

LOAD_CUSTOMERS = 2000
"""Every environment holds the synthetic customers ``load-00001`` to ``load-02000``."""

CURRENCIES = ("USD", "EUR", "GBP")

GOOD_CARDS = (
    "4111111111111111",
    "4012888888881881",
    "5555555555554444",
    "5105105105105100",
    "378282246310005",
    "6011111111111117",
)
"""The card brands' published test numbers: well-formed, belonging to nobody."""


class Kind(StrEnum):
    """The sorts of payments in the mix."""

    ORDINARY = "ordinary"
    BAD_CARD = "bad card"
    """The card number's check digit is wrong: a well-formed request that must be turned down."""
    UNKNOWN_CUSTOMER = "unknown customer"


KINDS = (Kind.ORDINARY,) * 92 + (Kind.BAD_CARD,) * 5 + (Kind.UNKNOWN_CUSTOMER,) * 3


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """One request of the load: where it goes, its JSON body, and what sort of payment it is."""

    route: str
    kind: Kind
    body: bytes


class Scenario:
    """The endless sequence of requests that ``seed`` stands for.

    ``mix`` holds routes and integer shares. Within each block of ``sum of shares`` requests every route occurs exactly
    its share of times, in random order: each route gets its samples, and no route follows a rhythm.
    """

    def __init__(self, mix: Sequence[tuple[str, int]], seed: int) -> None:
        self._seed = seed
        self._deck = [route for route, share in mix for _ in range(share)]

    def request(self, index: int) -> PaymentRequest:
        block, place = divmod(index, len(self._deck))
        route = random.Random(f"{self._seed}/{block}").sample(self._deck, len(self._deck))[place]  # noqa: S311
        dice = random.Random(f"{self._seed}.{index}")  # noqa: S311
        kind = dice.choice(KINDS)
        body = {
            "customer_id": f"load-{dice.randint(1, LOAD_CUSTOMERS):05d}",
            "amount": round(min(dice.lognormvariate(3.5, 1.0), 900.0) + 0.01, 2),
            "currency": dice.choice(CURRENCIES),
            "card_number": dice.choice(GOOD_CARDS),
        }
        if kind is Kind.BAD_CARD:
            body["card_number"] = _with_wrong_check_digit(str(body["card_number"]))
        elif kind is Kind.UNKNOWN_CUSTOMER:
            body["customer_id"] = f"load-9{dice.randint(0, 9999):04d}"
        return PaymentRequest(route=route, kind=kind, body=json.dumps(body).encode())


def fault(request: PaymentRequest, status: int, body: bytes) -> str | None:
    """Why the answer to ``request`` is wrong, in a few words fit for counting; ``None`` when it is right.

    A payment that is turned down as it should be is a right answer. A 200 with the wrong content is not.
    """
    expected = 201 if request.route == "/process" else 200
    if status != expected:
        return f"status {status}"
    try:
        answer = json.loads(body)
    except ValueError:
        return "body is not JSON"
    if not isinstance(answer, dict):
        return "body is not an object"
    return _CHECKS[request.route](request, answer)


def _with_wrong_check_digit(card_number: str) -> str:
    return card_number[:-1] + str((int(card_number[-1]) + 1) % 10)


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
    sent = json.loads(request.body)
    if answer.get("currency") != sent["currency"] or float(answer.get("amount", "nan")) != sent["amount"]:
        return "another payment's amount in the body"
    return None


_CHECKS = {"/validate": _validate_fault, "/fraud-check": _fraud_check_fault, "/process": _process_fault}
ROUTES = tuple(_CHECKS)
