"""The answers of the local CloudWatch: when points appear, under which dimensions, and how many it reads for them."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from ministack.core.responses import request_scope
from ministack.services import cloudwatch

from localcloud.emulator import alarms, aliases, metrics, own_api
from localcloud.settings import Settings
from pipeline.release.samples import EDGES_MS

DURATION = {"Namespace": "Test", "MetricName": "Duration", "Dimensions": [{"Name": "FunctionName", "Value": "f"}]}


@pytest.fixture(autouse=True)
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Of a cloud that shows metrics at once."""
    settings = Settings.generate("dev", tmp_path, 4571).change("metric_minute_seconds=0")
    settings.write()
    own_api.use(settings)
    with request_scope("111111111111", "eu-west-1"):
        yield settings
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-30T00:00:01Z", 1795996801.0),
        ("2026-11-30T00:00:01.5Z", 1795996801.5),
        ("2026-11-30T01:00:01+01:00", 1795996801.0),
        ("2026-11-30T01:00:01+0100", 1795996801.0),
        ("2026-11-30T00:00:01", 1795996801.0),
        (" 1795996801 ", 1795996801.0),
        ("20261130", 20261130.0),
        ("yesTerday", None),
        ("", None),
    ],
)
def test_a_time_is_read_in_each_form_that_a_client_may_write(text: str, expected: float | None) -> None:
    assert cloudwatch._parse_ts(text) == expected


def test_metrics_are_read_in_a_thread_of_their_own_and_other_requests_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a reading that lasts until another request was answered
    answered = threading.Event()
    monkeypatch.setattr(cloudwatch, "_get_metric_data", lambda *_: answered.wait(10))

    async def call(action: str) -> Any:
        headers = {
            "x-amz-target": f"GraniteServiceVersion20100801.{action}",
            "content-type": "application/x-amz-json-1.0",
        }
        return await cloudwatch.handle_request("POST", "/", headers, b"{}", {})

    async def both() -> Any:
        reading = asyncio.create_task(call("GetMetricData"))
        await asyncio.sleep(0.05)
        await call("PutMetricData")
        answered.set()
        return await reading

    # When both are asked for, then neither waits for the other
    assert asyncio.run(both()) is True


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


@pytest.mark.parametrize(
    ("new", "kept_seconds"), [(metrics.FEW, metrics.KEEP_SECONDS), (1, metrics.KEEP_FEW_SECONDS)], ids=["many", "few"]
)
def test_many_points_are_kept_for_a_quarter_of_an_hour_and_few_for_a_day(new: int, kept_seconds: int) -> None:
    # Given an old point, one that is a minute younger, and new ones
    for value in range(2 + new):
        metrics.record("Test", "Duration", float(value), "Milliseconds", {"FunctionName": "f"})
    points = cloudwatch._metric_bucket(("Test", "Duration", cloudwatch._dims_key({"FunctionName": "f"})))
    points[0]["Timestamp"] -= kept_seconds + 30
    points[1]["Timestamp"] -= kept_seconds - 30
    # When the clock ticks
    metrics.drop_old_points()
    # Then the old point is gone, and the others are not
    assert [point["Value"] for point in points] == [float(value) for value in range(1, 2 + new)]


LAST_WEEK = 1_700_000_000.0
"""A whole minute of every length that the tests use."""


def set_clock(monkeypatch: pytest.MonkeyPatch, now: float) -> None:
    monkeypatch.setattr(time, "time", lambda: now)


def seen(monkeypatch: pytest.MonkeyPatch, now: float, *, since: float) -> float:
    """How many durations of the function a caller sees at ``now``."""
    set_clock(monkeypatch, now)
    return sum(sum(values) for values in get_metric_data("SampleCount", since=since))


def test_a_point_appears_when_its_whole_minute_is_two_minutes_old(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a cloud whose minutes have three seconds, and a point in the middle of one
    settings.change("metric_minute_seconds=3").write()
    begin = LAST_WEEK // 3 * 3
    set_clock(monkeypatch, begin + 1.5)
    metrics.record("Test", "Duration", 3.0, "Milliseconds", {"FunctionName": "f"})
    # Then it is there when two minutes have passed after the end of its minute, and not before
    assert seen(monkeypatch, begin + 8.9, since=begin) == 0
    assert seen(monkeypatch, begin + 9.0, since=begin) == 1
    # And the start time of a call is rounded down to the minute
    assert seen(monkeypatch, begin + 9.0, since=begin + 2.9) == 1
    assert seen(monkeypatch, begin + 9.0, since=begin + 3.0) == 0


def test_an_alarm_and_the_statistics_see_what_the_data_show(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a point that is not published yet
    settings.change("metric_minute_seconds=1").write()
    set_clock(monkeypatch, LAST_WEEK)
    metrics.record("Test", "Duration", 7.0, "Milliseconds", {"FunctionName": "f"})
    alarm = {**DURATION, "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1}
    request = {**DURATION, "Period": 60, "Statistics": ["Sum"], "StartTime": LAST_WEEK - 60, "EndTime": LAST_WEEK + 60}

    def statistics() -> Any:
        return json.loads(cloudwatch._get_metric_statistics({}, dict(request), False, True)[2])["Datapoints"]

    # Then neither knows it
    assert alarms.datapoints(alarm, time.time() + 0.1) == [None]
    assert statistics() == []
    # When it is published, then both do
    set_clock(monkeypatch, LAST_WEEK + 3)
    assert alarms.datapoints(alarm, time.time()) == [7.0]
    assert [point["Sum"] for point in statistics()] == [7.0]


@pytest.mark.parametrize(
    ("mode", "weighted", "counted"),
    [("weighted", True, True), ("weighted", False, False), ("always", True, True), ("always", False, True)],
)
def test_executed_version_is_counted_for_weighted_aliases_or_for_all(
    settings: Settings, mode: str, weighted: bool, counted: bool
) -> None:
    # Given how Lambda counts here, and an invocation of alias blue
    settings.change(f"executed_version={mode}").write()
    token = aliases.current.set(aliases.Invocation("blue", weighted=weighted))
    # When it runs version 7
    metrics.execute(lambda *_: {}, {}, {"FunctionName": "f", "Version": "7"}, {}, "id", time.time())
    aliases.current.reset(token)
    # Then the alias has a series, and alias and version together may have one
    by_alias = {"FunctionName": "f", "Resource": "f:blue"}
    assert cloudwatch._metrics.get(("AWS/Lambda", "Invocations", cloudwatch._dims_key(by_alias)))
    by_version = cloudwatch._dims_key({**by_alias, "ExecutedVersion": "7"})
    assert bool(cloudwatch._metrics.get(("AWS/Lambda", "Invocations", by_version))) is counted


@pytest.mark.parametrize(
    "wrong",
    [
        "executed_version=never",
        "metric_minute_seconds=-1",
        "metric_minute_seconds",
        "schedule_minute_seconds=1",
        "port=1",
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(settings: Settings, wrong: str) -> None:
    with pytest.raises(ValueError, match="use metric_minute_seconds=0 to 60"):
        settings.change(wrong)


def test_old_points_are_merged_by_minute_and_every_class_keeps_its_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_merged_until", 0.0)
    # Given a request each tenth of a second for ten minutes, with latencies around the bounds of the classes
    begin, bounds = (time.time() - 600) // 60 * 60, EDGES_MS[1:]
    latencies = [bound * share for bound in bounds for share in (0.97, 0.9991, 1.0, 1.0003, 1.02)]
    with request_scope("111111111111", "eu-west-1"):
        points = cloudwatch._metric_bucket(("Test", "Duration", cloudwatch._dims_key({"FunctionName": "f"})))
    for n in range(6000):
        at, value = begin + n / 10, latencies[n % len(latencies)]
        points.append({"Timestamp": at, "Value": value, "Unit": "Milliseconds", "Dimensions": {"FunctionName": "f"}})
    statistics = [f"TC({low or ''}:{high})" for low, high in pairwise((*EDGES_MS, ""))]
    before = get_metric_data(*statistics, since=begin)

    metrics.drop_old_points()

    # Then few points are left of the minutes that are over, and no class has another count
    old = [point for point in points if point["Timestamp"] < time.time() - metrics.MERGE_SECONDS - 60]
    assert len(old) <= 10 * len(latencies)
    assert sum(point.get("Count", 1) for point in points) == 6000
    assert get_metric_data(*statistics, since=begin) == before


def test_amounts_keep_their_sum() -> None:
    amounts = [{"Timestamp": n, "Value": 1234.56, "Unit": "None", "Dimensions": {}} for n in range(30)]

    [point] = metrics.merged(amounts)

    assert (point["Value"], point["Count"]) == (1234.56, 30)


def test_new_points_are_not_merged() -> None:
    metrics.record("Test", "Duration", 12.345, "Milliseconds", {"FunctionName": "f"})
    points = next(iter(cloudwatch._metrics._data.values()))

    metrics.drop_old_points()

    assert [point["Value"] for point in points] == [12.345], "a new point is as it was"
