"""A merchant's server that pays steadily, repeats until it has an answer, and remembers what it was promised."""

import contextlib
import itertools
import random
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import urllib3
from botocore.credentials import Credentials

from benchmarks._platform import Platform
from lambdas.books.agreement import Row
from loadtest.scenario import LOAD_CUSTOMERS, card_number, client_address
from names import Function
from pipeline.transactions.client import Reply, SignedApi

PAUSE_SECONDS, AGAIN_SECONDS, GIVE_UP_SECONDS, ANSWER_SECONDS = 0.5, 1.0, 120.0, 30.0
BAD_SHARE = 0.2
"""A bad request follows to so many of the payments."""
MADE, REFUSED = 201, (400, 422)
BAD: tuple[dict[str, Any], ...] = (
    {"amount": "-1.00"},
    {"amount": "0.00"},
    {"amount": "1.001"},
    {"amount": "1e9"},
    {"amount": True},
    {"currency": "eur"},
    {"currency": "ZZZ"},
    {"card_number": "4242 4242 4242 4242"},
    {"card_number": "4" * 2000},
    {"customer_id": "../../etc/passwd"},
    {"customer_id": None},
    {"client_ip": "999.1.1.1"},
    {"country": "XX"},
    {"merchant_reference": "\x1b]0;owned\x07"},
    {"merchant_reference": "4242424242424242"},
    {"unknown": "field"},
)
"""What a bad request has instead. No payment may be made of it."""


class Payer:
    """``promised``: by the merchant's reference, id and amount of the payments that were answered with success.
    ``repeated``: how many of them only after repeats. ``bad``: the bad requests that were refused."""

    def __init__(self, platform: Platform, seed: int) -> None:
        own = Credentials(platform.environ["AWS_ACCESS_KEY_ID"], platform.environ["AWS_SECRET_ACCESS_KEY"])
        self._api = SignedApi(platform.outputs["ApiGatewayUrl"], own, platform.environ)
        self._platform = platform
        self._chance = random.Random(seed)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._orders = itertools.count(1)
        self._failures: list[str] = []
        self.promised: dict[str, tuple[str, str]] = {}
        self.repeated = self.bad = 0

    def __enter__(self) -> "Payer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(2 * (GIVE_UP_SECONDS + ANSWER_SECONDS))  # a payment, and the check of its repeat

    def failures(self) -> Iterator[str]:
        """What went wrong, when it has ended: with an answer, or with what the ledger holds of a payment."""
        yield from self._failures
        if self._thread.is_alive() or not self.promised:
            yield f"the merchant's server hangs, or had no payment: {len(self.promised)} promised"
        rows = self._ledger()
        for reference, (id, amount) in self.promised.items():
            held = rows[reference]
            if [each.transaction_id for each in held] != [id]:
                yield f"{reference} is in the ledger {len(held)} times, not once as {id}"
            elif not held[0].settled or Decimal(str(held[0].values["minor"])) != 100 * Decimal(amount):
                what = f"{held[0].values['status']}, with {held[0].values['minor']} minor units"
                yield f"{reference}, promised with {amount}, is in the ledger as {what}"

    def _ledger(self) -> defaultdict[str, list[Row]]:
        """All payments that name a merchant's reference, by it."""
        found = defaultdict[str, list[Row]](list)
        pages = self._platform.client("dynamodb").get_paginator("scan")
        for page in pages.paginate(TableName=self._platform.outputs["TransactionTableName"], ConsistentRead=True):
            for row in map(Row.of, page["Items"]):
                if "merchant_reference" in row.values:
                    found[str(row.values["merchant_reference"])].append(row)
        return found

    def _work(self) -> None:
        try:
            while not self._ended.wait(PAUSE_SECONDS):
                self._pay()
                if self._chance.random() < BAD_SHARE:
                    self._send_bad()
        except Exception as error:  # else nobody would pay any more, and nothing could be lost
            self._failures.append(f"the merchant's server ended: {error!r}")

    def _payment(self, **other: Any) -> dict[str, Any]:
        customer = self._chance.randint(1, LOAD_CUSTOMERS)
        return {
            "customer_id": f"load-{customer:05d}",
            "amount": f"{self._chance.randrange(100, 5000) / 100:.2f}",
            "currency": "EUR",
            "card_number": card_number(customer),
            "client_ip": client_address(customer),
        } | other

    def _pay(self) -> None:
        reference, key = f"order-{next(self._orders)}", str(uuid.uuid4())
        payment = self._payment(merchant_reference=reference)
        answer, repeats = self._ask(payment, key, MADE)
        if answer is None:
            self._failures.append(f"no answer to {reference} in {GIVE_UP_SECONDS:g} s")
            return
        id = answer.body["transaction_id"]
        self.promised[reference] = id, payment["amount"]
        if repeats:  # the key has one payment, however often it was sent
            self.repeated += 1
            again, _ = self._ask(payment, key, MADE)
            if again is not None and again.body["transaction_id"] != id:
                self._failures.append(f"{reference} has two ids: {id} and {again.body['transaction_id']}")

    def _send_bad(self) -> None:
        other = self._chance.choice(BAD)
        answer, _ = self._ask(self._payment(**other), str(uuid.uuid4()), MADE, *REFUSED)
        if answer is not None and answer.status == MADE:
            self._failures.append(f"a payment was made of the bad request {other}")
        elif answer is not None:
            self.bad += 1

    def _ask(self, body: dict[str, Any], key: str, *statuses: int) -> tuple[Reply | None, int]:
        """Repeat until there is an answer with one of ``statuses``. Returns it, ``None`` when none comes in time, and
        the number of repeats."""
        begun, repeats = time.monotonic(), 0
        while time.monotonic() - begun < GIVE_UP_SECONDS:
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                answer = self._api.send("POST", Function.PROCESSING.path, body, {"Idempotency-Key": key})
                if answer.status in statuses and answer.body is not None:
                    return answer, repeats
            repeats += 1
            time.sleep(AGAIN_SECONDS)
        return None, repeats
