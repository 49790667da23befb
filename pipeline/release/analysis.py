"""Is the candidate as good as the stable version? Judged over the same minutes, at each step. Pure.

A difference fails the candidate when it is proven to be larger than a margin. The analysis is *inconclusive* when a
difference is suspicious but no proof, or when there are too few requests. Then the step is held until there are more
data, or until its deadline. So "pass" always rests on data.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from environments import MetricSettings
from pipeline.release.samples import EDGES_MS, Sample, Samples, total
from pipeline.release.statistics import highest_plausible_rate, more_errors, slower, spent

REASONS = 2
"""How many findings a verdict names in one line; the report has them all."""
TAIL = 0.02
"""The slow tail: at most this share of requests."""


class AnalysisVerdict(StrEnum):
    PASS = "pass"  # noqa: S105 - not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits from which on a difference counts."""

    minimum_requests: int = 20
    """With fewer requests of the candidate, on all routes together, no analysis passes."""
    minimum_per_route: int = 5
    significance: float = 0.0001
    """The chance of a false alarm of one test at one step, over all its looks together. A release makes some sixty
    such tests, so at most 0.6 % of sound releases are rejected."""
    suspicion: float = 0.001
    """Under this chance, a difference that is no proof yet holds the step for more data."""
    error_margin: float = 0.001
    """The difference of error rates that the candidate is granted: the load gate's error budget."""
    effect: float = 0.55
    """The chance that a request of the candidate is slower than one of stable, up to which it is granted."""
    latency_margin_ms: float = 20.0
    """Smaller differences of the 90th percentiles do not matter, unless the 99th goes over ``limit_ms``."""
    limit_ms: float = 200.0
    """The load gate's limit for the 99th percentile."""
    slow_margin: float = 0.0025
    """The share of requests in the slow tail that the candidate is granted beyond stable's."""
    slow_margin_alone: float = 0.05
    """The same at 100 %, where stable's requests are those of the step before: latencies of both wander with time."""
    cold_starts: int = 3
    """Slow requests of the candidate that do not count, on each route and at each step: new environments start."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One test's verdict and its reasoning, as people read it."""

    verdict: AnalysisVerdict
    text: str


@dataclass(frozen=True, kw_only=True)
class AnalysisRun:
    """One analysis, as the record keeps it."""

    at: float
    weight: int
    stable: Samples
    candidate: Samples
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> AnalysisVerdict:
        """The worst finding decides."""
        found = {finding.verdict for finding in self.findings}
        grave = (AnalysisVerdict.FAIL, AnalysisVerdict.INCONCLUSIVE)
        return next((verdict for verdict in grave if verdict in found), AnalysisVerdict.PASS)

    @property
    def reasons(self) -> str:
        """The findings that led to the verdict, the first few of them."""
        if self.verdict is AnalysisVerdict.PASS:
            return f"{len(self.findings)} checks passed, {total(self.candidate.values()).requests} requests"
        texts = [finding.text for finding in self.findings if finding.verdict is self.verdict]
        more = [f"and {len(texts) - REASONS} more"] if len(texts) > REASONS else []
        return "; ".join(texts[:REASONS] + more)


@dataclass(frozen=True, kw_only=True)
class AnalysisSummary:
    """The data of an analysis for the charts: all routes together, as ``(stable, candidate)``."""

    at: float
    weight: int
    p90: tuple[float | None, float | None]
    """In milliseconds; ``None`` without requests."""
    errors: tuple[float | None, float | None]
    """In percent of requests; ``None`` without requests."""

    @property
    def has_data(self) -> bool:
        """Whether the candidate had requests."""
        return self.errors[1] is not None

    @classmethod
    def of(cls, run: AnalysisRun) -> "AnalysisSummary":
        stable, candidate = total(run.stable.values()), total(run.candidate.values())
        return cls(
            at=run.at,
            weight=run.weight,
            p90=(_rounded(stable.quantile(0.9)), _rounded(candidate.quantile(0.9))),
            errors=(_percent(stable), _percent(candidate)),
        )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _percent(sample: Sample) -> float | None:
    return _rounded(100 * sample.error_rate) if sample.requests else None


def judge(
    stable: Samples,
    candidate: Samples,
    limits: Limits,
    *,
    metrics: Sequence[MetricSettings] = (),
    look: int = 1,
    same_minutes: bool = True,
) -> tuple[Finding, ...]:
    """Compare the colours. ``look``: how often the data of this step, which grow, were looked at, this time included.

    Without ``same_minutes``, the data of stable are from the minutes before. Error rates can be compared then, and slow
    tails roughly, but not the middle of the latencies, because it depends on the load.
    """
    alpha = spent(limits.significance, look)
    own = (_share(metric, stable, candidate, limits, alpha) for metric in metrics)
    return (*_findings(stable, candidate, limits, alpha, same_minutes), *own)


def _findings(
    stable: Samples, candidate: Samples, limits: Limits, alpha: float, same_minutes: bool
) -> Iterator[Finding]:
    everything = total(candidate.values())
    yield _enough("all routes", everything, limits.minimum_requests)
    yield _errors("all routes", total(stable.values()), everything, limits, alpha)
    slow_margin = limits.slow_margin if same_minutes else limits.slow_margin_alone
    slow = [_Slow.of(stable[route], sample, limits) for route, sample in candidate.items()]
    yield _tail("all routes", sum(slow, start=_Slow()), slow_margin, limits, alpha)
    for (route, sample), tail in zip(candidate.items(), slow, strict=True):
        yield _enough(route, sample, limits.minimum_per_route)
        yield _enough(f"{route}, stable", stable[route], limits.minimum_per_route)
        yield _errors(route, stable[route], sample, limits, alpha)
        yield _tail(route, tail, slow_margin, limits, alpha)
        if same_minutes:
            yield _latency(route, stable[route], sample, limits, alpha)


def _enough(label: str, sample: Sample, minimum: int) -> Finding:
    verdict = AnalysisVerdict.PASS if sample.requests >= minimum else AnalysisVerdict.INCONCLUSIVE
    return Finding(verdict=verdict, text=f"{label}: {sample.requests} requests of the {minimum} that a verdict needs")


def _errors(label: str, stable: Sample, candidate: Sample, limits: Limits, alpha: float) -> Finding:
    counts = (candidate.errors, candidate.requests, stable.errors, stable.requests)
    verdict, p = _rates(counts, limits.error_margin, limits, alpha)
    text = (
        f"{label}: {candidate.errors} of {candidate.requests} failed ({candidate.error_rate:.1%}, "
        f"up to {highest_plausible_rate(candidate.errors, candidate.requests):.1%} possible), "
        f"stable {stable.errors} of {stable.requests} ({stable.error_rate:.1%}), p {p:.2g}"
    )
    return Finding(verdict=verdict, text=text)


@dataclass(frozen=True, kw_only=True)
class _Slow:
    """The slow requests of both versions: those beyond the bound that 2 % of all requests together exceed at most.

    Both versions choose the bound together, so the choice favours neither, and the test stays exact.
    """

    candidate: int = 0
    candidate_of: int = 0
    stable: int = 0
    stable_of: int = 0
    beyond_ms: int | None = None

    @classmethod
    def of(cls, stable: Sample, candidate: Sample, limits: Limits) -> "_Slow":
        both = stable + candidate
        if min(stable.requests, candidate.requests) < limits.minimum_requests:
            return cls()  # the first requests of a version may be its cold starts, and nothing else
        edge = next(i for i in range(1, len(EDGES_MS) + 1) if both.above(i) <= TAIL * both.above(0))
        return cls(
            candidate=max(0, candidate.above(edge) - limits.cold_starts),
            candidate_of=candidate.above(0),
            stable=stable.above(edge),
            stable_of=stable.above(0),
            beyond_ms=EDGES_MS[min(edge, len(EDGES_MS) - 1)],
        )

    def __add__(self, other: "_Slow") -> "_Slow":
        return _Slow(
            candidate=self.candidate + other.candidate,
            candidate_of=self.candidate_of + other.candidate_of,
            stable=self.stable + other.stable,
            stable_of=self.stable_of + other.stable_of,
        )


def _tail(label: str, slow: _Slow, margin: float, limits: Limits, alpha: float) -> Finding:
    counts = (slow.candidate, slow.candidate_of, slow.stable, slow.stable_of)
    verdict, p = _rates(counts, margin, limits, alpha)
    beyond = "" if slow.beyond_ms is None else f" (over {slow.beyond_ms} ms)"
    text = (
        f"{label}: {slow.candidate} of {slow.candidate_of} slow{beyond}, stable {slow.stable} of {slow.stable_of}, "
        f"p {p:.2g}"
    )
    return Finding(verdict=verdict, text=text)


def _share(metric: MetricSettings, stable: Samples, candidate: Samples, limits: Limits, alpha: float) -> Finding:
    """The verdict on a metric of the settings."""
    here, there = (
        total(sample for function, sample in side.items() if function in metric.functions).shares.get(
            metric.name, (0, 0)
        )
        for side in (candidate, stable)
    )
    bad = [of - some if metric.better == "more" else some for some, of in (here, there)]
    text = f"{metric.name}: {here[0]} of {here[1]}, stable {there[0]} of {there[1]}"
    if metric.of == "version":
        verdict, p = _rates((bad[0], here[1], bad[1], there[1]), metric.margin, limits, alpha)
        text = f"{text}, p {p:.2g}"
    else:
        too_bad = sum(bad) > metric.margin * (here[1] + there[1])
        verdict = AnalysisVerdict.INCONCLUSIVE if too_bad else AnalysisVerdict.PASS
        text = f"{text}, both together up to {metric.margin:.1%}"
    if metric.mode == "observe":
        verdict, text = AnalysisVerdict.PASS, f"{text} (observed: {verdict})"
    return Finding(verdict=verdict, text=text)


def _rates(
    counts: tuple[int, int, int, int], margin: float, limits: Limits, alpha: float
) -> tuple[AnalysisVerdict, float]:
    """The verdict on the candidate's rate against stable's, and the chance of it if both are the same."""
    p = more_errors(*counts)
    if p >= limits.suspicion:
        return AnalysisVerdict.PASS, p
    if more_errors(*counts, margin) < alpha:
        return AnalysisVerdict.FAIL, p
    here, of, there, stable_of = counts
    suspicious = here / of - there / stable_of >= margin
    return (AnalysisVerdict.INCONCLUSIVE if suspicious else AnalysisVerdict.PASS), p


def _latency(label: str, stable: Sample, candidate: Sample, limits: Limits, alpha: float) -> Finding:
    here, there = candidate.quantile(0.9), stable.quantile(0.9)
    if here is None or there is None or min(candidate.requests, stable.requests) < limits.minimum_per_route:
        return Finding(verdict=AnalysisVerdict.INCONCLUSIVE, text=f"{label}: too few latencies to compare")
    p, effect = slower(candidate.latencies, stable.latencies)
    text = f"{label}: p90 {here:.0f} ms, stable {there:.0f} ms, slower with chance {effect:.2f}, p {p:.2g}"
    over_the_limit = _p99(candidate) > limits.limit_ms >= _p99(stable)
    matters = effect >= limits.effect and (here - there >= limits.latency_margin_ms or over_the_limit)
    if not matters or p >= limits.suspicion:
        return Finding(verdict=AnalysisVerdict.PASS, text=text)
    proof, _ = slower(candidate.latencies, stable.latencies, limits.effect - 0.5)
    return Finding(verdict=AnalysisVerdict.FAIL if proof < alpha else AnalysisVerdict.INCONCLUSIVE, text=text)


def _p99(sample: Sample) -> float:
    return sample.quantile(0.99) or 0.0
