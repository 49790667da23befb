"""Generates load in one process: greenlets that take tickets from the schedule, send, and record.

The users of locust are the greenlets: each sends one request at a time, so their number bounds the requests under way.
A ticket that no free user took in time is sent late, and its latency counts from when it was due.
"""

import math
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import gevent

from environments import GateSettings
from loadtest.client import PaymentClient, PaymentOutcome
from loadtest.health import Monitor
from loadtest.samples import Samples, Series
from loadtest.scenario import PaymentRequest, Scenario, another_seed
from loadtest.schedule import Schedule, Ticket
from loadtest.signing import signer_for
from loadtest.target import Target


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
    """The plan for a generating process, in a form for locust's transport (msgpack).

    ``url``: the API to load. ``rate``: requests a second over all processes, reached after ``ramp`` seconds.
    """

    run_id: str
    url: str
    rate: float
    ramp: float
    seed: int
    mix: list[tuple[str, int]]
    concurrency: int
    timeout: float
    signed: bool

    @classmethod
    def of(
        cls, settings: GateSettings, url: str, *, signed: bool, rate: float | None = None, ramp: float = 0.0
    ) -> "LoadPlan":
        """A new run with an environment's settings. ``rate`` replaces the rate of the settings. Settings without a seed
        give each run another one."""
        return cls(
            run_id=uuid.uuid4().hex,
            url=url,
            rate=rate or settings.rate,
            ramp=ramp,
            seed=settings.seed or another_seed(),
            mix=list(settings.mix),
            concurrency=settings.concurrency,
            timeout=settings.timeout_seconds,
            signed=signed,
        )

    def to_message(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "LoadPlan":
        return cls(**{**message, "mix": [(route, share) for route, share in message["mix"]]})


_REMEMBERED = 1_000

Observer = Callable[[PaymentRequest, float, PaymentOutcome], None]
"""Called for each finished request, with its latency in seconds."""


class Engine:
    """One process's part of the load: worker number ``worker`` of ``workers``. ``began``: reading of
    ``time.perf_counter`` at the beginning of the run."""

    def __init__(self, plan: LoadPlan, *, worker: int, workers: int, began: float, observer: Observer) -> None:
        self._plan, self._began, self._observer = plan, began, observer
        self._scenario = Scenario(plan.mix, plan.seed)
        self._schedule = Schedule(rate=plan.rate, ramp=plan.ramp, seed=plan.seed, worker=worker, workers=workers)
        self._client = _client(plan)
        self._samples = Samples()
        self._monitor = Monitor()
        self._end = math.inf
        self._approved: deque[str] = deque(maxlen=_REMEMBERED)
        """The latest payments of this process that were approved, for look-ups and reversals."""

    def serve(self) -> None:
        """Take tickets and send their requests, until the schedule's end."""
        while True:
            ticket = self._schedule.take()
            due = self._began + ticket.start
            while (early := due - time.perf_counter()) > 0:
                gevent.sleep(early)
            if ticket.start >= self._end:
                return
            self._send(ticket, due)

    def send_next(self) -> None:
        """Send the schedule's next request now, even before it is due."""
        self._send(self._schedule.take(), time.perf_counter())

    def end_at(self, end: float) -> None:
        """Send nothing that is due ``end`` seconds into the run or later."""
        self._end = end

    def take_report(self) -> dict[str, Any]:
        """Samples and health since the last report, as a message."""
        taken, self._samples = self._samples, Samples()
        return {"samples": taken.to_message(), "health": self._monitor.take().to_message()}

    def close(self) -> None:
        self._monitor.close()
        self._client.close()

    def _send(self, ticket: Ticket, due: float) -> None:
        request = self._scenario.request(ticket.index)
        if request.is_about_one and self._approved:
            # What is voided is not looked up any more, because it would be voided already.
            request = request.about(self._approved.pop() if request.method == "POST" else self._approved[-1])
        key = f"{self._plan.run_id}-{ticket.index}"
        outcome = self._client.send(request, key)
        latency = time.perf_counter() - due
        if outcome.approved:
            self._approved.append(outcome.approved)
        samples = self._samples
        samples.reconnects += outcome.reconnects
        if outcome.version:
            samples.versions[request.route, outcome.version] += 1
        if outcome.fault is None:
            samples.answer(request.route, ticket.start, latency)
            if outcome.processor is not None:
                samples.processor.setdefault(request.route, Series()).add(ticket.start, outcome.processor)
        else:
            samples.error(request.route, ticket.start, latency, outcome.fault)
        self._observer(request, latency, outcome)


def _client(plan: LoadPlan) -> PaymentClient:
    target = Target.parse(plan.url)
    signer = signer_for(target.host) if plan.signed else None
    return PaymentClient(target, signer, concurrency=plan.concurrency, timeout=plan.timeout)
