"""The payment scenario for locust itself.

    locust -f loadtest/locustfile.py --env dev

opens locust's web page: each user makes one signed payment a second. With ``--worker --master-host HOST`` the same file
makes this machine a worker of a distributed gate (``python -m loadtest.gate --remote-workers N``).
"""

import argparse
import sys
import time
from typing import Any

from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import LocalRunner, WorkerRunner

from environments import environment as settings_of
from loadtest.access import platform_output
from loadtest.engine import Engine, LoadPlan
from loadtest.result import GateError
from loadtest.worker import PaymentUser, Worker
from pipeline.output import say

__all__ = ["PaymentUser"]

MOST_WORKERS = 1_000
"""Workers that are started by hand come and go. Each sends the payments of its own number among so many."""


def add_options(parser: LocustArgumentParser) -> None:
    parser.add_argument(
        "--env", default="dev", help="environment whose candidate stage is loaded, unless there is a host"
    )
    parser.add_argument("--unsigned", action="store_true", help="send requests without an AWS signature")


def equip(environment: Any, **_: Any) -> None:
    """Give each process that has users its ``Worker``."""
    if isinstance(environment.runner, LocalRunner | WorkerRunner):
        environment.payments = Worker(environment, environment.runner)


def prepare(environment: Any, **_: Any) -> None:
    """Without a plan from a gate: prepare to send one payment at a time, when a user asks for it."""
    worker: Worker | None = getattr(environment, "payments", None)
    if worker and not worker.is_planned:
        worker.use(_engine_by_hand(environment, environment.parsed_options, worker))


def _engine_by_hand(environment: Environment, options: argparse.Namespace, worker: Worker) -> Engine:
    settings = settings_of(options.env)
    try:
        url = environment.host or platform_output(settings, "CandidateApiUrl")
    except GateError as trouble:
        say(str(trouble), sys.stderr)
        sys.exit(trouble.code)
    plan = LoadPlan.of(settings.gate, url, signed=not options.unsigned)
    worker_index = getattr(environment.runner, "worker_index", 0)
    return Engine(
        plan, worker=worker_index, workers=MOST_WORKERS, began=time.perf_counter(), observer=worker.tell_locust
    )


events.init_command_line_parser.add_listener(add_options)  # type: ignore[no-untyped-call]
events.init.add_listener(equip)  # type: ignore[no-untyped-call]
events.test_start.add_listener(prepare)  # type: ignore[no-untyped-call]
