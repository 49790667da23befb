"""The load generator: locust's runners, local or distributed, with this package's engine inside the users.

Master and workers talk by locust's custom messages: ``plan`` starts a worker's engine, ``end`` sets where its schedule
stops, ``report`` brings what it measured to the master twice a second. A local runner passes them to itself.
"""

import logging
import math
import time
from typing import Any

import gevent
from locust import User, task
from locust.env import Environment
from locust.exception import StopUser
from locust.rpc import Message
from locust.runners import LocalRunner, WorkerRunner

from loadtest.client import Outcome
from loadtest.engine import Engine, Plan
from loadtest.health import Health
from loadtest.samples import Samples
from loadtest.scenario import PaymentRequest
from loadtest.schedule import Schedule

REPORT_SECONDS = 0.5
START_IN_SECONDS = 1.0
"""Between the plan and the first request: all workers have spawned their users by then."""


class PaymentEnvironment(Environment):
    """locust's environment, with what the users need of this package."""

    payments: "Worker"


class PaymentUser(User):
    """Sends what the open-model schedule hands out, and ends with it."""

    environment: PaymentEnvironment

    @task
    def pay(self) -> None:
        self.environment.payments.serve()
        raise StopUser


class Worker:
    """A runner's part in the load: takes plans, runs the engine inside the users, reports measurements.

    ``environment.payments`` is it, for the users to find.
    """

    def __init__(self, environment: Environment, runner: LocalRunner | WorkerRunner) -> None:
        self._environment, self._runner = environment, runner
        self._engine: Engine | None = None
        runner.register_message("plan", self._on_plan)
        runner.register_message("end", self._on_end)

    def serve(self) -> None:
        """What a user does: send requests until the schedule ends."""
        self._running_engine().serve()

    def close(self) -> None:
        if self._engine:
            self._engine.close()

    def _on_plan(self, msg: Message, **_: Any) -> None:
        workers = msg.data["workers"]
        self._engine = Engine(
            Plan.from_message(msg.data["plan"]),
            worker=workers.index(self._runner.client_id),
            workers=len(workers),
            start_in=START_IN_SECONDS,
            observer=self._tell_locust,
        )
        gevent.spawn(self._report, self._engine)

    def _on_end(self, msg: Message, **_: Any) -> None:
        self._running_engine().end_at(msg.data["end"])

    def _running_engine(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("a plan comes before anything else")
        return self._engine

    def _report(self, engine: Engine) -> None:
        while True:
            gevent.sleep(REPORT_SECONDS)
            self._runner.send_message("report", engine.take_report())

    def _tell_locust(self, request: PaymentRequest, latency: float, outcome: Outcome) -> None:
        """Feeds locust's own statistics, for its report and its web page; no verdict rests on them."""
        self._environment.events.request.fire(  # type: ignore[no-untyped-call]
            request_type="POST",
            name=request.route,
            response_time=latency * 1000,
            response_length=0,
            exception=outcome.fault and Exception(outcome.fault),
            context={},
        )


class Generator:
    """A load run in progress, seen from where it is controlled."""

    def __init__(self, plan: Plan) -> None:
        logging.getLogger("locust").setLevel(logging.WARNING)
        self._plan = plan
        self._schedule = Schedule(rate=plan.rate, seed=plan.seed, targets=len(plan.urls))
        environment = PaymentEnvironment(user_classes=[PaymentUser])
        self._runner = environment.create_local_runner()
        self._worker = environment.payments = Worker(environment, self._runner)
        self._runner.register_message("report", self._on_report)
        self.samples = Samples()
        self.health = Health()
        self._began = 0.0
        self._end = math.inf

    def start(self) -> None:
        """Begin the load; returns at once."""
        workers = [self._runner.client_id]
        self._began = time.perf_counter() + START_IN_SECONDS
        self._runner.send_message("plan", {"plan": self._plan.to_message(), "workers": workers})
        self._runner.start(self._plan.concurrency, spawn_rate=self._plan.concurrency)

    def count_before(self, end: float) -> int:
        """How many requests, in all, are due before ``end`` seconds into the run."""
        return self._schedule.count_before(end)

    @property
    def elapsed(self) -> float:
        """Seconds since the run's first request was due."""
        return time.perf_counter() - self._began

    def end_at(self, end: float) -> None:
        """Send nothing that is due ``end`` seconds into the run or later; what is under way may finish."""
        self._end = end
        self._runner.send_message("end", {"end": end})

    def finish(self, patience: float) -> int:
        """Send nothing more, wait up to ``patience`` seconds for what is under way, return how many were sent."""
        end = min(round(self.elapsed, 3), self._end)
        self.end_at(end)
        sent = self.count_before(end)
        deadline = time.perf_counter() + patience + 2 * REPORT_SECONDS
        while self.samples.count_before(end) < sent and time.perf_counter() < deadline:
            gevent.sleep(REPORT_SECONDS / 5)
        return sent

    def close(self) -> None:
        """Stop at once and free everything."""
        self._runner.quit()
        self._worker.close()

    def _on_report(self, msg: Any, **_: Any) -> None:
        self.samples.merge(Samples.from_message(msg.data["samples"]))
        self.health.merge(Health.from_message(msg.data["health"]))
