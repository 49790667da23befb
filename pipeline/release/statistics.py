"""The statistics of the analysis: the candidate's errors and latencies against stable's.

scipy is imported inside the functions. It takes two seconds to load, and only an analysis needs it: `status`, `abort`
and a rollback must not wait for it.
"""

from collections.abc import Sequence


def more_errors(errors: int, requests: int, stable_errors: int, stable_requests: int) -> float:
    """p-value of Fisher's exact test, one-sided: the chance of so many ``errors`` if both error rates are the same.

    Exact for any size, which matters: a candidate at 10 % has a few dozen requests and almost no errors. Each
    ``errors`` is at most its requests.
    """
    from scipy.stats import fisher_exact

    table = [[errors, requests - errors], [stable_errors, stable_requests - stable_errors]]
    return float(fisher_exact(table, alternative="greater").pvalue)


def slower(latencies: Sequence[int], stable_latencies: Sequence[int]) -> tuple[float, float]:
    """The Mann-Whitney rank test on counts per latency class, one-sided: ``(p, effect)``.

    ``effect`` is the chance that a request of the candidate is slower than one of stable; requests of the same class
    count half. 0.5 is no difference, 0.64 a medium one, 0.71 a large one (Vargha and Delaney, 2000). ``p`` is the
    normal approximation, corrected for ties and continuity. Without a request on one of the sides: ``(1.0, 0.5)``.
    """
    import numpy as np
    from scipy.stats import mannwhitneyu

    candidate, stable = (np.repeat(np.arange(len(side)), side) for side in (latencies, stable_latencies))
    if not len(candidate) or not len(stable):
        return 1.0, 0.5
    test = mannwhitneyu(candidate, stable, alternative="greater", method="asymptotic")
    return float(test.pvalue), float(test.statistic) / (len(candidate) * len(stable))


def highest_plausible_rate(errors: int, requests: int, confidence: float = 0.95) -> float:
    """The highest error rate that these requests do not exclude: upper bound of Wilson's score interval, one-sided."""
    from scipy.stats import binomtest

    if not requests:
        return 1.0
    return float(binomtest(errors, requests, alternative="less").proportion_ci(confidence, method="wilson").high)
