"""A merchant's server that pays steadily, repeats until it has an answer, and remembers what it was promised."""

import contextlib
import random
import threading
import time
import uuid
from decimal import Decimal

import urllib3
from botocore.credentials import Credentials

from benchmarks._platform import Platform
from loadtest.scenario import LOAD_CUSTOMERS, card_number, client_address
from names import Function
from pipeline.transactions.client import Reply, SignedApi

PAUSE_SECONDS, AGAIN_SECONDS, GIVE_UP_SECONDS, ANSWER_SECONDS = 0.5, 1.0, 120.0, 30.0


class Payer:
    """``promised``: the amounts of the payments that were answered with success, by id. ``repeated``: how many of them
    only after repeats. ``unanswered``: the keys of those that were not, within ``GIVE_UP_SECONDS``. ``twice``: the keys
    that got two ids."""

    def __init__(self, platform: Platform, seed: int) -> None:
        own = Credentials(platform.environ["AWS_ACCESS_KEY_ID"], platform.environ["AWS_SECRET_ACCESS_KEY"])
        self._api = SignedApi(platform.outputs["ApiGatewayUrl"], own, platform.environ)
        self._chance = random.Random(seed)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._pay, daemon=True)
        self.promised: dict[str, str] = {}
        self.repeated = 0
        self.unanswered: list[str] = []
        self.twice: list[str] = []

    def __enter__(self) -> "Payer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(GIVE_UP_SECONDS + ANSWER_SECONDS)

    def missing(self) -> list[str]:
        """The promised payments that the API does not know as they were made."""
        return [id for id, amount in sorted(self.promised.items()) if self._amount(id) != Decimal(amount)]

    def _amount(self, id: str) -> Decimal | None:
        found, _ = self._ask("GET", f"{Function.TRANSACTIONS.path}/{id}", None, {}, 200, 404)
        return Decimal(str(found.body["amount"])) if found is not None and found.status == 200 else None

    def _pay(self) -> None:
        while not self._ended.wait(PAUSE_SECONDS):
            customer = self._chance.randint(1, LOAD_CUSTOMERS)
            payment = {
                "customer_id": f"load-{customer:05d}",
                "amount": f"{self._chance.randrange(100, 5000) / 100:.2f}",
                "currency": "EUR",
                "card_number": card_number(customer),
                "client_ip": client_address(customer),
            }
            self._until_promised(payment, str(uuid.uuid4()))

    def _until_promised(self, payment: dict[str, str], key: str) -> None:
        answer, repeats = self._process(payment, key)
        if answer is None:
            self.unanswered.append(key)
            return
        id = answer.body["transaction_id"]
        self.promised[id] = payment["amount"]
        if repeats:  # the key has one payment, however often it was sent
            self.repeated += 1
            again, _ = self._process(payment, key)
            if again is not None and again.body["transaction_id"] != id:
                self.twice.append(key)

    def _process(self, payment: dict[str, str], key: str) -> tuple[Reply | None, int]:
        return self._ask("POST", Function.PROCESSING.path, payment, {"Idempotency-Key": key}, 201)

    def _ask(
        self, method: str, target: str, body: dict[str, str] | None, headers: dict[str, str], *statuses: int
    ) -> tuple[Reply | None, int]:
        """Repeat until there is an answer with one of ``statuses``. Returns it, ``None`` when none comes in time, and
        the number of repeats."""
        begun, repeats = time.monotonic(), 0
        while time.monotonic() - begun < GIVE_UP_SECONDS:
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                answer = self._api.send(method, target, body, headers)
                if answer.status in statuses and answer.body is not None:
                    return answer, repeats
            repeats += 1
            time.sleep(AGAIN_SECONDS)
        return None, repeats
