"""The answers of the local CloudWatch, and how many points it reads for them."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ministack.core.responses import request_scope
from ministack.services import cloudwatch

from localcloud.emulator import metrics

DURATION = {"Namespace": "Test", "MetricName": "Duration", "Dimensions": [{"Name": "FunctionName", "Value": "f"}]}


@pytest.fixture(autouse=True)
def account() -> Iterator[None]:
    with request_scope("111111111111", "eu-west-1"):
        yield
        cloudwatch._metrics._data.clear()


class CountsIterations(list[Any]):
    iterations = 0

    def __iter__(self) -> Iterator[Any]:
        self.iterations += 1
        return super().__iter__()


def get_metric_data(*statistics: str, since: float) -> list[list[float]]:
    """The values of the function's duration, a list for each statistic."""
    queries = [
        {"Id": f"m{index}", "MetricStat": {"Metric": DURATION, "Period": 3600, "Stat": statistic}}
        for index, statistic in enumerate(statistics)
    ]
    request = {"MetricDataQueries": queries, "StartTime": since, "EndTime": time.time() + 1}
    _, _, body = cloudwatch._get_metric_data({}, request, False, True)
    return [result["Values"] for result in json.loads(body)["MetricDataResults"]]


def test_the_points_are_read_once_for_any_number_of_statistics() -> None:
    # Given durations of two functions; the first duration of f is old
    now = time.time()
    for value in (3.0, 7.0, 12.0):
        metrics.record("Test", "Duration", value, "Milliseconds", {"FunctionName": "f"}, {"FunctionName": "g"})
    key = ("Test", "Duration", cloudwatch._dims_key({"FunctionName": "f"}))
    points = cloudwatch._metrics[key] = CountsIterations(cloudwatch._metric_bucket(key))
    points[0]["Timestamp"] = 1.0
    # When a caller asks for several statistics of f since a minute ago
    found = get_metric_data("SampleCount", "Maximum", "TC(5:10)", since=now - 60)
    # Then the values leave the old point out, and the points were read once
    assert [sum(values) for values in found] == [2.0, 12.0, 1.0]
    assert points.iterations == 1


def test_points_are_kept_for_a_quarter_of_an_hour() -> None:
    # Given an old and a new point
    metrics.record("Test", "Duration", 3.0, "Milliseconds", {"FunctionName": "f"})
    metrics.record("Test", "Duration", 7.0, "Milliseconds", {"FunctionName": "f"})
    points = cloudwatch._metric_bucket(("Test", "Duration", cloudwatch._dims_key({"FunctionName": "f"})))
    points[0]["Timestamp"] -= metrics.KEEP_SECONDS + 1
    # When the clock ticks
    metrics.drop_old_points()
    # Then only the new point is left
    assert [point["Value"] for point in points] == [7.0]
