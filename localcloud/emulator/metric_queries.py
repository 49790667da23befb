"""The expressions of GetMetricData, which MiniStack does not evaluate: metric math, and the search for metrics.

Source: "Using math expressions with CloudWatch metrics", "CloudWatch search expression syntax". Of a search, that part
is known which dashboards use: a schema, and exact values of the metric's name and of dimensions. Each metric that it
finds is a result of its own, and all have the search's id. An expression that is not known is said in its result.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ministack.services import cloudwatch

from localcloud.emulator.metric_math import UnsupportedExpression, Value, evaluate
from localcloud.emulator.upstream import original

SEARCH = re.compile(
    r"SEARCH\(\s*'\s*\{(?P<schema>[^{}']+)\}(?P<terms>(?:\s*\w+\s*=\s*\"[^\"']*\")*)\s*'"
    r"\s*,\s*'(?P<statistic>[^']+)'\s*,\s*(?P<period>\d+)\s*\)"
)
TERM = re.compile(r"(\w+)\s*=\s*\"([^\"]*)\"")
NAME = re.compile(r"\b[a-z]\w*\b")
"""An id begins with a small letter; functions and operators have capital ones."""
MOST_FOUND = 500
"""Metrics that one search finds."""

Query = Mapping[str, Any]
Result = Mapping[str, Any]

original(cloudwatch, "_json_ok")
original(cloudwatch, "_parse_ts")


def has_expressions(request: Mapping[str, Any]) -> bool:
    return any("Expression" in query for query in request.get("MetricDataQueries", []))


def answer(request: Mapping[str, Any], ask: Callable[[dict[str, Any]], bytes]) -> Any:
    """The answer to ``request``. ``ask``: asks for metrics without expressions."""
    queries: Sequence[Query] = request["MetricDataQueries"]
    stored = list(cloudwatch._metrics.items())
    wanted = [(query["Id"], each) for query in queries for each in _metrics(query, stored)]
    asked = [{**each, "Id": f"q{place}", "ReturnData": True} for place, (_, each) in enumerate(wanted)]
    found = json.loads(ask({**request, "MetricDataQueries": asked}))["MetricDataResults"]
    known: dict[str, list[Result]] = {query["Id"]: [] for query in queries if _is_known(query)}
    for (id, each), result in zip(wanted, found, strict=True):
        known[id].append({**result, "Label": each.get("Label") or id})
    calculation = _Calculation(request, known)
    shown = [
        {"StatusCode": "Complete", **result, "Id": query["Id"]}
        for query in queries if query.get("ReturnData", True) for result in calculation.results(query["Id"])
    ]  # fmt: skip
    return cloudwatch._json_ok({"MetricDataResults": shown})


def _is_known(query: Query) -> bool:
    return "MetricStat" in query or SEARCH.fullmatch(query["Expression"].strip()) is not None


def _metrics(query: Query, stored: Iterable[tuple[Any, Sequence[Any]]]) -> Iterator[Query]:
    """The metrics for which ``query`` asks: one, or those that its search finds among ``stored``."""
    search = SEARCH.fullmatch(query.get("Expression", "").strip())
    if search is None:
        yield from [query] if "MetricStat" in query else []
        return
    namespace, *names = (each.strip().strip('"') for each in search["schema"].split(","))
    terms = dict(TERM.findall(search["terms"]))
    name = terms.pop("MetricName", None)
    found = sorted(
        (metric, sorted(points[0]["Dimensions"].items()))
        for (space, metric, _), points in stored
        if points and space == namespace and name in (None, metric)
    )
    exact = [each for each in found if {n for n, _ in each[1]} == set(names) and terms.items() <= dict(each[1]).items()]
    for metric, dimensions in exact[:MOST_FOUND]:
        named = [{"Name": each, "Value": value} for each, value in dimensions]
        label = " ".join(filter(None, (query.get("Label"), _different([value for _, value in dimensions]))))
        of = {"Namespace": namespace, "MetricName": metric, "Dimensions": named}
        yield {
            "Label": label,
            "MetricStat": {"Metric": of, "Period": int(search["period"]), "Stat": search["statistic"]},
        }


def _different(values: Sequence[str]) -> str:
    """The values, without the name of a function that its alias has too; the shortest last."""
    longest_first = sorted(values, key=len, reverse=True)
    return " ".join(value for value in longest_first if not any(each.startswith(f"{value}:") for each in longest_first))


class _Calculation:
    """``known``: the results of metrics and searches, by the id of their query."""

    def __init__(self, request: Mapping[str, Any], known: dict[str, list[Result]]) -> None:
        self._queries = {query["Id"]: query for query in request["MetricDataQueries"]}
        self._begin = cloudwatch._parse_ts(request["StartTime"]) or 0.0
        self._end = cloudwatch._parse_ts(request["EndTime"]) or 0.0
        self._known = known

    def results(self, id: str) -> Sequence[Result]:
        if id not in self._known:
            self._known[id] = []  # an expression that uses itself finds no data
            self._known[id] = [self._result(self._queries[id])]
        return self._known[id]

    def _result(self, query: Query) -> Result:
        expression = query["Expression"]
        label = query.get("Label") or query["Id"]
        try:
            evaluate(expression, dict.fromkeys(self._queries))  # without any data, it would never be seen
            series = {name: self._series(name) for name in set(NAME.findall(expression)) & set(self._queries)}
            values = {at: self._value(expression, series, at) for at in self._times(expression, series, query)}
        except UnsupportedExpression as error:
            message = {"Code": "Unsupported", "Value": str(error)}
            return {
                "Label": label,
                "StatusCode": "InternalError",
                "Messages": [message],
                "Timestamps": [],
                "Values": [],
            }
        points = {at: value for at, value in values.items() if value is not None}
        return {
            "Label": label,
            "Timestamps": [int(at) for at in points],
            "Values": list(points.values()),
        }

    def _series(self, id: str) -> Mapping[float, float]:
        found = self.results(id)
        if len(found) > 1:
            raise UnsupportedExpression(f"metric math over the {len(found)} metrics that the search {id} finds")
        return {
            cloudwatch._parse_ts(at) or 0.0: value
            for each in found
            for at, value in zip(each["Timestamps"], each["Values"], strict=True)
        }

    def _times(self, expression: str, series: Mapping[str, Mapping[float, float]], query: Query) -> Sequence[float]:
        """Those at which there is a value; with FILL, all."""
        if "FILL" not in expression:
            return sorted({at for each in series.values() for at in each})
        stats = [self._queries[id].get("MetricStat", {}) for id in series]
        period = max((int(each["Period"]) for each in stats if each), default=int(query.get("Period") or 60))
        begin = math.floor(self._begin / period) * period
        return [float(at) for at in range(begin, math.ceil(self._end), period)]

    @staticmethod
    def _value(expression: str, series: Mapping[str, Mapping[float, float]], at: float) -> Value:
        return evaluate(expression, {id: each.get(at) for id, each in series.items()})
