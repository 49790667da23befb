"""One load generator in a process of its own: ``python -m benchmarks._load_generators KIND URL …``; prints JSON.

``plain``: locust's FastHttpUser with a POST and a check of the answer's status and body, nothing else. ``gate`` and
``gate-signed``: this project's engine. ``paced``: FastHttpUser at a target rate, as locust's documentation does it.
"""

import locust  # isort: skip  First: it makes the standard library cooperative before anything uses it.

import json
import sys
import time
from collections.abc import Callable

import gevent
from locust.env import Environment

from environments import GateSettings
from loadtest.engine import LoadPlan
from loadtest.generator import Generator
from loadtest.options import Workforce
from names import Function

USERS = 32
SETTLE_SECONDS, MEASURE_SECONDS = 1.5, 4.0
BODY = {"customer_id": "load-00001", "amount": 10.5, "currency": "USD", "card_number": "4242420000000010"}


class PlainUser(locust.FastHttpUser):
    wait_time = locust.constant(0)

    @locust.task
    def validate(self) -> None:
        with self.client.post(Function.VALIDATION.path, json=BODY, catch_response=True) as answer:
            if answer.status_code != 200 or not answer.json().get("valid"):
                answer.failure("wrong")


def flat_out(kind: str, url: str) -> dict[str, float]:
    """The most that one process can send: requests a second, and CPU time per request (microseconds)."""
    if kind == "plain":
        PlainUser.host = url
        environment = Environment(user_classes=[PlainUser])
        runner = environment.create_local_runner()
        runner.start(USERS, spawn_rate=USERS)
        found = _measure(lambda: int(environment.stats.total.num_requests))
        runner.quit()
        return found
    settings = GateSettings(mix=((Function.VALIDATION.path, 1),), rate=50_000, concurrency=USERS)
    generator = Generator(LoadPlan.of(settings, url, signed=kind == "gate-signed"), Workforce())
    generator.start()
    gevent.sleep(1.0)
    found = _measure(lambda: int(generator.environment.stats.total.num_requests))
    generator.close()
    return found


def _measure(count: Callable[[], int]) -> dict[str, float]:
    gevent.sleep(SETTLE_SECONDS)
    cpu, wall, done = time.process_time(), time.perf_counter(), count()
    gevent.sleep(MEASURE_SECONDS)
    cpu, wall, done = time.process_time() - cpu, time.perf_counter() - wall, count() - done
    return {"rate": done / wall, "cpu_us": cpu / done * 1e6}


def paced(url: str, rate: float, users: int, seconds: float) -> dict[str, float]:
    """locust's own p99 (ms), at ``rate`` requests a second by ``constant_throughput``."""
    PlainUser.host = url
    PlainUser.wait_time = locust.constant_throughput(rate / users)
    environment = Environment(user_classes=[PlainUser])
    runner = environment.create_local_runner()
    runner.start(users, spawn_rate=users)
    gevent.sleep(seconds)
    total = environment.stats.total
    found = {"p99_ms": float(total.get_response_time_percentile(0.99)), "requests": float(total.num_requests)}
    runner.quit()
    return found


if __name__ == "__main__":
    kind, url, *numbers = sys.argv[1:]
    if kind == "paced":
        print(json.dumps(paced(url, float(numbers[0]), int(numbers[1]), float(numbers[2]))))
    else:
        print(json.dumps(flat_out(kind, url)))
