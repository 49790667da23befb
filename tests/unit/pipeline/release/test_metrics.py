"""The time and the series by which CloudWatch is asked what stable and candidate did."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from names import Colour, Function
from pipeline.release.aws.metrics import CLASSES, AwsMetrics, MetricTiming
from pipeline.release.outcome import ExitCode
from pipeline.release.samples import total
from pipeline.release.traffic import Versions

from .bench import PLAN, Bench
from .fake_aws import OUTPUTS, Behaviour

STABLE: Versions = dict.fromkeys(Function, "1")
CANDIDATE: Versions = dict.fromkeys(Function, "2")


class CloudWatch:
    """Answers as CloudWatch does: points by the minute that they belong to, ``StartTime`` rounded down to the minute,
    ``EndTime`` exclusive. ``count``: what a series has at each of ``minutes``."""

    def __init__(self, count: Callable[[dict[str, str], str], int], *minutes: datetime) -> None:
        self._count, self._minutes = count, minutes
        self.asked: list[dict[str, Any]] = []

    def client(self, _service: str, **_: Any) -> "CloudWatch":
        return self

    def get_paginator(self, _operation: str) -> "CloudWatch":
        return self

    def paginate(self, *, MetricDataQueries: list[Any], StartTime: datetime, EndTime: datetime) -> Iterator[Any]:
        start = StartTime.replace(second=0, microsecond=0)
        self.asked.append({"StartTime": StartTime, "EndTime": EndTime, "queries": MetricDataQueries})
        minutes = [minute for minute in self._minutes if start <= minute < EndTime]
        results = []
        for query in MetricDataQueries:
            stat = query["MetricStat"]
            dimensions = {each["Name"]: each["Value"] for each in stat["Metric"]["Dimensions"]}
            what = f"{stat['Metric']['MetricName']} {stat['Stat']}"
            values = [float(self._count(dimensions, what)) for _ in minutes]
            results.append({"Id": query["Id"], "Values": values, "StatusCode": "Complete"})
        yield {"MetricDataResults": results}


def at(clock: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-28T{clock}").replace(tzinfo=UTC)


def read(
    cloudwatch: CloudWatch, since: str, now: str, stable: Versions = STABLE, candidate: Versions = CANDIDATE
) -> Any:
    aws: Any = cloudwatch
    return AwsMetrics(aws, OUTPUTS).read(stable, candidate, at(since).timestamp(), at(now).timestamp())


@pytest.mark.parametrize(
    ("since", "now", "window"),
    [
        ("12:00:30", "12:03:59", None),  # the minute 12:01 is complete, and less than two minutes old
        ("12:00:30", "12:04:00", ("12:01", "12:02")),
        ("12:00:30", "12:04:59", ("12:01", "12:02")),
        ("12:00:30", "12:05:00", ("12:01", "12:03")),
        ("12:00:00", "12:03:00", ("12:00", "12:01")),
    ],
)
def test_whole_minutes_are_read_that_lie_inside_of_the_step_and_are_old_enough(
    since: str, now: str, window: tuple[str, str] | None
) -> None:
    cloudwatch = CloudWatch(lambda dimensions, what: 1)

    read(cloudwatch, since, now)

    assert [(each["StartTime"], each["EndTime"]) for each in cloudwatch.asked] == (
        [(at(window[0]), at(window[1]))] if window else []
    )


def test_errors_of_the_step_before_are_not_counted() -> None:
    # Given errors in the minute in which the step began, and good requests in the next
    def count(dimensions: dict[str, str], what: str) -> int:
        return 7 if what.startswith(("Invocations", "Errors")) else 0

    # When the step is read, then only what lies in its own whole minutes is counted
    stable, candidate = read(CloudWatch(count, at("12:00"), at("12:02")), "12:00:30", "12:04:10")
    assert (total(stable.values()).requests, total(candidate.values()).errors) == (0, 0)


def test_a_changed_function_is_read_by_the_version_that_its_alias_ran() -> None:
    # Given series of alias and version for the routed functions, of target group's alias for /process
    def count(dimensions: dict[str, str], what: str) -> int:
        if what != "Invocations Sum":
            return 0
        _, _, colour = dimensions["Resource"].partition(":")
        version = dimensions.get("ExecutedVersion")
        if dimensions["FunctionName"] == Function.PROCESSING.of("test"):
            assert version is None
            return {"blue": 90, "green": 10}[colour]
        assert colour == Colour.STABLE
        return {"1": 90, "2": 10}[str(version)]

    stable, candidate = read(CloudWatch(count, at("12:01")), "12:00:30", "12:04:00")

    assert {function: sample.requests for function, sample in stable.items()} == dict.fromkeys(Function, 90)
    assert {function: sample.requests for function, sample in candidate.items()} == dict.fromkeys(Function, 10)


def test_a_function_that_is_the_same_on_both_sides_is_read_by_its_aliases() -> None:
    # Given a release of one function, and no series with ExecutedVersion for the others: their aliases have no weights
    candidate = {**STABLE, Function.VALIDATION: "2"}

    def count(dimensions: dict[str, str], what: str) -> int:
        if dimensions.get("ExecutedVersion") and "validation" not in dimensions["FunctionName"]:
            return 0
        return 5 if what in ("Invocations Sum", f"Duration {CLASSES[2]}") else 0

    # When both sides are read
    stable, new = read(CloudWatch(count, at("12:01")), "12:00:30", "12:04:00", candidate=candidate)

    # Then an unchanged function has the same sample on both, of all aliases with production traffic
    assert stable[Function.FRAUD_DETECTION] == new[Function.FRAUD_DETECTION]
    assert stable[Function.FRAUD_DETECTION].requests == 5
    assert stable[Function.PROCESSING] == new[Function.PROCESSING]
    assert stable[Function.PROCESSING].requests == 10
    assert sum(stable[Function.PROCESSING].latencies) == 10
    # And the changed one has one for each version
    assert (stable[Function.VALIDATION].requests, new[Function.VALIDATION].requests) == (5, 5)


def test_the_errors_that_an_unchanged_function_answers_itself_tell_for_no_side() -> None:
    # Given five server errors of /process, which is not changed, and a tenth of its requests on target group green
    def count(dimensions: dict[str, str], what: str) -> int:
        if what.startswith("ServerErrors"):
            return 5 if dimensions["service"] == "payment-processing" else 0
        return {"blue": 90, "green": 10}[dimensions["Resource"].partition(":")[2]] if "Invocations" in what else 0

    candidate = {**STABLE, Function.VALIDATION: "2"}
    stable, new = read(CloudWatch(count, at("12:01")), "12:00:30", "12:04:00", candidate=candidate)

    assert stable[Function.PROCESSING].error_rate == new[Function.PROCESSING].error_rate == 0.05


def test_a_step_is_held_until_its_first_whole_minute_is_there_and_judged_on_it() -> None:
    # Given metrics as on AWS, and a bake of one minute
    bench = Bench(plan=type(PLAN)(weights=PLAN.weights, bake_seconds=60, hold_seconds=300))
    bench.timing = MetricTiming()
    bench.clock.time += 30
    # When a sound candidate is shifted
    outcome = bench.controller().shift()
    # Then every step waited for its own data, and passed on them
    assert outcome.code is ExitCode.DONE, outcome.text
    assert outcome.release
    for run in outcome.release.analysis_runs:
        assert total(run.candidate.values()).requests > 0
    took = outcome.release.events[-1].at - outcome.release.events[0].at
    assert 4 * 180 <= took <= 4 * (240 + 60)


def test_a_candidate_that_fails_goes_back_at_the_first_step_although_metrics_are_late() -> None:
    bench = Bench(plan=type(PLAN)(weights=PLAN.weights, bake_seconds=60, hold_seconds=300))
    bench.timing = MetricTiming()
    bench.aws.behaviour["2"] = Behaviour(errors=1.0)

    outcome = bench.controller().shift()

    assert outcome.code is ExitCode.ROLLED_BACK
    assert outcome.release
    assert (outcome.release.step, outcome.release.rejected) == (0, True)
