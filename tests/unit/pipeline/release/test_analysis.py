"""The comparison of the colours: statistics by themselves, and what they do to a release."""

import subprocess
import sys

import pytest

from names import Function
from pipeline.release.analysis import AnalysisRun, AnalysisVerdict, Limits, judge
from pipeline.release.outcome import ExitCode
from pipeline.release.record import EventKind
from pipeline.release.samples import EDGES_MS, Sample, Samples
from pipeline.release.statistics import highest_plausible_rate, more_errors, slower, spent
from tests.unit.pipeline.release.bench import Bench
from tests.unit.pipeline.release.fake_aws import Behaviour


def test_fishers_exact_test_gives_fishers_own_result() -> None:
    # Given the lady who told three of four cups of tea (Fisher, "The Design of Experiments", 1935)
    assert more_errors(3, 4, 1, 4) == pytest.approx(17 / 70)


@pytest.mark.parametrize(("errors", "requests", "stable_errors"), [(0, 20, 0), (0, 20, 9), (5, 5, 180)])
def test_no_more_errors_than_stable_are_no_evidence(errors: int, requests: int, stable_errors: int) -> None:
    assert more_errors(errors, requests, stable_errors, 180) == 1.0


def test_errors_without_requests_of_stable_are_no_evidence() -> None:
    assert more_errors(5, 5, 0, 0) == 1.0


def test_a_million_requests_are_compared_in_time() -> None:
    assert more_errors(1_060, 100_000, 10_000, 1_000_000) == pytest.approx(0.037, abs=0.0005)


@pytest.mark.parametrize("here", [(0, 5, 9, 1), (9, 5, 0, 0), (3, 3, 3, 3), (0, 0, 0, 40)])
def test_the_effect_is_the_share_of_pairs_in_which_the_candidate_is_slower(here: tuple[int, ...]) -> None:
    there = (4, 20, 6, 2)
    pairs = [(a, b) for a, n in enumerate(here) for _ in range(n) for b, m in enumerate(there) for _ in range(m)]
    expected = sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs)

    p, effect = slower(here, there)

    assert effect == pytest.approx(expected)
    assert (p < 0.5) is (effect > 0.5)


def test_many_slow_requests_are_no_chance_and_few_may_be() -> None:
    assert slower((10, 90), (90, 10))[0] < 1e-20
    assert slower((0, 1), (9, 1))[0] > 0.01


def test_slower_without_data_or_differences_finds_none() -> None:
    assert slower((0, 0), (3, 4)) == (1.0, 0.5)
    assert slower((5, 0), (3, 0)) == (1.0, 0.5)


@pytest.mark.parametrize(("errors", "requests", "upper"), [(81, 263, 0.3662), (15, 148, 0.1605), (0, 20, 0.1611)])
def test_the_highest_plausible_rate_is_wilsons_bound(errors: int, requests: int, upper: float) -> None:
    # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I: 95 %, two-sided
    assert highest_plausible_rate(errors, requests, confidence=0.975) == pytest.approx(upper, abs=0.00005)


def test_without_requests_every_rate_is_plausible() -> None:
    assert highest_plausible_rate(0, 0) == 1.0


def test_the_command_line_starts_without_numerical_packages() -> None:
    # Given `rollback` and `status`, which need no statistics
    script = "import sys; import pipeline.release.cli; print(*({'numpy', 'scipy'} & set(sys.modules)))"
    # Then neither waits for packages that take seconds to load
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "\n"


def samples(requests: int, errors: int = 0, milliseconds: float = 12) -> Samples:
    """The same for each route."""
    counts = [0] * len(EDGES_MS)
    counts[sum(edge < milliseconds for edge in EDGES_MS) - 1] = requests
    return dict.fromkeys(Function, Sample(requests=requests, errors=errors, latencies=tuple(counts)))


@pytest.mark.parametrize(
    ("stable", "candidate", "expected"),
    [
        (samples(300), samples(30), AnalysisVerdict.PASS),
        (samples(300), samples(19 // len(Function)), AnalysisVerdict.INCONCLUSIVE),
        (samples(300), samples(0), AnalysisVerdict.INCONCLUSIVE),
        (samples(0), samples(30), AnalysisVerdict.INCONCLUSIVE),
        (samples(300), samples(30, errors=10), AnalysisVerdict.FAIL),
        (samples(300), samples(6, errors=6), AnalysisVerdict.FAIL),
        (samples(300, errors=30), samples(30, errors=3), AnalysisVerdict.PASS),
        (samples(10), samples(10, errors=1), AnalysisVerdict.PASS),
        (samples(500), samples(40, errors=1), AnalysisVerdict.INCONCLUSIVE),
        (samples(300), samples(30, milliseconds=180), AnalysisVerdict.FAIL),
        (samples(300), samples(30, milliseconds=18), AnalysisVerdict.PASS),
        (samples(300, milliseconds=180), samples(30), AnalysisVerdict.PASS),
        (samples(300), samples(4, milliseconds=900), AnalysisVerdict.INCONCLUSIVE),
    ],
    ids=[
        "same", "too few", "none", "no stable", "errors", "few but all failed", "both bad alike", "one error of ten",
        "suspicious", "slow", "slower by nothing that matters", "faster", "a few cold starts",
    ],
)  # fmt: skip
def test_verdicts(stable: Samples, candidate: Samples, expected: AnalysisVerdict) -> None:
    findings = judge(stable, candidate, Limits())

    found = {finding.verdict for finding in findings}
    grave = (AnalysisVerdict.FAIL, AnalysisVerdict.INCONCLUSIVE)
    assert next((verdict for verdict in grave if verdict in found), AnalysisVerdict.PASS) is expected


def worst(stable: Samples, candidate: Samples, look: int = 1) -> AnalysisVerdict:
    run = AnalysisRun(
        at=0, weight=50, stable=stable, candidate=candidate, findings=judge(stable, candidate, Limits(), look=look)
    )
    return run.verdict


def slow_tail(requests: int, slow: int) -> Samples:
    """``slow`` of the requests of each route take 400 ms, the others 12 ms."""
    fast, late = (samples(n, milliseconds=ms)[Function.VALIDATION] for n, ms in ((requests - slow, 12), (slow, 400)))
    return dict.fromkeys(Function, fast + late)


@pytest.mark.parametrize(
    ("requests", "slow", "expected"),
    [
        (100, 3, AnalysisVerdict.PASS),
        (2000, 20, AnalysisVerdict.PASS),
        (2000, 60, AnalysisVerdict.FAIL),
        (200_000, 2_300, AnalysisVerdict.PASS),
        (200_000, 4_000, AnalysisVerdict.FAIL),
    ],
    ids=["three cold starts", "as stable", "three times as many", "hardly more", "twice as many"],
)
def test_a_slow_tail_is_judged_though_the_middle_is_as_fast(
    requests: int, slow: int, expected: AnalysisVerdict
) -> None:
    # Given a stable version with 1 % slow requests
    assert worst(slow_tail(requests, requests // 100), slow_tail(requests, slow)) is expected


def test_a_difference_within_the_margin_is_never_proven_and_one_beyond_it_always_with_enough_requests() -> None:
    # Given millions of requests, so that any difference is significant
    many = 3_000_000
    stable = samples(many, errors=many // 10_000)

    assert worst(stable, samples(many, errors=many // 1_000)) is AnalysisVerdict.PASS
    assert worst(stable, samples(many, errors=many // 400)) is AnalysisVerdict.FAIL


def test_the_more_looks_the_more_proof_each_needs() -> None:
    # Given errors that prove enough at the first look
    stable, candidate = samples(3000, errors=3), samples(1000, errors=8)

    assert [worst(stable, candidate, look) for look in (1, 30)] == [AnalysisVerdict.FAIL, AnalysisVerdict.INCONCLUSIVE]
    assert sum(spent(0.01, look) for look in range(1, 10_000)) < 0.01


def test_a_failing_route_is_not_hidden_by_the_others() -> None:
    candidate = {**samples(100), Function.FRAUD_DETECTION: samples(100, errors=8)[Function.FRAUD_DETECTION]}

    findings = judge(samples(2000), candidate, Limits())

    assert [f.text.split(":")[0] for f in findings if f.verdict is AnalysisVerdict.FAIL] == [
        "all routes",
        "fraud-detection",
    ]


@pytest.mark.parametrize("behaviour", [Behaviour(errors=0.3), Behaviour(milliseconds=400)], ids=["errors", "slow"])
def test_a_worse_candidate_is_rolled_back_although_no_alarm_rings(behaviour: Behaviour) -> None:
    bench = Bench()
    bench.aws.behaviour["2"] = behaviour

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert "analysis" in outcome.text
    assert bench.all_on("1")
    assert outcome.release
    assert outcome.release.analysis_runs[-1].weight == 10, "found at the first step"
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
    assert [event.kind for event in outcome.release.events].count(EventKind.HOLD) == 1, "told once"
