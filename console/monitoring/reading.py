"""Dashboard, metrics and alarms of each environment, from CloudWatch's API: the local cloud has the same."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import names
from console import text
from console.monitoring.dashboard import Series, Widget, widgets
from console.platforms import Platforms
from console.reading import Cached, Reading
from pipeline.release.aws import PROMPT_CONFIG, calling
from pipeline.release.plan import bake_scale

WINDOW_SECONDS = 3 * 3600
"""As CloudWatch's console shows it at first."""
HISTORY = 50
"""The last changes of alarms."""

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


class Monitoring(Protocol):
    def view(self, environment: str) -> Reading[View]: ...


class CloudWatch:
    """``Monitoring`` by CloudWatch's API."""

    def __init__(self, platforms: Platforms, *, seconds: float) -> None:
        self._platforms, self._seconds = platforms, seconds
        self._views: dict[str, Cached[View]] = {}
        self._clients: dict[str, Any] = {}

    def view(self, environment: str) -> Reading[View]:
        if environment not in self._views:
            self._views[environment] = Cached(lambda: self._read(environment), seconds=self._seconds)
        return self._views[environment].get()

    def _read(self, environment: str) -> View:
        """After a failure, the next attempt opens a connection anew."""
        client = self._clients.pop(environment, None)
        if client is None:
            client = self._platforms.session(environment).client("cloudwatch", config=PROMPT_CONFIG)
        end = time.time()
        begin = end - WINDOW_SECONDS * bake_scale()
        with calling(f"reading the dashboard of {environment}"):
            body = client.get_dashboard(DashboardName=names.platform(environment))["DashboardBody"]
        with calling("reading the metrics of the dashboard"):
            graphs = [
                Graph(widget=widget, lines=_lines(client.get_metric_data, widget.series, begin, end))
                for widget in widgets(body)
            ]
        with calling("reading the alarms"):
            alarms = _alarms(client, environment)
            found = client.describe_alarm_history(
                AlarmTypes=["MetricAlarm", "CompositeAlarm"], HistoryItemType="StateUpdate", MaxRecords=HISTORY
            )
        known = {alarm.name for alarm in alarms}
        changes = [_change(each) for each in found["AlarmHistoryItems"] if each["AlarmName"] in known]
        self._clients[environment] = client
        return View(begin=begin, end=end, graphs=graphs, alarms=alarms, changes=changes)


def _lines(get_metric_data: Callable[..., Any], series: Sequence[Series], begin: float, end: float) -> list[Line]:
    if not series:
        return []
    queries = [each.query(bake_scale()) for each in series]
    lines: list[Line] = []
    more: dict[str, str] = {}
    while True:
        page = get_metric_data(
            MetricDataQueries=queries, StartTime=begin, EndTime=end, ScanBy="TimestampAscending", **more
        )
        lines += [_line(found, series) for found in page["MetricDataResults"]]
        if "NextToken" not in page:
            return lines
        more = {"NextToken": page["NextToken"]}


def _line(found: Any, series: Sequence[Series]) -> Line:
    of = next((each for each in series if each.id == found["Id"]), series[0])
    troubles = [each["Value"] for each in found.get("Messages", [])] if found["StatusCode"] != "Complete" else []
    points = zip((at.timestamp() for at in found["Timestamps"]), found["Values"], strict=True)
    label = found.get("Label") or of.label
    return Line(
        label=text.line(of.name if label == of.id and of.name else label),
        points=sorted(points),
        right=of.right,
        trouble=text.line("; ".join(troubles)),
    )


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
