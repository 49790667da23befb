"""One locust process of the load: its users run this package's engine, and it reports their measurements.

Control and workers use locust's custom messages: ``plan`` starts a worker's engine, ``end`` sets the end of its
schedule, ``report`` brings the measurements to the control twice a second. A local runner passes them to itself.
"""

import time
from typing import Any

import gevent
from locust import User, constant_throughput, task
from locust.env import Environment
from locust.exception import StopUser
from locust.rpc import Message
from locust.runners import LocalRunner, WorkerRunner

from loadtest.client import PaymentOutcome
from loadtest.engine import Engine, LoadPlan
from loadtest.scenario import PaymentRequest

REPORT_SECONDS = 0.5


class PaymentEnvironment(Environment):
    """locust's environment, and the ``Worker`` that its users call."""

    payments: "Worker"


class PaymentUser(User):
    """With a plan: sends the requests of the open-model schedule, and ends with it.

    Without a plan (locust was started by hand): one payment a second, so that the number of users is the rate.
    """

    environment: PaymentEnvironment
    wait_time = constant_throughput(1)

    @task
    def pay(self) -> None:
        if self.environment.payments.serve():
            raise StopUser


class Worker:
    """Takes plans, runs the engine inside the users, reports measurements."""

    def __init__(self, environment: Environment, runner: LocalRunner | WorkerRunner) -> None:
        self._environment, self._runner = environment, runner
        self._engine: Engine | None = None
        self._planned = False
        runner.register_message("plan", self._on_plan)
        runner.register_message("end", self._on_end)

    @property
    def is_planned(self) -> bool:
        """Whether a control has sent a plan. If not, locust was started by hand."""
        return self._planned

    def use(self, engine: Engine) -> None:
        """Let the users send with ``engine``, without a plan."""
        self.close()
        self._engine, self._planned = engine, False

    def serve(self) -> bool:
        """Run one user: send its requests of the plan, or one without a plan. Returns whether there was a plan."""
        engine = self._running_engine()
        if self._planned:
            engine.serve()
        else:
            engine.send_next()
        return self._planned

    def tell_locust(self, request: PaymentRequest, latency: float, outcome: PaymentOutcome) -> None:
        """Feeds locust's own statistics for its report and web page. The verdict does not use them."""
        self._environment.events.request.fire(  # type: ignore[no-untyped-call]
            request_type=request.method,
            name=request.route,
            response_time=latency * 1000,
            response_length=outcome.length,
            exception=outcome.fault and Exception(outcome.fault.text),
            context={},
        )

    def close(self) -> None:
        if self._engine:
            self._engine.close()

    def _on_plan(self, msg: Message, **_: Any) -> None:
        self.close()
        workers = msg.data["workers"]
        self._engine = Engine(
            LoadPlan.from_message(msg.data["plan"]),
            worker=workers.index(self._runner.client_id),
            workers=len(workers),
            began=time.perf_counter() + msg.data["start_in"],
            observer=self.tell_locust,
        )
        self._planned = True
        gevent.spawn(self._report, self._engine)

    def _on_end(self, msg: Message, **_: Any) -> None:
        self._running_engine().end_at(msg.data["end"])

    def _running_engine(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("a plan comes before anything else")
        return self._engine

    def _report(self, engine: Engine) -> None:
        while engine is self._engine:
            gevent.sleep(REPORT_SECONDS)
            self._runner.send_message("report", engine.take_report())
