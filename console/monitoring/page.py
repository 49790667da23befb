"""The page of a platform: the dashboard's graphs, and the alarms."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from console.monitoring.reading import Graph, Line, View
from console.reading import Reading
from reporting import charts
from reporting.charts import Axis, Chart, Scale

STYLES = ("first", "second", "third", "p90", "p99", "p50")
ALARM_BADGES = {"OK": "pass", "ALARM": "fail", "INSUFFICIENT_DATA": "neutral"}


def view(environment: str, reading: Reading[View], *, measured: bool = False) -> Mapping[str, Any]:
    """The values of ``platform_live.html``. ``measured``: whether a load gate measures the environment now."""
    found = reading.value
    return {
        "environment": environment,
        "reading": reading,
        "measured": measured,
        "platform": found,
        "graphs": [_drawn(graph, found) for graph in found.graphs] if found else [],
        "alarm_badges": ALARM_BADGES,
        "ringing": [alarm.name for alarm in found.alarms if alarm.state == "ALARM"] if found else [],
    }


def _drawn(graph: Graph, view: View) -> Mapping[str, Any]:
    """A widget with its chart, and the last value of each line: what a reader of the picture would look for."""
    styled = list(zip(graph.lines, cycle(STYLES), strict=False))
    key = [(style, line.label, _last(line)) for line, style in styled if line.points]
    return {
        "widget": graph.widget,
        "chart": _chart(graph, view, styled) if graph.widget.kind == "metric" else None,
        "key": key,
        "silent": [line.label for line in graph.lines if not line.points and not line.trouble],
        "troubles": sorted({line.trouble for line in graph.lines if line.trouble}),
    }


def _chart(graph: Graph, view: View, styled: Sequence[tuple[Line, str]]) -> Chart:
    """Lines of the right axis are drawn on a scale of their own; the key says so."""
    time = charts.horizontal(0.0, view.end - view.begin, Scale.TIME)
    left = _axis(graph, right=False)
    right = _axis(graph, right=True)
    shapes = [
        shape
        for line, style in styled
        for shape in charts.line(
            time, right if line.right else left, [(at - view.begin, value) for at, value in line.points], style
        )
    ]
    described = "; ".join(f"{line.label} is {_last(line)}" for line, _ in styled if line.points)
    return charts.chart(
        time,
        left if any(line.points and not line.right for line, _ in styled) else right,
        shapes or [charts.remark("no data in this time")],
        title=graph.widget.title,
        description=described or "No data in this time.",
        x_unit=time.time_unit,
        y_unit="",
    )


def _axis(graph: Graph, *, right: bool) -> Axis:
    values = [value for line in graph.lines if line.right is right for _, value in line.points]
    high = graph.widget.greatest.get("right" if right else "left")
    if high is None:
        high = charts.rounded_up(max(values, default=0.0))
    return charts.vertical(high)


def _last(line: Line) -> str:
    text = f"{line.points[-1][1]:.4g}"
    return f"{text} (own scale)" if line.right else text
