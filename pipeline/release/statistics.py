"""The statistics of the analysis: the candidate's errors and latencies against stable's.

A test with a margin asks for a difference *beyond* it: its null hypothesis is that the candidate is worse by the margin
at most. So the more requests there are, the more surely a difference that matters is found; one that does not matter is
never found, however many there are. scipy is imported inside the functions. It takes two seconds to load, and only an
analysis needs it: `status`, `abort` and a rollback must not wait for it.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist


def spent(significance: float, look: int) -> float:
    """The part of a test's ``significance`` that its look number ``look``, from 1 on, may spend.

    The data grow, and are looked at again and again. The parts ``1 / (k (k + 1))`` add up to 1 for any number of looks.
    So ``significance`` bounds the chance of a false alarm over all looks together (Boole's inequality).
    """
    return significance / (look * (look + 1))


def more_errors(errors: int, requests: int, stable_errors: int, stable_requests: int, margin: float = 0.0) -> float:
    """p-value of Fisher's exact test, one-sided: the chance of so many ``errors`` if both error rates are the same.

    With a ``margin``, the chance if the candidate's rate is higher by that much: stable is granted so many more errors.
    Exact for any size, which matters: a candidate at 10 % has a few dozen requests and almost no errors. Each
    ``errors`` is at most its requests.
    """
    from scipy.stats import hypergeom

    if errors * stable_requests <= stable_errors * requests:
        return 1.0  # no more errors than stable, or no requests
    granted = min(stable_requests, stable_errors + math.ceil(margin * stable_requests))
    return float(hypergeom.sf(errors - 1, requests + stable_requests, errors + granted, requests))


def slower(latencies: Sequence[int], stable_latencies: Sequence[int], margin: float = 0.0) -> tuple[float, float]:
    """The rank test on counts per latency class, one-sided: ``(p, effect)``.

    ``effect`` is the chance that a request of the candidate is slower than one of stable; requests of the same class
    count half. 0.5 is no difference, 0.64 a medium one, 0.71 a large one (Vargha and Delaney, 2000). ``p`` is the
    chance of such an effect if the true one is ``0.5 + margin``, by the normal approximation. Its variance is the
    larger one of two: what these data show (DeLong, DeLong and Clarke-Pearson, 1988), and what Mann and Whitney's test
    takes, corrected for ties. Without a request on one of the sides: ``(1.0, 0.5)``.
    """
    import numpy as np

    here, there = np.asarray(latencies, dtype=float), np.asarray(stable_latencies, dtype=float)
    n, m = here.sum(), there.sum()
    if not n or not m:
        return 1.0, 0.5
    beaten = (np.cumsum(there) - there / 2) / m  # the share of stable's requests that are faster than one of a class
    beating = 1 - (np.cumsum(here) - here / 2) / n  # the share of the candidate's requests that are slower than it
    effect = float(here @ beaten / n)
    shown = here @ (beaten - effect) ** 2 / n**2 + there @ (beating - effect) ** 2 / m**2
    both = here + there
    ties = (both**3 - both).sum() / ((n + m) * (n + m - 1))
    variance = max(shown, (n + m + 1 - ties) / (12 * n * m))
    if variance <= 0:  # all requests are in one class
        return 1.0, 0.5
    above = effect - 0.5 - margin - 0.5 / (n * m)  # half a pair less, for continuity
    return 0.5 * math.erfc(above / math.sqrt(2 * variance)), effect


def highest_plausible_rate(errors: int, requests: int, confidence: float = 0.95) -> float:
    """The highest error rate that these requests do not exclude: upper bound of Wilson's score interval, one-sided."""
    if not requests:
        return 1.0
    z, rate = NormalDist().inv_cdf(confidence), errors / requests
    half = z * math.sqrt(rate * (1 - rate) / requests + z**2 / (4 * requests**2))
    return (rate + z**2 / (2 * requests) + half) / (1 + z**2 / requests)
