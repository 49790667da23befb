"""What the comparison of two systems counts, proves and shows."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from migration.parity import EXAMPLES, Parity, Verdict, least, most, percent
from migration.recording import Decision, Recorded, Unreadable, read

CARD = "4111111111111111"
APPROVED = Decision("approved", frozenset())
DECLINED = Decision("declined", frozenset({"card_expired"}))
REVIEW = Decision("review", frozenset({"customer_velocity_count"}))


def recorded(decision: Decision = APPROVED, line: int = 1) -> Recorded:
    request = {"customer_id": f"card {CARD}", "amount": "1.50", "currency": "EUR", "card_number": CARD, "cvv": "987"}
    return Recorded(line=line, merchant_id="m-1", request=request, decision=decision, latency_ms=10.0)


def parity_of(differences: int, requests: int, unknown: int = 0) -> Parity:
    parity = Parity()
    for number in range(requests):
        parity.add(recorded(), DECLINED if number < differences else APPROVED, {"/validate": 5.0})
    parity.unknown["no answer"] += unknown
    return parity


def test_the_statement_is_one_that_can_be_put_before_an_auditor() -> None:
    judgement = parity_of(0, 12_400).judged(0.001, 0.95)
    assert str(judgement) == "0 of 12,400 differ: at most 0.03 % with 95 %"
    assert judgement.verdict is Verdict.PASS


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400), st.integers(1, 400), st.sampled_from([0.9, 0.95, 0.99]))
def test_the_bounds_are_where_the_binomial_distribution_has_the_error_probability(k: int, n: int, level: float) -> None:
    k = min(k, n)
    upper, lower = most(k, n, level), least(k, n, level)
    assert lower <= k / n <= upper
    if k < n:
        assert binom.cdf(k, n, upper) == pytest.approx(1 - level, rel=1e-6)
    if k:
        assert binom.sf(k - 1, n, lower) == pytest.approx(1 - level, rel=1e-6)


@pytest.mark.parametrize(
    ("differences", "requests", "unknown", "verdict"),
    [
        (0, 2994, 0, Verdict.INCONCLUSIVE),
        (0, 2995, 0, Verdict.PASS),
        (0, 5000, 5, Verdict.INCONCLUSIVE),  # the five may all differ
        (1, 5000, 0, Verdict.PASS),
        (9, 5000, 0, Verdict.INCONCLUSIVE),
        (10, 5000, 0, Verdict.FAIL),
        (9, 4000, 1000, Verdict.INCONCLUSIVE),  # the thousand may all be alike
        (0, 0, 0, Verdict.INCONCLUSIVE),
        (0, 0, 9, Verdict.INCONCLUSIVE),
        (3, 3, 0, Verdict.FAIL),
    ],
)
def test_a_verdict_needs_proof(differences: int, requests: int, unknown: int, verdict: Verdict) -> None:
    judgement = parity_of(differences, requests, unknown).judged(0.001, 0.95)
    assert judgement.verdict is verdict
    assert judgement.needed == 2995


@given(st.lists(st.sampled_from([(a, b) for a in (APPROVED, DECLINED, REVIEW) for b in (APPROVED, DECLINED, REVIEW)])))
def test_every_difference_is_counted_once_under_its_cause(pairs: list[tuple[Decision, Decision]]) -> None:
    parity = Parity()
    for line, (there, here) in enumerate(pairs):
        parity.add(recorded(there, line), here, {})
    planted = [(there, here) for there, here in pairs if there != here]
    assert parity.differences == len(planted)
    assert parity.alike == len(pairs) - len(planted)
    assert sorted(cause.requests for cause in parity.causes) == sorted(planted.count(each) for each in set(planted))
    assert all(len(cause.examples) <= EXAMPLES for cause in parity.causes)


def test_what_is_expected_is_told_and_not_judged() -> None:
    parity = Parity(["customer_velocity_count"])
    parity.add(recorded(REVIEW), APPROVED, {})
    parity.add(recorded(DECLINED), APPROVED, {})
    both = Decision("declined", REVIEW.reasons | DECLINED.reasons)
    parity.add(recorded(both), APPROVED, {})  # another reason too: not to be excused
    parity.add(recorded(Decision("review", frozenset())), APPROVED, {})  # no reason at all: neither
    assert [(cause.text, cause.expected) for cause in parity.causes] == [
        ("declined there, approved here; card_expired only there", False),
        ("declined there, approved here; card_expired, customer_velocity_count only there", False),
        ("review there, approved here", False),
        ("review there, approved here; customer_velocity_count only there", True),
    ]
    assert parity.differences == 3


def test_an_example_shows_neither_card_number_nor_security_code() -> None:
    parity = parity_of(1, 1)
    [cause] = parity.causes
    assert cause.examples == [
        {
            "line": 1, "merchant_id": "m-1", "customer_id": "card ****1111", "amount": "1.50", "currency": "EUR",
            "card": "****1111", "old": "approved", "new": "declined (card_expired)",
        }
    ]  # fmt: skip
    assert CARD not in repr(recorded())


@given(st.floats(1e-12, 1) | st.just(0.0))
def test_a_percentage_is_never_rounded_to_the_better(share: float) -> None:
    assert float(percent(share, up=True).removesuffix(" %")) >= 100 * share * (1 - 1e-12)
    assert float(percent(share, up=False).removesuffix(" %")) <= 100 * share * (1 + 1e-12)
    if share:
        assert float(percent(share, up=True).removesuffix(" %")) > 0


LINE: dict[str, Any] = {"merchant_id": "m-1", "request": {"card_number": CARD}, "decision": "approved", "reasons": []}


@pytest.mark.parametrize(
    "line",
    [
        "no json", "[" * 9000, "[]", "1", "null", '"text"', "x" * 20_000,
        *(json.dumps(LINE | {name: None}) for name in LINE),
        json.dumps(LINE | {"merchant_id": "é"}), json.dumps(LINE | {"merchant_id": "a b"}),
        json.dumps(LINE | {"decision": f"approved {CARD}"}), json.dumps(LINE | {"reasons": [1]}),
        json.dumps(LINE | {"latency_ms": -1}), json.dumps(LINE | {"latency_ms": math.nan}),
    ],
)  # fmt: skip
def test_a_line_that_is_no_request_is_told_without_quoting_it(line: str) -> None:
    first, *found = read([json.dumps(LINE), "", line])
    assert isinstance(first, Recorded)
    [bad] = found
    assert isinstance(bad, Unreadable)
    assert bad.line == 3
    assert "4111" not in bad.reason
