"""Generates load in one process: greenlets that take tickets from the schedule, send, and record.

The users of locust are the greenlets: each sends one request at a time, so their number bounds the requests under way.
A ticket that no free user took in time is sent late, and its latency counts from when it was due.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import gevent

from loadtest.client import Outcome, PaymentClient
from loadtest.health import Monitor
from loadtest.samples import Samples
from loadtest.scenario import PaymentRequest, Scenario
from loadtest.schedule import Schedule
from loadtest.signing import Signer
from loadtest.target import Target
from pipeline import aws


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that a generating process must know, in a form that locust's transport (msgpack) carries.

    ``urls``: the targets, loaded side by side. ``rate``: requests a second on each of them, over all processes.
    """

    run_id: str
    urls: list[str]
    rate: float
    seed: int
    mix: list[tuple[str, int]]
    concurrency: int
    timeout: float
    signed: bool

    def to_message(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "Plan":
        return cls(**{**message, "mix": [(route, share) for route, share in message["mix"]]})


Observer = Callable[[PaymentRequest, float, Outcome], None]
"""Told of each finished request, with its latency in seconds."""


class Engine:
    """One process's part of the load: worker number ``worker`` of ``workers``, beginning in ``start_in`` seconds."""

    def __init__(
        self, plan: Plan, *, worker: int = 0, workers: int = 1, start_in: float = 0.0, observer: Observer | None = None
    ) -> None:
        self._plan, self._observer = plan, observer
        self._scenario = Scenario(plan.mix, plan.seed)
        self._schedule = Schedule(
            rate=plan.rate, seed=plan.seed, targets=len(plan.urls), worker=worker, workers=workers
        )
        self._clients = [self._client(Target.parse(url)) for url in plan.urls]
        self._samples = Samples()
        self._monitor = Monitor()
        self._end = math.inf
        self._began = time.perf_counter() + start_in

    def serve(self) -> None:
        """Take tickets and send their requests, until the schedule's end."""
        while True:
            ticket = self._schedule.take()
            due = self._began + ticket.start
            while (early := due - time.perf_counter()) > 0:
                gevent.sleep(early)
            if ticket.start >= self._end:
                return
            request = self._scenario.request(ticket.index)
            key = f"{self._plan.run_id}-{ticket.target}-{ticket.index}"
            outcome = self._clients[ticket.target].send(request, key)
            latency = time.perf_counter() - due
            self._record(request, ticket.target, ticket.start, latency, outcome)

    def end_at(self, end: float) -> None:
        """Send nothing that is due ``end`` seconds into the run or later."""
        self._end = end

    def take_report(self) -> dict[str, Any]:
        """Samples and health since the last report, as a message."""
        taken, self._samples = self._samples, Samples()
        return {"samples": taken.to_message(), "health": self._monitor.take().to_message()}

    def close(self) -> None:
        self._monitor.close()
        for client in self._clients:
            client.close()

    def _record(self, request: PaymentRequest, target: int, start: float, latency: float, outcome: Outcome) -> None:
        self._samples.reconnects += outcome.reconnects
        if outcome.version:
            self._samples.versions[target, request.route, outcome.version] += 1
        if outcome.fault is None:
            self._samples.answer(target, request.route, start, latency)
        else:
            self._samples.error(target, request.route, start, latency, outcome.fault)
        if self._observer:
            self._observer(request, latency, outcome)

    def _client(self, target: Target) -> PaymentClient:
        signer = signer_for(target) if self._plan.signed else None
        return PaymentClient(target, signer, concurrency=self._plan.concurrency, timeout=self._plan.timeout)


class NoCredentials(Exception):
    """Requests are to be signed, and there is nothing to sign them with."""


def signer_for(target: Target) -> Signer:
    """Signs requests to ``target`` with the session's credentials. Raises ``NoCredentials``."""
    session = aws.session()
    credentials = session.get_credentials()
    if credentials is None:
        raise NoCredentials("no AWS credentials to sign requests with: set AWS_PROFILE or AWS_ACCESS_KEY_ID, or log in")
    return Signer(credentials, region=session.region_name, host=target.host)
