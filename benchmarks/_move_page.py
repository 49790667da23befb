"""The page of a rehearsal: weights, parity and lag over time, and a row for each step."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks._move_cloud import NEW
from migration.parity import most, percent
from reporting import charts, render
from reporting.charts import Chart, Scale

PAGE = Path(__file__).with_name("_move.html")
_BUCKET_SECONDS = 5.0


def page(report: Mapping[str, Any]) -> str:
    """One self-contained HTML file. ``report``: the document of ``rehearsal.json``."""
    steps, seen = report["steps"], report["seen"]
    ends = max((step["begin"] + step["seconds"] for step in steps), default=1.0)
    return render(
        PAGE,
        report=report,
        weights=_weights(seen["weights"], report["reached"], ends),
        parity=_parity(seen["parity"], ends),
        lag=_lag(seen["lag"], ends),
        rows=[
            (step["name"], [f"{step['begin']:.0f}", f"{step['seconds']:.0f}", step["failure"] or step["found"]])
            for step in steps
        ],
    )


def _weights(weights: Sequence[Any], reached: Sequence[Any], ends: float) -> Chart:
    x, y = charts.horizontal(0.0, ends, Scale.TIME), charts.vertical(100.0)
    buckets: dict[int, list[bool]] = {}
    for at, host in reached:
        buckets.setdefault(int(at // _BUCKET_SECONDS), []).append(host == NEW)
    shares: list[charts.Point] = [
        ((number + 0.5) * _BUCKET_SECONDS, 100 * sum(found) / len(found)) for number, found in sorted(buckets.items())
    ]
    points = [(0.0, 0.0), *((at, value) for at, value in weights)]
    return charts.chart(
        x,
        y,
        [
            *charts.line(x, y, shares, "second", dots=False),
            *charts.staircase(x, y, [*points, (ends, points[-1][1])], "first"),
        ],
        title="Weight of the platform, and the share of payments that it took",
        description=f"The weight ends at {points[-1][1]:g} %",
        x_unit="min",
        y_unit="%",
    )


def _parity(parity: Sequence[Any], ends: float) -> Chart:
    found: list[charts.Point] = [
        (at, 100 * most(differ, requests, 0.95)) for at, requests, differ in parity if requests
    ]
    high = charts.rounded_up(max((value for _, value in found if value is not None), default=1.0))
    x, y = charts.horizontal(0.0, ends, Scale.TIME), charts.vertical(high)
    return charts.chart(
        x,
        y,
        charts.line(x, y, found, "first") or [charts.remark("no data")],
        title="The most that decisions may differ, with 95 %",
        description=f"At the end {percent((found[-1][1] or 0.0) / 100, up=True)}"
        if found
        else "No decision was compared",
        x_unit="min",
        y_unit="%",
    )


def _lag(lag: Sequence[Any], ends: float) -> Chart:
    high = charts.rounded_up(max((value for _, value in lag), default=1.0))
    x, y = charts.horizontal(0.0, ends, Scale.TIME), charts.vertical(high)
    return charts.chart(
        x,
        y,
        charts.line(x, y, [(at, value) for at, value in lag], "first", dots=False) or [charts.remark("no data")],
        title="Age of the oldest change that waits",
        description=f"At most {max((value for _, value in lag), default=0.0):.1f} s",
        x_unit="min",
        y_unit="s",
    )
