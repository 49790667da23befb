"""Two tests of one colour against the other, with the standard library alone.

They run where the pipeline shifts traffic, which needs no numerical package; `tests/unit` holds them against scipy.
"""

from collections.abc import Sequence
from math import exp, lgamma, sqrt
from statistics import NormalDist


def more_errors(errors: int, requests: int, other_errors: int, other_requests: int) -> float:
    """p-value of Fisher's exact test, one-sided: how likely so many ``errors`` are, if both have the same error rate.

    Each ``errors`` is at most its requests. Exact for any size, which matters: a candidate at 10 % has a few dozen
    requests, and almost no errors.
    Source: Fisher, "The Design of Experiments" (1935); the hypergeometric tail.
    """
    all_errors, everything = errors + other_errors, requests + other_requests
    least, most = max(errors, all_errors - other_requests), min(all_errors, requests)
    ways = _log_ways(everything, all_errors)
    chances = (
        exp(_log_ways(requests, k) + _log_ways(other_requests, all_errors - k) - ways) for k in range(least, most + 1)
    )
    return min(1.0, sum(chances))


def _log_ways(n: int, k: int) -> float:
    """Logarithm of "n choose k": the whole number of a million requests takes a minute, longer than a lease."""
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def slower(latencies: Sequence[int], other: Sequence[int]) -> tuple[float, float]:
    """The Mann-Whitney rank test on counts per latency class, one-sided: ``(p, effect)``.

    ``effect`` is the chance that a request of the first is slower than one of the other, equal classes counting half:
    0.5 is no difference, 0.64 a medium and 0.71 a large one (Vargha and Delaney, 2000). ``p`` is the normal
    approximation with correction for ties and continuity (Mann and Whitney, 1947; Lehmann, "Nonparametrics", 1975).
    Both need a request on each side: without, ``(1.0, 0.5)``.
    """
    n, m = sum(latencies), sum(other)
    if not n or not m:
        return 1.0, 0.5
    u, faster = 0.0, 0
    for here, there in zip(latencies, other, strict=True):
        u += here * (faster + there / 2)
        faster += there
    ties = sum((a + b) ** 3 - (a + b) for a, b in zip(latencies, other, strict=True))
    everything = n + m
    variance = n * m / 12 * (everything + 1 - ties / (everything * (everything - 1)))
    effect = u / (n * m)
    if variance <= 0:
        return 1.0, effect
    return 1 - NormalDist().cdf((u - n * m / 2 - 0.5) / sqrt(variance)), effect


def highest_plausible_rate(errors: int, requests: int, confidence: float = 0.95) -> float:
    """Upper bound of an error rate (Wilson's score interval, one-sided): what these few requests cannot exclude."""
    if not requests:
        return 1.0
    z, rate = NormalDist().inv_cdf(confidence), errors / requests
    centre = rate + z * z / (2 * requests)
    spread = z * sqrt(rate * (1 - rate) / requests + z * z / (4 * requests * requests))
    return min(1.0, (centre + spread) / (1 + z * z / requests))
