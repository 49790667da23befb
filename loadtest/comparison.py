"""Is the candidate slower than stable? Two exact questions about two samples measured side by side.

* Typically: the Mann-Whitney rank test (is an answer of the candidate slower than one of stable more often than not?),
  with its effect size, the share of pairs in which the candidate is slower, and the Hodges-Lehmann estimate of by how
  much.
* In the tail: are the slowest 5 % of all answers the candidate's more often than chance allows? (Fisher's exact test
  on the pooled 95th percentile.) A rank test hardly sees a few answers that became very slow.

Significant alone is not enough, with many samples everything is: the slow-down must also be material, a share of
stable's own median or 95th percentile. No distribution is assumed.

Source: Hollander, Wolfe and Chicken, "Nonparametric Statistical Methods", 3rd edition, chapter 4.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TAIL = 0.95
GRID = 2_001
"""The Hodges-Lehmann estimate looks at this many quantiles of each sample at most, not at all pairs of a long run."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Candidate against stable on one route. ``slower_share``: of all pairs of answers, those in which the candidate's
    is slower. ``shift_ms``: by how much, typically. ``p_*``: the probability of as much by chance alone."""

    route: str
    slower: bool
    reason: str
    candidate_p50_ms: float
    stable_p50_ms: float
    candidate_p95_ms: float
    stable_p95_ms: float
    slower_share: float
    shift_ms: float
    p_typical: float
    p_tail: float


def compare(
    route: str, candidate_us: NDArray[np.uint32], stable_us: NDArray[np.uint32], *, alpha: float, slow_down: float
) -> Comparison | None:
    """Compare two samples of latencies in microseconds; ``None`` if either is empty. ``alpha``: the error probability
    that this route may spend, half of it on each question."""
    if not len(candidate_us) or not len(stable_us):
        return None
    # Imported here: it takes a second, and only this option needs it.
    from scipy.stats import fisher_exact, mannwhitneyu

    candidate, stable = candidate_us / 1000, stable_us / 1000
    test = mannwhitneyu(candidate, stable, alternative="greater", method="asymptotic")
    shift = _typical_shift(candidate, stable)

    threshold = np.quantile(np.concatenate([candidate, stable]), TAIL)
    over = [int((sample > threshold).sum()) for sample in (candidate, stable)]
    table = [over, [len(candidate) - over[0], len(stable) - over[1]]]
    p_tail = float(fisher_exact(table, alternative="greater").pvalue)

    medians = [float(np.median(sample)) for sample in (candidate, stable)]
    tails = [float(np.quantile(sample, TAIL, method="higher")) for sample in (candidate, stable)]
    typically = test.pvalue <= alpha / 2 and shift >= slow_down * medians[1]
    in_tail = p_tail <= alpha / 2 and tails[0] >= (1 + slow_down) * tails[1]
    share = float(test.statistic) / (len(candidate) * len(stable))
    found = (
        f"p50 {medians[0]:.1f} ms against stable's {medians[1]:.1f}, p95 {tails[0]:.1f} against {tails[1]:.1f}; "
        f"slower in {share:.0%} of pairs, by {shift:+.1f} ms (p = {test.pvalue:.2g}); tail p = {p_tail:.2g}"
    )
    slow = " and ".join(name for name, is_so in (("typically", typically), ("in the tail", in_tail)) if is_so)
    return Comparison(
        route=route,
        slower=bool(slow),
        reason=f"{f'slower than stable {slow}' if slow else 'not materially slower than stable'}: {found}",
        candidate_p50_ms=medians[0],
        stable_p50_ms=medians[1],
        candidate_p95_ms=tails[0],
        stable_p95_ms=tails[1],
        slower_share=share,
        shift_ms=shift,
        p_typical=float(test.pvalue),
        p_tail=p_tail,
    )


def _typical_shift(candidate: NDArray[np.float64], stable: NDArray[np.float64]) -> float:
    """Hodges-Lehmann: the median of all differences between an answer of one and an answer of the other."""
    grids = [
        np.quantile(sample, np.linspace(0, 1, GRID)) if len(sample) > GRID else sample for sample in (candidate, stable)
    ]
    return float(np.median(np.subtract.outer(grids[0], grids[1])))
