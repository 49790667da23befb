"""Whether the candidate is at fault when clients lose requests: a few requests to its own stage.

A loss on the production stage may be stable's, or a trouble of the environment that hits both versions. The stage of
the candidate reaches the candidate alone, and hurts no client. It is asked only when clients lose more than their
budget, so that a sound release has no such requests in its metrics. The role of the load test may call it, because the
load gate does.
"""

import math
import time
from collections.abc import Callable
from enum import Enum, auto
from itertools import count

import gevent

from loadtest.client import PaymentClient
from loadtest.engine import LoadPlan
from loadtest.scenario import Kind, PaymentRequest, Scenario
from loadtest.signing import signer_for
from loadtest.target import Target

REQUESTS = 21
SECONDS = 2.0
"""The time over which they are sent, so that the production stage has as many answers to compare with."""
SIGNIFICANCE = 0.001
FEWEST_LOSSES = 3
"""With fewer meanwhile on the production stage, the losses are over."""

Counts = tuple[int, int]
"""Failed requests, and right answers."""


class Fault(Enum):
    """Who loses the requests."""

    CANDIDATE = auto()
    EVERYBODY = auto()
    OVER = auto()


def at_fault(probe: Callable[[], Counts], production: Callable[[], Counts]) -> Fault:
    """Compare the candidate's stage with the production stage while ``probe`` runs."""
    from scipy.stats import fisher_exact  # it takes a second to load, and most traffic loses nothing

    before = production()
    bad, right = probe()
    lost, answered = (after - earlier for after, earlier in zip(production(), before, strict=True))
    if fisher_exact([[bad, right], [lost, answered]], alternative="greater").pvalue < SIGNIFICANCE:
        return Fault.CANDIDATE
    return Fault.EVERYBODY if lost >= FEWEST_LOSSES else Fault.OVER


def probe(plan: LoadPlan) -> Counts:
    """Send ``REQUESTS`` of ``plan`` and count how they ended."""
    target = Target.parse(plan.url)
    signer = signer_for(target.host) if plan.signed else None
    client = PaymentClient(target, signer, concurrency=REQUESTS, timeout=plan.timeout)
    run = f"{plan.run_id}-{time.time_ns()}"

    def send(number: int, request: PaymentRequest) -> bool:
        gevent.sleep(number * SECONDS / REQUESTS)
        return client.send(request, f"{run}-{number}").fault is None

    try:
        sent = [gevent.spawn(send, number, request) for number, request in enumerate(welcome(plan))]
        right = sum(each.get() for each in sent)
    finally:
        client.close()
    return REQUESTS - right, right


def welcome(plan: LoadPlan) -> list[PaymentRequest]:
    """``REQUESTS`` of ``plan`` that no sound version answers with 4xx, about as many to each route. The functions count
    4xx by version, and stable's would lack those of the probe: a trouble of both would look like the candidate's."""
    scenario, most = Scenario(plan.mix, plan.seed), math.ceil(REQUESTS / len(plan.mix))
    chosen: dict[str, list[PaymentRequest]] = {route: [] for route, _ in plan.mix}
    for request in (scenario.request(index) for index in count()):
        fits = request.kind is Kind.ORDINARY and not request.is_about_one
        if fits and len(chosen[request.route]) < most:
            chosen[request.route].append(request)
        if sum(map(len, chosen.values())) == REQUESTS:
            break
    return [request for of_route in chosen.values() for request in of_route]
