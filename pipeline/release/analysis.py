"""Is the candidate as good as the stable version? Judged over the same minutes, at each step. Pure.

A difference fails the candidate when it is significant (hardly chance) and large enough to matter. The analysis is
*inconclusive* when a difference would matter but may be chance, or when there are too few requests. Then the step is
held until there are more data, or until its deadline. So "pass" always rests on data.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from pipeline.release.samples import Sample, Samples, total
from pipeline.release.statistics import highest_plausible_rate, more_errors, slower

REASONS = 2
"""How many findings a verdict names in one line; the report has them all."""


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
    """The chance of a false alarm in one test. A release makes some hundred tests: several in each analysis, and many
    analyses of growing data. A difference that may be chance holds the step until more data decide."""
    error_margin: float = 0.01
    """The smallest difference of error rates that matters."""
    effect: float = 0.64
    """From this chance on that a request of the candidate is slower than one of stable, the difference matters."""
    latency_margin_ms: float = 20.0
    """Smaller differences of the 90th percentiles do not matter."""


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


def judge(stable: Samples, candidate: Samples, limits: Limits, *, same_minutes: bool = True) -> tuple[Finding, ...]:
    """Compare the colours.

    Without ``same_minutes``, the data of stable are from the minutes before. Error rates can be compared then, but not
    latencies, because latencies depend on the load.
    """
    return tuple(_findings(stable, candidate, limits, same_minutes))


def _findings(stable: Samples, candidate: Samples, limits: Limits, same_minutes: bool) -> Iterator[Finding]:
    everything = total(candidate.values())
    yield _enough("all routes", everything, limits.minimum_requests)
    yield _errors("all routes", total(stable.values()), everything, limits)
    for route, sample in candidate.items():
        yield _enough(route, sample, limits.minimum_per_route)
        yield _enough(f"{route}, stable", stable[route], limits.minimum_per_route)
        yield _errors(route, stable[route], sample, limits)
        if same_minutes:
            yield _latency(route, stable[route], sample, limits)


def _enough(label: str, sample: Sample, minimum: int) -> Finding:
    verdict = AnalysisVerdict.PASS if sample.requests >= minimum else AnalysisVerdict.INCONCLUSIVE
    return Finding(verdict=verdict, text=f"{label}: {sample.requests} requests of the {minimum} that a verdict needs")


def _errors(label: str, stable: Sample, candidate: Sample, limits: Limits) -> Finding:
    p = more_errors(candidate.errors, candidate.requests, stable.errors, stable.requests)
    difference = candidate.error_rate - stable.error_rate
    text = (
        f"{label}: {candidate.errors} of {candidate.requests} failed ({candidate.error_rate:.1%}, "
        f"up to {highest_plausible_rate(candidate.errors, candidate.requests):.1%} possible), "
        f"stable {stable.errors} of {stable.requests} ({stable.error_rate:.1%}), p {p:.2g}"
    )
    return Finding(verdict=_verdict_on(difference >= limits.error_margin, p, limits.significance), text=text)


def _latency(label: str, stable: Sample, candidate: Sample, limits: Limits) -> Finding:
    here, there = candidate.quantile(0.9), stable.quantile(0.9)
    if here is None or there is None or min(candidate.requests, stable.requests) < limits.minimum_per_route:
        # The first requests of a version may be its cold starts, and nothing else.
        return Finding(verdict=AnalysisVerdict.INCONCLUSIVE, text=f"{label}: too few latencies to compare")
    p, effect = slower(candidate.latencies, stable.latencies)
    matters = effect >= limits.effect and here - there >= limits.latency_margin_ms
    text = f"{label}: p90 {here:.0f} ms, stable {there:.0f} ms, slower with chance {effect:.2f}, p {p:.2g}"
    return Finding(verdict=_verdict_on(matters, p, limits.significance), text=text)


def _verdict_on(matters: bool, p: float, significance: float) -> AnalysisVerdict:
    if not matters:
        return AnalysisVerdict.PASS
    return AnalysisVerdict.FAIL if p < significance else AnalysisVerdict.INCONCLUSIVE
