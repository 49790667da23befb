"""The statistics of the verdict."""

import numpy as np
import pytest

from loadtest.p99 import (
    GateVerdict,
    RouteJudgement,
    fewest_over,
    judge_route,
    most_over,
    samples_needed,
    worst,
)
from loadtest.samples import microseconds


def judge(latencies_ms: list[float], *, errors: int = 0, alpha: float = 0.05) -> RouteJudgement:
    return judge_route(
        "/process",
        np.array([microseconds(latency / 1000) for latency in latencies_ms], np.uint32),
        {"status 500": errors} if errors else {},
        limit_ms=200.0,
        error_budget=0.001,
        alpha=alpha,
    )


@pytest.mark.parametrize(
    ("n", "over"), [(298, -1), (299, 0), (500, 1), (1_000, 4), (5_000, 38), (10_000, 83), (20_000, 176)]
)
def test_how_many_may_be_over_the_limit(n: int, over: int) -> None:
    # Given n samples, then exactly this many slow ones still prove p99 <= limit at 95 %
    assert most_over(n, 0.05) == over


def test_bounds_agree_with_an_independent_binomial() -> None:
    # Given the binomial distribution summed term by term, in exact integers
    from fractions import Fraction
    from math import comb

    n, share = 700, Fraction(1, 100)
    terms = [comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(40)]
    # Then the largest passing and the smallest failing count are at the 5 % boundaries
    k = most_over(n, 0.05)
    assert sum(terms[: k + 1]) <= Fraction(5, 100) < sum(terms[: k + 2])
    k = fewest_over(n, 0.05)
    assert 1 - sum(terms[:k]) <= Fraction(5, 100) < 1 - sum(terms[: k - 1])


def test_smallest_sample_follows_from_the_confidence() -> None:
    assert samples_needed(0.05) == 299
    assert judge([1.0] * 298).verdict is GateVerdict.INCONCLUSIVE
    assert judge([1.0] * 299).verdict is GateVerdict.PASS


@pytest.mark.parametrize(
    ("latency_ms", "verdict"),
    [(199.9, GateVerdict.PASS), (200.0, GateVerdict.PASS), (200.0001, GateVerdict.FAIL), (200.1, GateVerdict.FAIL)],
)
def test_the_limit_is_exact(latency_ms: float, verdict: GateVerdict) -> None:
    # Given answers that all take just under, exactly, or just over 200 ms
    judgement = judge([latency_ms] * 400)
    # Then nothing is rounded across the limit
    assert judgement.verdict is verdict
    assert judgement.p99_ms == pytest.approx(latency_ms, abs=0.001)


def test_undecided_between_the_bounds() -> None:
    # Given 3 slow ones of 400: too many to pass, too few to prove p99 > 200 ms
    judgement = judge([10.0] * 397 + [300.0] * 3)
    assert judgement.verdict is GateVerdict.INCONCLUSIVE
    assert judgement.p99_upper_ms == 300.0


def test_fails_when_the_lower_bound_is_above_the_limit() -> None:
    judgement = judge([10.0] * 380 + [300.0] * 20)
    assert judgement.verdict is GateVerdict.FAIL
    assert judgement.p99_lower_ms == 300.0


def test_no_samples_is_never_a_pass() -> None:
    assert judge([]).verdict is GateVerdict.INCONCLUSIVE
    assert worst([]) is GateVerdict.INCONCLUSIVE


def test_errors_have_a_budget_of_their_own() -> None:
    # Given fast latencies, then errors alone decide: within budget, above it but unproven, proven above it
    assert judge([1.0] * 1999, errors=1).verdict is GateVerdict.PASS
    assert judge([1.0] * 399, errors=1).verdict is GateVerdict.INCONCLUSIVE
    assert judge([1.0] * 390, errors=10).verdict is GateVerdict.FAIL


def test_one_bad_route_decides() -> None:
    assert worst([GateVerdict.PASS, GateVerdict.FAIL, GateVerdict.INCONCLUSIVE]) is GateVerdict.FAIL
    assert worst([GateVerdict.PASS, GateVerdict.INCONCLUSIVE]) is GateVerdict.INCONCLUSIVE
    assert worst([GateVerdict.PASS, GateVerdict.PASS]) is GateVerdict.PASS
