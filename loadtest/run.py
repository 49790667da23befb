"""Controls one run: warm-up, measured time, interim judgements (looks), extension until decided, early end."""

from collections.abc import Callable

import gevent

from environments import GateSettings
from loadtest.generator import Generator
from loadtest.judge import Moment, judge_routes
from loadtest.p99 import GateVerdict, RouteJudgement, alphas, hopeless, look_times, worst

POLL_SECONDS = 0.5
ABORT_PATIENCE_SECONDS = 2.0
"""The time for which an early end waits for requests under way, so that they count."""
LEAST_SECONDS = 2.0
"""Measured time before an early end, so that the report of a failure has something to show."""

Progress = Callable[[float, float, list[RouteJudgement]], None]
"""Called now and then with the seconds measured, the seconds planned, and the state of the routes."""


def run(generator: Generator, settings: GateSettings, progress: Progress) -> Moment:
    """Load until the verdict is certain or the time is over. Returns the moment to judge."""
    warm_up, spent = settings.warm_up_seconds, alphas(settings)
    generator.start()
    for look, (measured, alpha) in enumerate(zip(look_times(settings), spent, strict=True), start=1):
        moment = Moment(end=warm_up + measured, look=look, alpha=alpha)
        last_look = look == len(spent)
        if last_look:
            generator.end_at(moment.end)
        aborted = _measure(generator, settings, moment, progress)
        if aborted:
            generator.finish(ABORT_PATIENCE_SECONDS)
            return aborted
        routes = judge_routes(generator.samples, settings, moment)
        if last_look or worst([route.verdict for route in routes]) is not GateVerdict.INCONCLUSIVE:
            generator.end_at(moment.end)
            return moment
    raise AssertionError("a run has at least one look")


def _measure(generator: Generator, settings: GateSettings, moment: Moment, progress: Progress) -> Moment | None:
    """Wait until all requests due before ``moment`` came to an end. Returns the moment of an early abort, if any."""
    expected = generator.count_before(moment.end)
    while generator.samples.count_before(moment.end) < expected:
        if generator.elapsed > moment.end + settings.timeout_seconds + 2:
            return None
        gevent.sleep(POLL_SECONDS)
        generator.check()
        now = round(min(max(generator.elapsed - POLL_SECONDS, 0.0), moment.end), 3)
        so_far = Moment(end=now, look=moment.look, alpha=moment.alpha, aborted=True)
        routes = judge_routes(generator.samples, settings, so_far)
        progress(max(0.0, now - settings.warm_up_seconds), moment.end - settings.warm_up_seconds, routes)
        if now > settings.warm_up_seconds + LEAST_SECONDS and _certain_to_fail(routes, settings):
            return so_far
    return None


def _certain_to_fail(routes: list[RouteJudgement], settings: GateSettings) -> bool:
    shares = dict(settings.mix)
    total = sum(shares.values())
    return any(
        route.verdict is GateVerdict.FAIL
        and hopeless(
            route,
            most_samples=int(settings.rate * settings.max_seconds * shares[route.route] / total) + 1,
            error_budget=settings.error_budget,
            alpha=max(alphas(settings)),
        )
        for route in routes
    )
