"""The control of the load generator: locust's local runner, or its master with worker processes here and on other
machines."""

import logging
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gevent
from locust.html import get_html_report
from locust.rpc import Message
from locust.runners import LocalRunner, MasterRunner
from locust.stats import stats_history

from loadtest.engine import LoadPlan
from loadtest.health import Health
from loadtest.options import Workforce
from loadtest.result import ExitCode, GateError
from loadtest.samples import Samples
from loadtest.schedule import Schedule
from loadtest.worker import REPORT_SECONDS, PaymentEnvironment, PaymentUser, Worker
from pipeline.output import say

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
START_IN_SECONDS = 1.0
"""The time from the plan to the first request, in which all workers spawn their users."""
PATIENCE_SECONDS = 60.0
"""The time in which workers on this machine must connect."""
REMOTE_PATIENCE_SECONDS = 300.0
"""The time in which workers on other machines must connect. These machines may still have to start."""


def _is_trouble(record: logging.LogRecord) -> bool:
    """locust logs this error when a user ends by itself, as ours do. By its own comment, locust then ignores it."""
    return "didn't have proper args" not in record.msg


class Generator:
    """A load run in progress."""

    def __init__(self, plan: LoadPlan, workforce: Workforce) -> None:
        logging.getLogger("locust").setLevel(logging.WARNING)
        logging.getLogger("locust.runners").addFilter(_is_trouble)
        self._plan = plan
        self._schedule = Schedule(rate=plan.rate, ramp=plan.ramp, seed=plan.seed)
        self._children: list[subprocess.Popen[bytes]] = []
        self._began = 0.0
        self._end = math.inf
        self.samples = Samples()
        self.health = Health()
        self.environment = PaymentEnvironment(user_classes=[PaymentUser], host=plan.url)
        self._runner: LocalRunner | MasterRunner
        if workforce.is_alone:
            self._runner = self.environment.create_local_runner()
            self.environment.payments = Worker(self.environment, self._runner)
            self._workers = [self._runner.client_id]
        else:
            self._runner = self.environment.create_master_runner(workforce.bind, workforce.port)
            self._workers = self._gather(self._runner, workforce)
        self._runner.register_message("report", self._on_report)
        gevent.spawn(stats_history, self._runner)

    def start(self) -> None:
        """Begin the load; returns at once."""
        self._began = time.perf_counter() + START_IN_SECONDS
        message = {"plan": self._plan.to_message(), "workers": self._workers, "start_in": START_IN_SECONDS}
        self._runner.send_message("plan", message)
        users = self._plan.concurrency * len(self._workers)
        self._runner.start(users, spawn_rate=users)

    def count_before(self, end: float) -> int:
        """The number of all requests that are due before ``end`` seconds into the run."""
        return self._schedule.count_before(end)

    @property
    def elapsed(self) -> float:
        """Seconds since the run's beginning."""
        return time.perf_counter() - self._began

    def end_at(self, end: float) -> None:
        """Send nothing that is due ``end`` seconds into the run or later. Requests under way may finish."""
        self._end = end
        self._runner.send_message("end", {"end": end})

    def finish(self, patience: float) -> int:
        """Send nothing more, wait up to ``patience`` seconds for requests under way, and return the number sent."""
        end = min(round(max(self.elapsed, 0.0), 3), self._end)
        self.end_at(end)
        sent = self.count_before(end)
        deadline = time.perf_counter() + patience + 2 * REPORT_SECONDS
        while self.samples.count_before(end) < sent and time.perf_counter() < deadline:
            gevent.sleep(REPORT_SECONDS / 5)
        return sent

    @property
    def worker_count(self) -> int:
        return len(self._workers)

    def locust_page(self) -> str:
        """locust's own report of the run (HTML)."""
        page: str = get_html_report(self.environment, show_download_link=False)  # type: ignore[no-untyped-call]
        return page

    def check(self) -> None:
        """Raise ``GateError`` if a worker has died, because its share of the requests is missing."""
        if isinstance(self._runner, MasterRunner):
            alive = {client.id for client in self._runner.clients.all if client.state != "missing"}
            lost = len(set(self._workers) - alive)
            if lost or any(child.poll() is not None for child in self._children):
                raise GateError(
                    ExitCode.GENERATOR_DIED,
                    f"{max(lost, 1)} of {len(self._workers)} load workers died, and their share of the load is missing",
                )

    def close(self) -> None:
        """Stop at once and free everything."""
        self._runner.quit()
        if hasattr(self.environment, "payments"):
            self.environment.payments.close()
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.wait()

    def _gather(self, master: MasterRunner, workforce: Workforce) -> list[str]:
        """Start the local workers and wait until all are connected. Returns their ids, sorted."""
        where = ["--master-host", "127.0.0.1", "--master-port", str(master.server.port)]
        command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--worker", *where, "--loglevel", "WARNING"]
        self._children = [
            subprocess.Popen(command, cwd=LOCUSTFILE.parents[1], process_group=0) for _ in range(workforce.processes)
        ]
        if workforce.remote:
            say(f"waiting for {workforce.remote} workers at {workforce.bind}:{master.server.port}")
        wanted = workforce.processes + workforce.remote
        deadline = time.perf_counter() + (REMOTE_PATIENCE_SECONDS if workforce.remote else PATIENCE_SECONDS)
        while (found := len(master.clients.ready)) < wanted:
            if time.perf_counter() > deadline or any(child.poll() is not None for child in self._children):
                self.close()
                raise GateError(ExitCode.GENERATOR_DIED, f"only {found} of {wanted} load workers came")
            gevent.sleep(0.1)
        return sorted(client.id for client in master.clients.ready)

    def _on_report(self, msg: Message, **_: Any) -> None:
        self.samples.merge(Samples.from_message(msg.data["samples"]))
        self.health.merge(Health.from_message(msg.data["health"]))
