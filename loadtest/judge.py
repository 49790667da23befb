"""From samples to a result: the judgement of a whole run at one moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from environments import GateSettings
from loadtest.baseline import compare
from loadtest.health import Health
from loadtest.p99 import GateVerdict, RouteJudgement, gravity, judge_route, worst
from loadtest.result import ExitCode, GeneratorHealth, ProcessorTime, Result, Subject, Warmth
from loadtest.samples import Samples, histogram
from loadtest.timeline import timeline

ERRORS_OF_A_BROKEN_ROUTE = 5
"""After so many answers without a right one, the route counts as broken."""
LEAST_SHARE_OF_RATE = 0.95
BUSY_CPU_SHARE = 0.9
"""Above this share of a core, the latencies may come from the generator."""
LATE_SHARE_OF_LIMIT = 0.2
"""If the event loop's p99 lag is above this share of the limit, the generator can't judge the limit."""
IDLE_CPU_SHARE = 0.5
"""A generator that uses less of its core, and is late, was kept waiting."""

_EXIT_CODES = {
    GateVerdict.PASS: ExitCode.PASS,
    GateVerdict.FAIL: ExitCode.FAIL,
    GateVerdict.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
    GateVerdict.INVALID: ExitCode.INVALID,
}


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One judgement of a run: its end (seconds into the run), its number (look), its share of the error probability."""

    end: float
    look: int
    alpha: float
    aborted: bool = False


@dataclass(frozen=True, kw_only=True)
class RunMeasurements:
    """The measurements. ``machine_cpu_share``: the load of this machine by all its processes, and ``others_cpu_share``
    by other ones than load test and API in the busiest seconds (``None``: the API is elsewhere). ``expected``: requests
    that were due. ``first_ms``: latency of each route's first answer. ``seed``: of the payments that were sent.
    ``machine``: the class of the machine that was measured. ``promoted``: the last promoted releases, or why they are
    not known. ``again``: the machine was too busy when the gate measured before."""

    samples: Samples
    health: Health
    machine_cpu_share: float
    others_cpu_share: float | None
    expected: int
    first_ms: dict[str, float]
    seed: int
    machine: str
    promoted: Sequence[Mapping[str, Any]] | str
    again: bool = False


def judge_routes(samples: Samples, settings: GateSettings, moment: Moment) -> list[RouteJudgement]:
    """The judgement of each of the candidate's routes, on requests due between the warm-up and the moment's end."""
    begin = settings.warm_up_seconds
    return [
        judge_route(
            route,
            samples.latencies(route, begin, moment.end),
            samples.faults(route, begin, moment.end),
            limit_ms=settings.limit_of(route),
            error_budget=settings.error_budget,
            alpha=moment.alpha,
        )
        for route, _ in settings.mix
    ]


def conclude(measured: RunMeasurements, settings: GateSettings, moment: Moment, subject: Subject) -> Result:
    """The result of a run that ended at ``moment``."""
    samples, begin = measured.samples, settings.warm_up_seconds
    routes = judge_routes(samples, settings, moment)
    generator = _generator_health(measured, settings, moment)
    busy = _busy(generator, settings)
    verdict, reasons = _overall(routes, generator, settings, busy)
    was_busy = verdict is GateVerdict.INVALID and bool(busy)
    if was_busy:
        reasons.insert(0, f"{busy}{'; it was busy when it was measured before, too' if measured.again else ''}")
    broken = [route.route for route in routes if route.errors >= ERRORS_OF_A_BROKEN_ROUTE and not route.samples]
    if broken:
        reasons.insert(0, f"every request to {', '.join(broken)} failed")
    comparison = compare(
        routes, measured.promoted, machine=measured.machine, rate=settings.rate, margin=settings.slower_share
    )
    # A warning comes first, because a pass has nothing graver to say.
    reasons.insert(0 if verdict is GateVerdict.PASS and comparison.slower else len(reasons), comparison.text)
    return Result(
        subject=subject,
        verdict=verdict,
        exit_code=ExitCode.BROKEN_ROUTE if broken and verdict is GateVerdict.FAIL else _EXIT_CODES[verdict],
        reasons=reasons,
        limit_ms=settings.limit_ms,
        confidence=settings.confidence,
        alpha=moment.alpha,
        error_budget=settings.error_budget,
        rate=settings.rate,
        seed=measured.seed,
        warm_up_seconds=begin,
        measured_seconds=round(moment.end - begin, 3),
        looks=moment.look,
        aborted=moment.aborted,
        routes=routes,
        processor={route: _processor_time(samples, route, begin, moment.end) for route, _ in settings.mix},
        warmth={route: _warmth(samples, route, begin, measured.first_ms) for route, _ in settings.mix},
        versions=samples.versions_by_route(),
        generator=generator,
        machine=measured.machine,
        comparison=comparison,
        machine_was_busy=was_busy,
        timeline=timeline(samples, [route for route, _ in settings.mix], moment.end),
        histograms={
            route: histogram(samples.latencies(route, begin, moment.end)).encode().decode() for route, _ in settings.mix
        },
    )


def _overall(
    routes: list[RouteJudgement], generator: GeneratorHealth, settings: GateSettings, busy: str | None
) -> tuple[GateVerdict, list[str]]:
    """The verdict of the run, and its reasons with the gravest first. ``busy``: how the machine was.

    A generator in trouble and a busy machine can only make latencies look worse: they void all but a pass, and not
    wrong answers. When the rate was not reached, the run fails only if the failure is proven; otherwise it is invalid,
    because the load was too low.
    """
    verdict = worst([route.verdict for route in routes])
    gravest_first = sorted(routes, key=lambda route: gravity(route.verdict))
    reasons = [f"{route.route}: {reason}" for route in gravest_first for reason in route.reasons]

    in_trouble = generator.cpu_share > BUSY_CPU_SHARE or _is_late(generator, settings)
    too_slow = generator.achieved_rate < LEAST_SHARE_OF_RATE * generator.target_rate
    if too_slow:
        cause = "the generator was too slow" if in_trouble else "the system was too slow"
        reasons.insert(0, f"{generator.achieved_rate:.1f} of {generator.target_rate:g} requests/s achieved: {cause}")
    if generator.unaccounted:
        reasons.insert(0, f"{generator.unaccounted} requests were due, and nothing is known of them")
    if in_trouble:
        reasons.insert(
            0,
            f"the generator had trouble of its own (CPU {generator.cpu_share:.0%} of a core, event loop late by "
            f"{generator.lag_p99_ms:.1f} ms at p99): give it more processes or a lower rate",
        )
    unproven = (too_slow or generator.unaccounted) and verdict is not GateVerdict.FAIL
    late = (in_trouble or (busy and not _answers_wrongly(routes, settings))) and verdict is not GateVerdict.PASS
    return (GateVerdict.INVALID if unproven or late else verdict), reasons


def _busy(generator: GeneratorHealth, settings: GateSettings) -> str | None:
    """How other programs kept API or load test from running; ``None`` if they did not."""
    others = generator.others_cpu_share
    if others is not None:
        text = f"this machine was busy: other programs than API and load test took {others:.0%} of its processors"
        return f"{text} ({settings.others_share:.0%} allowed)" if others > settings.others_share else None
    # The API is elsewhere, so nothing but other programs, or the machine's host, keeps the load test from running.
    if _is_late(generator, settings) and generator.cpu_share < IDLE_CPU_SHARE:
        return f"this machine was busy: the load test waited for it, and used {generator.cpu_share:.0%} of a core"
    return None


def _is_late(generator: GeneratorHealth, settings: GateSettings) -> bool:
    return generator.lag_p99_ms > LATE_SHARE_OF_LIMIT * settings.limit_ms


def _answers_wrongly(routes: list[RouteJudgement], settings: GateSettings) -> bool:
    """Whether a route fails by wrong answers. A busy machine makes answers late, and none wrong."""
    return any(
        route.verdict is GateVerdict.FAIL
        and route.errors - route.faults.get("timeout", 0) > settings.error_budget * (route.samples + route.errors)
        for route in routes
    )


def _generator_health(measured: RunMeasurements, settings: GateSettings, moment: Moment) -> GeneratorHealth:
    samples, health, begin = measured.samples, measured.health, settings.warm_up_seconds
    return GeneratorHealth(
        target_rate=settings.rate,
        achieved_rate=samples.ended(begin, moment.end) / (moment.end - begin),
        unaccounted=0 if moment.aborted else measured.expected - samples.count_before(moment.end),
        cpu_share=health.cpu_share,
        lag_p99_ms=health.lag_ms(0.99),
        lag_max_ms=health.lag_ms(1.0),
        machine_cpu_share=measured.machine_cpu_share,
        others_cpu_share=measured.others_cpu_share,
        reconnects=samples.reconnects,
    )


def _processor_time(samples: Samples, route: str, begin: float, end: float) -> ProcessorTime:
    times = samples.processor_times(route, begin, end)
    if not len(times):
        return ProcessorTime(p50_ms=None, p99_ms=None)
    p50, p99 = (float(value) / 1000 for value in np.quantile(times, (0.5, 0.99), method="higher"))
    return ProcessorTime(p50_ms=p50, p99_ms=p99)


def _warmth(samples: Samples, route: str, begin: float, first_ms: dict[str, float]) -> Warmth:
    latencies = samples.latencies(route, 0.0, begin)
    slowest = float(latencies.max()) / 1000 if len(latencies) else None
    return Warmth(first_ms=first_ms.get(route), slowest_ms=slowest, requests=len(latencies))
