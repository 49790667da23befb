"""Dashboard, metrics and alarms of each environment, from CloudWatch's API: the local cloud has the same."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

import names
from console import text
from console.monitoring.dashboard import Series, Widget, widgets
from console.platforms import Platforms, spared
from console.reading import Cached, Reading
from pipeline.release.aws import PROMPT_CONFIG, calling
from pipeline.release.plan import bake_scale
from pipeline.release.ports import Unavailable

WINDOW_SECONDS = 3 * 3600
"""As CloudWatch's console shows it at first."""
HISTORY = 50
"""The last changes of alarms."""
MOST_QUERIES = 500
"""Of one call of GetMetricData."""

T = TypeVar("T")
Points = Sequence[tuple[float, float]]
"""Time (seconds since the epoch) and value, in the order of time."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """The values of a series."""

    label: str
    points: Points
    right: bool = False
    trouble: str = ""
    """Why there is none."""


@dataclass(frozen=True, kw_only=True)
class Graph:
    widget: Widget
    lines: Sequence[Line]


@dataclass(frozen=True, kw_only=True)
class Alarm:
    name: str
    state: str
    """``OK``, ``ALARM`` or ``INSUFFICIENT_DATA``."""
    since: float
    reason: str
    description: str
    acts: bool
    """Whether its actions are switched on."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """An alarm changed its state."""

    at: float
    alarm: str
    summary: str


@dataclass(frozen=True, kw_only=True)
class View:
    """The platform of an environment at one moment."""

    begin: float
    end: float
    graphs: Sequence[Graph]
    alarms: Sequence[Alarm]
    changes: Sequence[Change]
    troubles: Mapping[str, str] = field(default_factory=dict)
    """Why a part is that of an earlier moment, or empty: ``dashboard``, ``metrics``, ``alarms`` or ``history``."""


class Monitoring(Protocol):
    def view(self, environment: str) -> Reading[View]: ...


class CloudWatch:
    """``Monitoring`` by CloudWatch's API. A part that it does not tell keeps no other from being shown."""

    def __init__(self, platforms: Platforms, *, seconds: float) -> None:
        self._platforms, self._seconds = platforms, seconds
        self._views: dict[str, Cached[View]] = {}
        self._clients: dict[str, Any] = {}
        self._last: dict[str, View] = {}

    def view(self, environment: str) -> Reading[View]:
        if environment not in self._views:
            self._views[environment] = Cached(
                lambda: self._read(environment), seconds=spared(self._platforms, environment, self._seconds)
            )
        return self._views[environment].get()

    def _read(self, environment: str) -> View:
        """After a failure, the next attempt opens a connection anew. Raises what no part has answered with."""
        client = self._clients.pop(environment, None)
        if client is None:
            client = self._platforms.session(environment).client("cloudwatch", config=PROMPT_CONFIG)
        end = time.time()
        begin = end - WINDOW_SECONDS * bake_scale()
        troubles: dict[str, str] = {}
        last = self._last.get(environment) or View(begin=begin, end=end, graphs=(), alarms=(), changes=())

        def part(name: str, what: str, read: Callable[[], Sequence[T]], before: Sequence[T]) -> Sequence[T]:
            try:
                with calling(what):
                    return read()
            except (Unavailable, ValueError) as error:
                troubles[name] = str(error)
                return before

        found = part("dashboard", f"reading the dashboard of {environment}", lambda: _widgets(client, environment), ())
        graphs = last.graphs or [Graph(widget=each, lines=()) for each in found]
        if found:
            read = partial(_graphs, client.get_metric_data, found, begin, end)
            graphs = part("metrics", "reading the metrics of the dashboard", read, graphs)
        alarms = part("alarms", "reading the alarms", lambda: _alarms(client, environment), last.alarms)
        known = {alarm.name for alarm in alarms}
        changes = part("history", "reading the alarms' history", lambda: _changes(client, known), last.changes)
        if {"dashboard", "alarms", "history"} <= set(troubles):
            raise Unavailable(troubles["dashboard"])
        if not troubles:
            self._clients[environment] = client
        view = View(begin=begin, end=end, graphs=graphs, alarms=alarms, changes=changes, troubles=troubles)
        self._last[environment] = view
        return view


def _widgets(client: Any, environment: str) -> list[Widget]:
    return widgets(client.get_dashboard(DashboardName=names.platform(environment))["DashboardBody"])


def _graphs(get_metric_data: Callable[..., Any], found: Sequence[Widget], begin: float, end: float) -> list[Graph]:
    """All graphs in one call, or few: it takes 500 queries."""
    queries = [
        series.query(bake_scale(), f"w{place}_", {each.id for each in widget.series})
        for place, widget in enumerate(found)
        for series in widget.series
    ]
    results: dict[tuple[str, str], Any] = {}  # the values of one metric may be on several pages
    for first in range(0, len(queries), MOST_QUERIES):
        for each in _results(get_metric_data, queries[first : first + MOST_QUERIES], begin, end):
            before = results.get((each["Id"], each.get("Label", "")), {"Timestamps": [], "Values": []})
            whole = {name: [*before[name], *each[name]] for name in ("Timestamps", "Values")}
            results[(each["Id"], each.get("Label", ""))] = {**each, **whole}
    graphs = []
    for place, widget in enumerate(found):
        series = {f"w{place}_{each.id}": each for each in widget.series}
        lines = [_line(each, series[id]) for (id, _), each in results.items() if id in series]
        graphs.append(Graph(widget=widget, lines=lines))
    return graphs


def _results(get_metric_data: Callable[..., Any], queries: Sequence[Any], begin: float, end: float) -> Iterator[Any]:
    """Those of all pages."""
    more: dict[str, str] = {}
    while True:
        page = get_metric_data(
            MetricDataQueries=queries, StartTime=begin, EndTime=end, ScanBy="TimestampAscending", **more
        )
        yield from page["MetricDataResults"]
        if not page.get("NextToken"):
            return
        more = {"NextToken": page["NextToken"]}


def _line(found: Any, of: Series) -> Line:
    troubles = [each["Value"] for each in found.get("Messages", [])] if found["StatusCode"] != "Complete" else []
    points = zip((at.timestamp() for at in found["Timestamps"]), found["Values"], strict=True)
    return Line(
        label=text.line((found.get("Label") if of.expression else "") or of.label),
        points=sorted(points),
        right=of.right,
        trouble=text.line("; ".join(troubles)),
    )


def _changes(client: Any, known: Collection[str]) -> list[Change]:
    found = client.describe_alarm_history(
        AlarmTypes=["MetricAlarm", "CompositeAlarm"], HistoryItemType="StateUpdate", MaxRecords=HISTORY
    )
    return [_change(each) for each in found["AlarmHistoryItems"] if each["AlarmName"] in known]


def _change(raw: Any) -> Change:
    summary = text.line(raw.get("HistorySummary", ""))
    return Change(at=raw["Timestamp"].timestamp(), alarm=raw["AlarmName"], summary=summary)


def _alarms(client: Any, environment: str) -> list[Alarm]:
    """The environment's alarms, those that ring first."""
    found = [
        alarm
        for page in client.get_paginator("describe_alarms").paginate(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        for kind in ("MetricAlarms", "CompositeAlarms")
        for alarm in page.get(kind, [])
        if alarm["AlarmName"].endswith(f"-{environment}")
    ]
    order = ("ALARM", "INSUFFICIENT_DATA", "OK")
    alarms = [
        Alarm(
            name=each["AlarmName"],
            state=each["StateValue"],
            since=each["StateUpdatedTimestamp"].timestamp(),
            reason=text.line(each.get("StateReason", "")),
            description=text.line(each.get("AlarmDescription", "")),
            acts=bool(each.get("ActionsEnabled", True)),
        )
        for each in found
    ]
    return sorted(alarms, key=lambda alarm: (order.index(alarm.state), alarm.name))
