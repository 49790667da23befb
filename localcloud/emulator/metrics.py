"""The service metrics that alarms and the release controller read. MiniStack emits Lambda's per function only.

Names, units and dimensions are those of the AWS documentation: "Types of metrics for Lambda functions", "Amazon API
Gateway dimensions and metrics", "CloudWatch metrics for your Application Load Balancer". Points are dropped after
``KEEP_SECONDS`` so that the emulator's memory does not grow with every request. Those of a job that runs every hour are
too few for that, and are kept for a day.

As on AWS, points appear late and by whole minutes: :func:`published`. The settings say how long a minute is here.
"""

import asyncio
import math
import re
import threading
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from ministack.core.responses import AccountRegionScopedDict
from ministack.services import cloudwatch, lambda_svc

from localcloud.emulator import aliases, metric_queries, own_api
from localcloud.emulator.upstream import Function, original, replaces
from localcloud.settings import ExecutedVersion

KEEP_SECONDS = 15 * 60
KEEP_FEW_SECONDS = 24 * 60 * 60
FEW = 30
DELAY_MINUTES = 2
"""How long after its end a minute is published. AWS promises none; one to three minutes are seen."""
MERGE_SECONDS = 120
"""Points that are older are merged by minute and value: bakes and alarms read newer ones."""
TRIMMED_COUNT = re.compile(r"TC\(([\d.]*):([\d.]*)\)")

Dimensions = Mapping[str, str]

_writing = threading.Lock()
original(cloudwatch, "_metric_bucket")
original(cloudwatch, "_point_stats")


def published(points: Iterable[Any], now: float) -> list[Any]:
    """The points that CloudWatch shows ``now``: those of the minutes that ended ``DELAY_MINUTES`` ago."""
    minute = own_api.settings().metric_minute_seconds
    if not minute:
        return list(points)
    end = math.floor((now - DELAY_MINUTES * minute) / minute) * minute
    return [point for point in points if point["Timestamp"] < end]


def record(
    namespace: str, name: str, value: float, unit: str, *dimension_sets: Dimensions, at: float | None = None
) -> None:
    """Store one measurement under each set of dimensions, in the current account and region.

    ``at``: its time, in seconds since the epoch; now, where it is not given.
    """
    at = time.time() if at is None else at
    with _writing:
        for dimensions in dimension_sets:
            points = cloudwatch._metric_bucket((namespace, name, cloudwatch._dims_key(dimensions)))
            last = points[-1] if points else None
            same_second = last and int(last["Timestamp"]) == int(at)
            if last and same_second and last["Value"] == value and last["Unit"] == unit:
                last["Count"] = last.get("Count", 1) + 1  # equal values of a second share one point
                continue
            kept = last["Dimensions"] if last else dict(dimensions)
            points.append({"Timestamp": at, "Value": value, "Unit": unit, "Dimensions": kept})


@replaces(cloudwatch, "_parse_ts")
def seconds(parse: Function, value: Any) -> float | None:
    """MiniStack tries its formats one by one. That took half the time of a dashboard, and all requests wait for it."""
    if isinstance(value, str) and "T" in value:
        with suppress(ValueError):
            at = datetime.fromisoformat(value.strip())
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    found: float | None = parse(value)
    return found


@replaces(cloudwatch, "_stat_value")
def statistic(value: Function, stats: Any, name: str, points: Any = None) -> Any:
    """Support ``TC(low:high)``, the count of values above ``low`` and up to ``high``. MiniStack gives their average."""
    bounds = TRIMMED_COUNT.fullmatch(name)
    if bounds is None:
        return value(stats, name, points)
    low, high = float(bounds[1] or "-inf"), float(bounds[2] or "inf")
    counted = [cloudwatch._point_stats(point) for point in points or []]
    return sum(count for count, _, least, _ in counted if low < least <= high)


class Store(AccountRegionScopedDict):  # type: ignore[misc]
    """MiniStack's points by metric. Inside a call that reads them it lists only those that the call asks for."""

    __slots__ = ()

    def items(self) -> Iterable[tuple[Any, list[Any]]]:
        asked_for = _asked_for.get()
        return super().items() if asked_for is None else asked_for


_asked_for: ContextVar[list[tuple[Any, list[Any]]] | None] = ContextVar("asked_for", default=None)
cloudwatch._metrics = Store()


@replaces(cloudwatch, "handle_request")
async def handle_request(
    handle: Function, method: str, path: str, headers: Mapping[str, str], body: Any, query: Any
) -> Any:
    """Read in a thread of its own. A dashboard takes tens of milliseconds, for which payments would wait."""
    answer = handle(method, path, headers, body, query)
    action = headers.get("x-amz-target", "").rpartition(".")[2]
    return await (asyncio.to_thread(asyncio.run, answer) if action.startswith(("Get", "Describe")) else answer)


@replaces(cloudwatch, "_get_metric_data")
def get_metric_data(answer: Function, params: Any, request: Any, is_cbor: bool, is_json: bool = False) -> Any:
    """Narrow the search to the metrics and the time of the call, and evaluate its expressions.

    MiniStack scans all points of all metrics for each query. The release controller sends a hundred queries at a time;
    every other request would wait for 0.1 s and more.
    """
    if not (is_cbor or is_json):
        return answer(params, request, is_cbor, is_json)
    if is_json and metric_queries.has_expressions(request):

        def ask(metrics: dict[str, Any]) -> bytes:
            body: bytes = get_metric_data(answer, params, metrics, False, True)[2]
            return body

        return metric_queries.answer(request, ask)
    asked = [query["MetricStat"]["Metric"] for query in request.get("MetricDataQueries", []) if "MetricStat" in query]
    dimensions = [{each["Name"]: each["Value"] for each in metric.get("Dimensions") or []} for metric in asked]
    keys = {
        (metric["Namespace"], metric["MetricName"], cloudwatch._dims_key(named))
        for metric, named in zip(asked, dimensions, strict=True)
    }
    with _narrowed(keys, request):
        return answer(params, request, is_cbor, is_json)


@replaces(cloudwatch, "_get_metric_statistics")
def get_metric_statistics(answer: Function, params: Any, request: Any, is_cbor: bool, is_json: bool = False) -> Any:
    if not (is_cbor or is_json):
        return answer(params, request, is_cbor, is_json)
    dimensions = {each["Name"]: each["Value"] for each in request.get("Dimensions") or []}
    with _narrowed([(request["Namespace"], request["MetricName"], cloudwatch._dims_key(dimensions))], request):
        return answer(params, request, is_cbor, is_json)


@contextmanager
def _narrowed(keys: Iterable[Any], request: dict[str, Any]) -> Iterator[None]:
    """Let the call see the published points of the metrics ``keys`` since its start time, which is rounded down to the
    whole minute."""
    start, now = cloudwatch._parse_ts(request.get("StartTime")) or 0.0, time.time()
    if minute := own_api.settings().metric_minute_seconds:
        start = math.floor(start / minute) * minute
    request["StartTime"] = start
    points = [(key, published(list(cloudwatch._metrics.get(key) or ()), now)) for key in keys]
    token = _asked_for.set([(key, [point for point in found if point["Timestamp"] >= start]) for key, found in points])
    try:
        yield
    finally:
        _asked_for.reset(token)


@replaces(cloudwatch, "_evict_old_metrics")
def skip_eviction(_: Function) -> None:
    """MiniStack would scan all points at every call, and lose a point written during the scan."""


def drop_old_points() -> None:
    """Drop the points that are too old, and merge those older than ``MERGE_SECONDS``, in every
    account and region."""
    global _merged_until
    now = time.time()
    end = max((now - MERGE_SECONDS) // 60 * 60, _merged_until)
    for points in list(cloudwatch._metrics._data.values()):
        with _writing:
            kept = KEEP_FEW_SECONDS if len(points) <= FEW else KEEP_SECONDS
            del points[: bisect_left(points, now - kept, key=_timestamp)]
            first, last = (bisect_left(points, bound, key=_timestamp) for bound in (_merged_until, end))
        if last > first:
            few = merged(points[first:last])  # without the lock, because requests wait for it: others only append
            with _writing:
                points[first:last] = few
    _merged_until = end


_merged_until = 0.0


def merged(points: Iterable[Any]) -> list[Any]:
    """The points by minute and value, with their counts.

    Times are rounded up to three significant digits, so that each stays in its class of ``pipeline.release.samples``.
    Other values, such as amounts, stay exact.
    """
    found: dict[Any, Any] = {}
    for point in points:
        if "_stat" in point:
            found[id(point)] = point  # a set of statistics has no single value
            continue
        minute, value, unit = point["Timestamp"] // 60 * 60, point["Value"], point["Unit"]
        if unit in ("Milliseconds", "Seconds"):
            value = _rounded_up(value)
        key = (minute, value, unit)
        if key not in found:
            found[key] = {**point, "Timestamp": minute, "Value": value, "Count": 0}
        found[key]["Count"] += point.get("Count", 1)
    return list(found.values())


def _timestamp(point: Any) -> float:
    return float(point["Timestamp"])


def _rounded_up(value: float) -> float:
    if value <= 0:
        return value
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{math.ceil(round(value / step, 6)) * step:.12g}")


def record_api(*, api: str, stage: str, resource: str | None, method: str, milliseconds: float, status: int) -> None:
    """``resource``: path of the API's resource. A request that none serves has no such dimension: its path is the
    client's text, and each text would be a metric of its own."""
    by_api = {"ApiName": api}
    by_stage = {**by_api, "Stage": stage}
    sets = [by_api, by_stage]
    if resource is not None:
        sets.append({**by_stage, "Resource": resource, "Method": method})
    record("AWS/ApiGateway", "Count", 1, "Count", *sets)
    record("AWS/ApiGateway", "Latency", milliseconds, "Milliseconds", *sets)
    record("AWS/ApiGateway", "4XXError", float(400 <= status < 500), "Count", *sets)
    record("AWS/ApiGateway", "5XXError", float(status >= 500), "Count", *sets)


def record_load_balancer(
    *, load_balancer: str, target_group: str, seconds: float, status: int, target_failed: bool
) -> None:
    """``target_failed``: the function raised or timed out, and the load balancer answered 502 itself."""
    by_balancer = {"LoadBalancer": load_balancer}
    sets = (by_balancer, {"TargetGroup": target_group}, {**by_balancer, "TargetGroup": target_group})
    record("AWS/ApplicationELB", "RequestCount", 1, "Count", *sets)
    record("AWS/ApplicationELB", "TargetResponseTime", seconds, "Seconds", *sets)
    if target_failed:
        record("AWS/ApplicationELB", "LambdaUserError", 1, "Count", *sets[1:])
        record("AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", 1, "Count", by_balancer)
        record("AWS/ApplicationELB", "HTTPCode_ELB_502_Count", 1, "Count", by_balancer)
    else:
        record("AWS/ApplicationELB", f"HTTPCode_Target_{status // 100}XX_Count", 1, "Count", *sets)


@replaces(lambda_svc, "_emit_lambda_metrics")
def function_throttled(_: Function, function_name: str, duration_ms: float, error: bool, throttle: bool) -> None:
    """Record throttles only. MiniStack calls this at several places; ``execute`` records each invocation once."""
    if throttle:
        record("AWS/Lambda", "Throttles", 1, "Count", {"FunctionName": function_name})


@replaces(lambda_svc, "_execute_function_dispatch")
def execute(run: Function, func: Any, config: Any, event: Any, request_id: str, started: float) -> Any:
    """Record one invocation. Every kind of invocation passes here exactly once, in its account and region."""
    result = run(func, config, event, request_id, started)
    failed = bool(isinstance(result, dict) and result.get("error"))
    invocation = aliases.current.get() or aliases.Invocation()
    invocation.failed = failed
    name = config.get("FunctionName", "")
    sets: list[Dimensions] = [{"FunctionName": name}]
    if invocation.qualifier and invocation.qualifier != "$LATEST":
        by_alias = {"FunctionName": name, "Resource": f"{name}:{invocation.qualifier}"}
        sets.append(by_alias)
        if invocation.weighted or own_api.settings().executed_version is ExecutedVersion.ALWAYS:
            sets.append({**by_alias, "ExecutedVersion": str(config.get("Version", "$LATEST"))})
    # The time of a point is that at which the function was invoked.
    record("AWS/Lambda", "Invocations", 1, "Count", *sets, at=started)
    record("AWS/Lambda", "Errors", float(failed), "Count", *sets, at=started)
    record("AWS/Lambda", "Duration", (time.time() - started) * 1000, "Milliseconds", *sets, at=started)
    record("AWS/Lambda", "Throttles", 0, "Count", *sets, at=started)
    return result
