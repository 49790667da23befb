"""Candidate against stable."""

import numpy as np
import pytest
from numpy.typing import NDArray

from loadtest.comparison import Comparison, compare


def latencies(median_ms: float, seed: int, count: int = 400) -> NDArray[np.uint32]:
    dice = np.random.default_rng(seed)
    return (median_ms * 1000 * dice.lognormal(0, 0.3, count)).astype(np.uint32)


def found(candidate: NDArray[np.uint32], stable: NDArray[np.uint32]) -> Comparison:
    comparison = compare("/process", candidate, stable, alpha=0.05 / 3, slow_down=0.1)
    assert comparison
    return comparison


def test_a_slow_down_far_under_the_limit_is_found() -> None:
    # Given 40 ms become 50 ms: both far under 200 ms
    comparison = found(latencies(50, 1), latencies(40, 2))
    # Then it is significant and material
    assert comparison.slower
    assert comparison.shift_ms == pytest.approx(10, abs=2)
    assert comparison.slower_share > 0.6
    assert "typically" in comparison.reason


def test_a_slow_tail_is_found() -> None:
    # Given a candidate that takes four times as long for one in ten answers, and is the same otherwise
    candidate = latencies(40, 1)
    candidate[::10] *= 4
    comparison = found(candidate, latencies(40, 2))
    assert comparison.slower
    assert "in the tail" in comparison.reason


def test_significant_but_immaterial_is_no_failure() -> None:
    # Given 2 % more in 20,000 answers
    comparison = found(latencies(40.8, 1, 20_000), latencies(40, 2, 20_000))
    assert comparison.p_typical < 0.001
    assert not comparison.slower


def test_a_faster_candidate_is_no_failure() -> None:
    assert not found(latencies(30, 1), latencies(40, 2)).slower


def test_equal_systems_are_rarely_called_different() -> None:
    alarms = sum(found(latencies(40, seed), latencies(40, seed + 1000)).slower for seed in range(40))
    assert alarms <= 2


def test_nothing_to_compare() -> None:
    assert compare("/process", latencies(40, 1), np.empty(0, np.uint32), alpha=0.05, slow_down=0.1) is None
