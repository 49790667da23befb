"""Judges a run: three verdicts per route, each with its proof.

Let ``over`` of ``n`` requests be slower than the limit. If the true p99 were above the limit, each request would be
slower than it with probability above 1 %, so ``over`` would be at least a Binomial(n, 0.01). The route

* passes when so few slow ones would then have a probability of at most alpha: the one-sided upper confidence bound of
  the p99, an order statistic, is at most the limit;
* fails when so many would have a probability of at most alpha with a p99 at the limit: the lower bound is above it;
* is undecided in between, and with too few samples to pass even without a slow one (298 at 95 %).

No distribution is assumed. A run that may be looked at several times spends its alpha over the looks, so that all
looks together err with at most alpha (Bonferroni); the error budget is judged in the same way.

Source: David and Nagaraja, "Order Statistics", 3rd edition, 7.1 (distribution-free confidence intervals for quantiles).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, bdtrc

from environments import GateSettings

SLOW_SHARE = 0.01
"""The share of requests that may be slower than the 99th percentile."""
GROWTH = 1.5
"""Each look has half as many samples again as the one before: few looks, so that none is left with little."""


class GateVerdict(StrEnum):
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    INVALID = "invalid"
    """The load did not reach the rate, or the generator was in trouble: the latencies prove nothing."""


def most_over(n: int, alpha: float, share: float = SLOW_SHARE) -> int:
    """How many of ``n`` may be over the limit while it is still proven, at ``alpha``, that at most ``share`` of all
    are; -1 when ``n`` is too small to prove it at all."""
    return bisect_right(range(n), alpha, key=lambda over: float(bdtr(over, n, share))) - 1


def fewest_over(n: int, alpha: float, share: float = SLOW_SHARE) -> int:
    """The smallest number of ``n`` over the limit that proves, at ``alpha``, that more than ``share`` of all are."""
    return 1 + bisect_left(range(n), -alpha, key=lambda below: -float(bdtrc(below, n, share)))


def samples_needed(alpha: float, share: float = SLOW_SHARE) -> int:
    """The smallest number of samples that can prove the limit, when none is over it."""
    return int(np.ceil(np.log(alpha) / np.log1p(-share)))


@dataclass(frozen=True, kw_only=True)
class RouteJudgement:
    """The verdict on one route and the numbers it follows from. Latencies in ms; ``None`` without enough samples."""

    route: str
    verdict: GateVerdict
    reasons: list[str]
    limit_ms: float
    samples: int
    over_limit: int
    allowed_over: int
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    p99_lower_ms: float | None
    p99_upper_ms: float | None
    max_ms: float | None
    errors: int
    faults: dict[str, int] = field(default_factory=dict)


def judge_route(
    route: str,
    latencies_us: NDArray[np.uint32],
    faults: dict[str, int],
    *,
    limit_ms: float,
    error_budget: float,
    alpha: float,
) -> RouteJudgement:
    """Judge a route by the latencies of its right answers and the count of wrong ones, by reason."""
    ordered = np.sort(latencies_us)
    n, errors = len(ordered), sum(faults.values())
    over = n - int(np.searchsorted(ordered, limit_ms * 1000, side="right"))
    allowed, proven_slow = most_over(n, alpha), fewest_over(n, alpha)

    def rank(position: int) -> float | None:
        """The latency at ``position`` (from 1) of the ordered ones."""
        return float(ordered[position - 1]) / 1000 if 1 <= position <= n else None

    lower = rank(n - proven_slow + 1)
    upper = rank(n - allowed) if allowed >= 0 else None
    sure, counted = f"with {1 - alpha:.2%} confidence", f"{over} of {n} over {limit_ms:g} ms"
    if n == 0:
        latency = (GateVerdict.INCONCLUSIVE, "not one right answer to measure")
    elif over <= allowed:
        latency = (GateVerdict.PASS, f"p99 <= {upper:.1f} ms {sure} ({counted}, {allowed} allowed)")
    elif over >= proven_slow:
        latency = (GateVerdict.FAIL, f"p99 >= {lower:.1f} ms {sure} ({counted}, {max(allowed, 0)} allowed)")
    elif allowed < 0:
        latency = (
            GateVerdict.INCONCLUSIVE,
            f"{n} answers are too few to prove anything: {samples_needed(alpha)} needed ({counted})",
        )
    else:
        latency = (
            GateVerdict.INCONCLUSIVE,
            f"undecided: {counted}; {allowed} at most prove p99 <= {limit_ms:g} ms, {proven_slow} the contrary",
        )

    judged, total = [latency], n + errors
    if errors:
        share = f"{errors} of {total} are errors ({errors / total:.2%}, budget {error_budget:.2%})"
        proven = errors >= fewest_over(total, alpha, error_budget)
        over_budget = GateVerdict.FAIL if proven else GateVerdict.INCONCLUSIVE
        judged.append(
            (
                over_budget if errors > error_budget * total else GateVerdict.PASS,
                f"{share}: {', '.join(f'{count} x {reason}' for reason, count in faults.items())}",
            )
        )
    judged.sort(key=lambda each: gravity(each[0]))

    return RouteJudgement(
        route=route,
        verdict=judged[0][0],
        reasons=[reason for _, reason in judged],
        limit_ms=limit_ms,
        samples=n,
        over_limit=over,
        allowed_over=allowed,
        p50_ms=rank(int(np.ceil(n * 0.5))),
        p90_ms=rank(int(np.ceil(n * 0.9))),
        p99_ms=rank(int(np.ceil(n * 0.99))),
        p99_lower_ms=lower,
        p99_upper_ms=upper,
        max_ms=rank(n),
        errors=errors,
        faults=faults,
    )


def worst(verdicts: Sequence[GateVerdict]) -> GateVerdict:
    """One verdict for several: it passes only if all do. None at all is not a pass."""
    return min(verdicts, key=gravity, default=GateVerdict.INCONCLUSIVE)


def gravity(verdict: GateVerdict) -> int:
    """0 for the gravest verdict."""
    return (GateVerdict.INVALID, GateVerdict.FAIL, GateVerdict.INCONCLUSIVE, GateVerdict.PASS).index(verdict)


def hopeless(judgement: RouteJudgement, *, most_samples: int, error_budget: float, alpha: float) -> bool:
    """Whether the route can't pass any more, even if every further request, up to ``most_samples``, were perfect."""
    too_slow = judgement.over_limit > most_over(most_samples, alpha)
    return too_slow or judgement.errors > error_budget * most_samples


def look_times(settings: GateSettings) -> list[float]:
    """When the run is judged, in measured seconds (whole milliseconds): after ``duration_seconds``, but not before the
    rarest route has enough samples to pass; while undecided after half as long again, and so on; at last at
    ``max_seconds``."""
    rarest = settings.rate * min(share for _, share in settings.mix) / sum(share for _, share in settings.mix)
    first = max(settings.duration_seconds, (samples_needed((1 - settings.confidence) / 2) + 1) / rarest)
    times = [min(first, settings.max_seconds)]
    while times[-1] < settings.max_seconds:
        times.append(min(times[-1] * GROWTH, settings.max_seconds))
    return [round(time, 3) for time in times]


def alphas(settings: GateSettings) -> list[float]:
    """The error probability that each look may spend, all together ``1 - confidence``: the first, which most runs end
    with, half of it, and the others equal parts of the rest. A single look has all of it."""
    alpha, later = 1 - settings.confidence, len(look_times(settings)) - 1
    return [alpha / 2, *[alpha / 2 / later] * later] if later else [alpha]
