"""From samples to a result: the judgement of a whole run at one moment."""

import time
from dataclasses import dataclass

from loadtest.health import Health
from loadtest.result import ExitCode, GeneratorHealth, Result, Warmth
from loadtest.samples import Samples, histogram
from loadtest.verdict import RouteJudgement, Verdict, judge_route, worst
from pipeline.environments import GateSettings

LEAST_SHARE_OF_RATE = 0.95
BUSY_CPU_SHARE = 0.9
"""From this share of a core on, latencies may be the generator's own."""
LATE_SHARE_OF_LIMIT = 0.2
"""An event loop late by more than this share of the limit (p99) can't judge it."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Until when a run is judged (seconds into it), as which look, and with how much of the error probability."""

    end: float
    look: int
    alpha: float
    aborted: bool = False


def judge_routes(samples: Samples, settings: GateSettings, moment: Moment) -> list[RouteJudgement]:
    """The judgement of each route, on requests due after the warm-up and before the moment's end."""
    begin = settings.warm_up_seconds
    return [
        judge_route(
            route,
            samples.latencies(0, route, begin, moment.end),
            samples.faults(0, route, begin, moment.end),
            limit_ms=settings.limit_ms,
            error_budget=settings.error_budget,
            alpha=moment.alpha,
        )
        for route, _ in settings.mix
    ]


def conclude(
    samples: Samples,
    health: Health,
    settings: GateSettings,
    moment: Moment,
    *,
    environment: str,
    url: str,
    run_id: str,
    started: str,
    first_ms: dict[str, float],
) -> Result:
    """The result of a run that ended at ``moment``. ``first_ms``: the latency of each route's very first answer."""
    routes = judge_routes(samples, settings, moment)
    generator = _generator_health(samples, health, settings, moment)
    verdict, reasons = _overall(routes, generator, settings)
    broken = [r.route for r in routes if r.errors and not r.samples]
    if broken:
        reasons.insert(0, f"every request to {', '.join(broken)} failed")
    return Result(
        environment=environment,
        url=url,
        run_id=run_id,
        started=started,
        verdict=verdict,
        exit_code=ExitCode.BROKEN_ROUTE if broken and verdict is Verdict.FAIL else _EXIT_CODES[verdict],
        reasons=reasons,
        limit_ms=settings.limit_ms,
        confidence=settings.confidence,
        alpha=moment.alpha,
        error_budget=settings.error_budget,
        rate=settings.rate,
        warm_up_seconds=settings.warm_up_seconds,
        measured_seconds=moment.end - settings.warm_up_seconds,
        looks=moment.look,
        aborted=moment.aborted,
        routes=routes,
        warmth={route: _warmth(samples, route, settings, first_ms) for route, _ in settings.mix},
        versions=_versions(samples),
        generator=generator,
        histograms={
            route: histogram(samples.latencies(0, route, settings.warm_up_seconds, moment.end)).encode().decode()
            for route, _ in settings.mix
        },
    )


_EXIT_CODES = {
    Verdict.PASS: ExitCode.PASS,
    Verdict.FAIL: ExitCode.FAIL,
    Verdict.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
    Verdict.INVALID: ExitCode.INVALID,
}


def _overall(
    routes: list[RouteJudgement], generator: GeneratorHealth, settings: GateSettings
) -> tuple[Verdict, list[str]]:
    """The verdict of the run. A slow generator can only make latencies look worse: it may void a failure, no pass. A
    system too slow for the rate has failed if that is proven, and otherwise the run says nothing."""
    verdict = worst([r.verdict for r in routes])
    reasons = [f"{r.route}: {reason}" for r in routes for reason in r.reasons]
    too_slow = generator.achieved_rate < LEAST_SHARE_OF_RATE * generator.target_rate
    busy = generator.cpu_share > BUSY_CPU_SHARE or generator.lag_p99_ms > LATE_SHARE_OF_LIMIT * settings.limit_ms
    if too_slow:
        cause = "the generator was too slow" if busy else "the system was too slow"
        reasons.insert(0, f"{generator.achieved_rate:.1f} of {generator.target_rate:g} requests/s achieved: {cause}")
    if busy:
        reasons.insert(
            0,
            f"the generator had trouble of its own (CPU {generator.cpu_share:.0%} of a core, event loop late by "
            f"{generator.lag_p99_ms:.1f} ms): give it more processes or a lower rate",
        )
    if (busy and verdict is not Verdict.PASS) or (too_slow and verdict is not Verdict.FAIL):
        verdict = Verdict.INVALID
    return verdict, reasons


def _generator_health(samples: Samples, health: Health, settings: GateSettings, moment: Moment) -> GeneratorHealth:
    begin = settings.warm_up_seconds
    finished, last = samples.finished(begin, moment.end)
    return GeneratorHealth(
        target_rate=settings.rate,
        achieved_rate=finished / (max(last, moment.end) - begin),
        cpu_share=health.cpu_share,
        lag_p99_ms=health.lag_ms(0.99),
        lag_max_ms=health.lag_ms(1.0),
        reconnects=samples.reconnects,
    )


def _warmth(samples: Samples, route: str, settings: GateSettings, first_ms: dict[str, float]) -> Warmth:
    latencies = samples.latencies(0, route, 0.0, settings.warm_up_seconds)
    slowest = float(latencies.max()) / 1000 if len(latencies) else None
    return Warmth(first_ms=first_ms.get(route), slowest_ms=slowest, requests=len(latencies))


def _versions(samples: Samples) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (_, route, version), count in sorted(samples.versions.items()):
        found.setdefault(route, {})[version] = count
    return found


def timestamp() -> str:
    """Now, in UTC, as the reports write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
