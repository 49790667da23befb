"""The clients of a rehearsal: merchants' servers that resolve one name before each payment, and pay where it leads."""

import json
import threading
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from environments import DEV
from localcloud.settings import TIME_SCALE
from names import OLD_SYSTEM_METRICS, Function
from pipeline.transactions.client import SignedApi
from tests.resolver import Resolver

CLIENTS = 8
_ANSWER_SECONDS = 30


class Answered(NamedTuple):
    """A payment that was answered with 201. ``at``: Unix time; ``reference``: the merchant's own number of it."""

    at: float
    host: str
    reference: str
    seconds: float


class Clients:
    """``rate`` payments a second in all, until ``stop``.

    ``name``: what they call. Hosts that it leads to: ``old_host``, at ``old_url``, and the platform's, at ``api``.
    ``told_seconds``: what the old side's metrics say of an answer; ``None``: what it took.
    """

    def __init__(
        self,
        *,
        name: str,
        server: tuple[str, int],
        old_host: str,
        old_url: str,
        api: SignedApi,
        cloudwatch: Any,
        customers: int,
        rate: float,
        told_seconds: float | None = None,
    ) -> None:
        self._name, self._server, self._old_host, self._old_url = name, server, old_host, old_url
        self._api, self._cloudwatch, self._customers, self._rate = api, cloudwatch, customers, rate
        self._told_seconds = told_seconds
        self._over, self._numbers, self._lock = threading.Event(), 0, threading.Lock()
        self.answered: list[Answered] = []
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._pay, daemon=True) for _ in range(CLIENTS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send no more, and wait for the answers that are still to come."""
        self._over.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_ANSWER_SECONDS)

    def since(self, at: float) -> Counter[str]:
        """How many payments each host answered since ``at``."""
        return Counter(each.host for each in list(self.answered) if each.at >= at)

    def _pay(self) -> None:
        # The local cloud's time: a minute is a second.
        resolver = Resolver(self._server, now=lambda: time.monotonic() / TIME_SCALE)
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due += CLIENTS / self._rate
            with self._lock:
                self._numbers += 1
                number = self._numbers
            body, key = payment(1 + number % self._customers, f"rehearsal-{number}"), str(uuid.uuid4())
            began = time.monotonic()
            try:
                host = resolver.resolve(self._name)
                pay: Callable[..., int] = self._at_the_old_system if host == self._old_host else self._here
                status = pay(body, {"Idempotency-Key": key})
                seconds = time.monotonic() - began
                if status != 201:
                    self.failures.append(f"{host} answered {status}")
                    continue
                self.answered.append(Answered(time.time(), host, body["merchant_reference"], seconds))
                if host == self._old_host:
                    self._published(self._told_seconds or seconds)
            except Exception as error:  # a client goes on, whatever went wrong; the claims name it
                self.failures.append(f"{type(error).__name__}: {error}")

    def _here(self, body: dict[str, Any], headers: dict[str, str]) -> int:
        return self._api.send(Function.PROCESSING.method, Function.PROCESSING.path, body, headers).status

    def _at_the_old_system(self, body: dict[str, Any], headers: dict[str, str]) -> int:
        request = urllib.request.Request(
            f"{self._old_url}{Function.PROCESSING.path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", **headers},
        )
        with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as answer:
            return int(answer.status)

    def _published(self, seconds: float) -> None:
        """What the old side has to publish of itself (docs/migration.md), for this payment."""
        values = {"Requests": (1.0, "Count"), "Errors": (0.0, "Count"), "Latency": (1000 * seconds, "Milliseconds")}
        dimensions = [{"Name": "Environment", "Value": DEV.name}]
        data = [
            {"MetricName": name, "Dimensions": dimensions, "Value": value, "Unit": unit}
            for name, (value, unit) in values.items()
        ]
        self._cloudwatch.put_metric_data(Namespace=OLD_SYSTEM_METRICS, MetricData=data)


def payment(customer: int, reference: str) -> dict[str, Any]:
    """A payment of the customer with this number: each has a card and an address of its own."""
    return {
        "customer_id": f"c-{customer:07d}",
        "amount": f"{10 + customer % 50}.50",
        "currency": "EUR",
        "card_number": card_number(customer),
        "client_ip": f"198.18.{customer // 250}.{1 + customer % 250}",
        "merchant_reference": reference,
    }


def card_number(number: int) -> str:
    """A made-up Visa number: its 14 middle digits are ``number``, the last one is the check digit of ISO 7812."""
    begin = f"4{number:014d}"
    digits = [int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(begin)]
    return f"{begin}{-sum(digit // 10 + digit % 10 for digit in digits) % 10}"
