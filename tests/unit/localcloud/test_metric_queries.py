"""Expressions of GetMetricData: searches and metric math over the points of a window."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ministack.core.responses import request_scope
from ministack.services import cloudwatch

from localcloud.emulator import metrics, own_api
from localcloud.settings import Settings

NOW = time.time() // 60 * 60
"""The begin of a minute."""
FUNCTION = {"FunctionName": "f"}
BLUE, GREEN = ({**FUNCTION, "Resource": f"f:{colour}"} for colour in ("blue", "green"))


@pytest.fixture(autouse=True)
def points(tmp_path: Path) -> Iterator[None]:
    """Two minutes of a function, whose alias blue has two versions, of a cloud that shows metrics at once."""
    settings = Settings.generate("dev", tmp_path, 4571).change("metric_minute_seconds=0")
    settings.write()
    own_api.use(settings)
    with request_scope("111111111111", "eu-west-1"):
        for minute, versions in ((-120, "1"), (-60, "12")):
            for version in versions:
                sets = (BLUE, {**BLUE, "ExecutedVersion": version}, {**GREEN, "ExecutedVersion": version}, FUNCTION)
                metrics.record("AWS/Lambda", "Duration", 10 * int(version), "Milliseconds", *sets, at=NOW + minute)
                metrics.record("AWS/Lambda", "Errors", int(version) - 1, "Count", *sets, at=NOW + minute)
        metrics.record("AWS/Lambda", "Faults", 4, "Count", FUNCTION, at=NOW - 60)
        yield
        cloudwatch._metrics._data.clear()


def asked(*queries: dict[str, Any]) -> dict[str, Any]:
    return {"MetricDataQueries": list(queries), "StartTime": NOW - 180, "EndTime": NOW}


def results(*queries: dict[str, Any]) -> list[dict[str, Any]]:
    _, _, body = cloudwatch._get_metric_data({}, asked(*queries), False, True)
    found: list[dict[str, Any]] = json.loads(body)["MetricDataResults"]
    return found


def metric(id: str, name: str, statistic: str = "Sum", *, shown: bool = False) -> dict[str, Any]:
    dimensions = [{"Name": each, "Value": value} for each, value in FUNCTION.items()]
    of = {"Namespace": "AWS/Lambda", "MetricName": name, "Dimensions": dimensions}
    return {"Id": id, "ReturnData": shown, "MetricStat": {"Metric": of, "Period": 60, "Stat": statistic}}


def search(terms: str, *, statistic: str = "Maximum", schema: str = "ExecutedVersion,FunctionName,Resource") -> str:
    return f"SEARCH('{{AWS/Lambda,{schema}}} {terms}', '{statistic}', 60)"


def test_a_search_finds_each_metric_that_has_just_these_dimensions_and_values() -> None:
    terms = 'MetricName="Duration" Resource="f:blue"'
    one, two = results({"Id": "e1", "Expression": search(terms), "Period": 60})
    assert [one["Id"], two["Id"]] == ["e1", "e1"]
    assert [one["Label"], two["Label"]] == ["f:blue 1", "f:blue 2"]
    assert (one["Timestamps"], one["Values"]) == ([NOW - 120, NOW - 60], [10.0, 10.0])
    assert (two["Timestamps"], two["Values"], two["StatusCode"]) == ([NOW - 60], [20.0], "Complete")


def test_a_search_that_finds_nothing_has_no_result() -> None:
    for expression in (
        search('MetricName="Duration" Resource="f:red"'),
        search('MetricName="Duration"', schema="Resource"),
        search('MetricName="Other"'),
    ):
        assert results({"Id": "e1", "Expression": expression}) == []


def test_math_is_evaluated_for_each_period_of_metrics_that_are_not_shown() -> None:
    # Given a sum of errors in both minutes, and faults in the last one only
    expression = {"Id": "share", "Expression": "100 * faults / FILL(errors, 1)", "Label": "share, %"}
    # When somebody asks for their quotient, before and after the metrics
    [found] = results(expression, metric("errors", "Errors"), metric("faults", "Faults"))
    # Then it is there in the minute in which it has a value
    assert found["Label"] == "share, %"
    assert (found["Timestamps"], found["Values"]) == ([NOW - 60], [400.0])


def test_fill_gives_a_value_where_a_metric_has_none() -> None:
    [found] = results(metric("faults", "Faults"), {"Id": "all", "Expression": "FILL(faults, 0)"})
    assert found["Values"] == [0.0, 0.0, 4.0]


def test_an_expression_may_use_another_and_results_stand_in_the_order_of_the_queries() -> None:
    found = results(
        {"Id": "double", "Expression": "2 * both"},
        metric("errors", "Errors", shown=True),
        {"Id": "both", "Expression": "errors + durations", "ReturnData": False},
        metric("durations", "Duration"),
    )
    assert [each["Id"] for each in found] == ["double", "errors"]
    assert found[0]["Values"] == [20.0, 62.0]


@pytest.mark.parametrize(
    "expression",
    ["ANOMALY_DETECTION_BAND(errors)", "SEARCH('{AWS/Lambda} Errors', 'Sum', 60)", "errors +", "own + 1", "2 * found"],
)
def test_what_can_not_be_evaluated_is_said_and_hides_no_other_result(expression: str) -> None:
    found = results(
        metric("errors", "Errors", shown=True),
        {"Id": "found", "Expression": search('MetricName="Duration"'), "ReturnData": False},
        {"Id": "own", "Expression": expression},
    )
    assert found[0]["StatusCode"] == "Complete"
    assert found[1]["StatusCode"] == ("Complete" if expression == "own + 1" else "InternalError")
    assert found[1]["Values"] == []
