"""The comparison of the colours: statistics by themselves, and what they do to a release."""

import pytest
from scipy import stats

from pipeline.release.analysis import Limits, Verdict, judge
from pipeline.release.commands import ExitCode
from pipeline.release.samples import EDGES_MS, Sample, Samples
from pipeline.release.statistics import highest_plausible_rate, more_errors, slower
from pipeline.release.traffic import Function
from tests.unit.pipeline.release.bench import Bench
from tests.unit.pipeline.release.fake_aws import Behaviour


@pytest.mark.parametrize(
    "table",
    [
        (0, 20, 0, 180), (1, 20, 0, 180), (3, 20, 1, 180), (20, 20, 0, 3), (0, 0, 2, 9), (5, 5, 9, 9), (5, 5, 0, 0),
        (1_060, 100_000, 10_000, 1_000_000),
    ],
)  # fmt: skip
def test_more_errors_is_fishers_exact_test(table: tuple[int, int, int, int]) -> None:
    errors, requests, other_errors, other_requests = table
    expected = stats.fisher_exact(
        [[errors, requests - errors], [other_errors, other_requests - other_errors]], alternative="greater"
    ).pvalue

    assert more_errors(*table) == pytest.approx(expected)


@pytest.mark.parametrize("here", [(0, 5, 9, 1), (9, 5, 0, 0), (3, 3, 3, 3), (0, 0, 0, 40)])
def test_slower_is_the_mann_whitney_test_with_ties(here: tuple[int, ...]) -> None:
    there = (4, 20, 6, 2)

    def spread(counts: tuple[int, ...]) -> list[int]:
        return [index for index, count in enumerate(counts) for _ in range(count)]

    expected = stats.mannwhitneyu(spread(here), spread(there), alternative="greater", method="asymptotic")

    p, effect = slower(here, there)

    assert p == pytest.approx(expected.pvalue)
    assert effect == pytest.approx(expected.statistic / (sum(here) * sum(there)))


def test_slower_without_data_or_differences_finds_none() -> None:
    assert slower((0, 0), (3, 4)) == (1.0, 0.5)
    assert slower((5, 0), (3, 0)) == (1.0, 0.5)


def test_the_highest_plausible_rate_is_wilsons_bound() -> None:
    expected = stats.binomtest(2, 50).proportion_ci(confidence_level=0.90, method="wilson").high

    assert highest_plausible_rate(2, 50) == pytest.approx(expected)
    assert highest_plausible_rate(0, 0) == 1.0


def samples(requests: int, errors: int = 0, milliseconds: float = 12) -> Samples:
    """The same for each route."""
    counts = [0] * len(EDGES_MS)
    counts[sum(edge < milliseconds for edge in EDGES_MS) - 1] = requests
    return dict.fromkeys(Function, Sample(requests=requests, errors=errors, latencies=tuple(counts)))


@pytest.mark.parametrize(
    ("stable", "candidate", "expected"),
    [
        (samples(300), samples(30), Verdict.PASS),
        (samples(300), samples(6), Verdict.INCONCLUSIVE),
        (samples(300), samples(0), Verdict.INCONCLUSIVE),
        (samples(0), samples(30), Verdict.INCONCLUSIVE),
        (samples(300), samples(30, errors=10), Verdict.FAIL),
        (samples(300), samples(6, errors=6), Verdict.FAIL),
        (samples(300, errors=30), samples(30, errors=3), Verdict.PASS),
        (samples(10), samples(10, errors=1), Verdict.INCONCLUSIVE),
        (samples(300), samples(30, milliseconds=180), Verdict.FAIL),
        (samples(300), samples(30, milliseconds=18), Verdict.PASS),
        (samples(300, milliseconds=180), samples(30), Verdict.PASS),
        (samples(300), samples(4, milliseconds=900), Verdict.INCONCLUSIVE),
    ],
    ids=[
        "same", "too few", "none", "no stable", "errors", "few but all failed", "both bad alike", "one error of ten",
        "slow", "slower by nothing that matters", "faster", "a few cold starts",
    ],
)  # fmt: skip
def test_verdicts(stable: Samples, candidate: Samples, expected: Verdict) -> None:
    findings = judge(stable, candidate, Limits())

    worst = {finding.verdict for finding in findings}
    assert next((v for v in (Verdict.FAIL, Verdict.INCONCLUSIVE) if v in worst), Verdict.PASS) is expected


def test_a_failing_route_is_not_hidden_by_the_others() -> None:
    candidate = {**samples(100), Function.FRAUD_DETECTION: samples(100, errors=8)[Function.FRAUD_DETECTION]}

    findings = judge(samples(2000), candidate, Limits())

    assert [f.text.split(":")[0] for f in findings if f.verdict is Verdict.FAIL] == ["all routes", "fraud-detection"]


@pytest.mark.parametrize("behaviour", [Behaviour(errors=0.3), Behaviour(milliseconds=400)], ids=["errors", "slow"])
def test_a_worse_candidate_is_rolled_back_although_no_alarm_rings(behaviour: Behaviour) -> None:
    bench = Bench()
    bench.aws.behaviour["2"] = behaviour

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert "analysis" in outcome.text
    assert bench.all_on("1")
    assert outcome.release
    assert outcome.release.looks[-1].weight == 10, "found at the first step"
    assert outcome.release.rejected


def test_an_awful_candidate_does_not_bake_to_the_end() -> None:
    bench = Bench()
    bench.aws.behaviour["2"] = Behaviour(errors=1.0)

    bench.controller().shift()

    assert bench.clock.time - 1_800_000_000 < 40


def test_errors_that_cloudwatch_fails_to_read_are_not_taken_for_none() -> None:
    # Given a candidate that fails, and a CloudWatch that answers all but the errors
    bench = Bench()
    bench.aws.behaviour["2"] = Behaviour(errors=0.5)
    bench.aws.metric_statuses = [{"Errors": "InternalError"}]

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert "Errors of validation is InternalError" in outcome.text
    assert bench.all_on("1")


def test_a_series_may_come_on_a_later_page() -> None:
    bench = Bench()
    bench.aws.metric_statuses = [{"Errors": "PartialData"}, {}]

    assert bench.controller().shift().code is ExitCode.DONE
    assert bench.all_on("2")


def test_errors_on_a_later_page_count() -> None:
    bench = Bench()
    bench.aws.behaviour["2"] = Behaviour(errors=0.5)
    bench.aws.metric_statuses = [{"Errors": "PartialData"}, {}]

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert "analysis" in outcome.text


def test_without_traffic_a_step_is_held_and_rolled_back_at_its_deadline_but_not_rejected() -> None:
    bench = Bench()
    bench.aws.requests_per_second = 0

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert "inconclusive" in outcome.text
    assert bench.clock.time - 1_800_000_000 == pytest.approx(60 + 120, abs=6)
    assert outcome.release
    assert not outcome.release.rejected


def test_a_held_step_goes_on_when_the_data_come() -> None:
    bench = Bench()
    bench.aws.requests_per_second = 0
    bench.clock.after(100, lambda: setattr(bench.aws, "requests_per_second", 3))

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.DONE
    assert outcome.release
    assert any(event.text.startswith("holding") for event in outcome.release.events)
