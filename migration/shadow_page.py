"""The page of a shadow run: the verdict, the differences by cause, and latencies side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from migration.parity import Parity, percent
from reporting import charts, render
from reporting.charts import Chart, Scale

PAGE = Path(__file__).with_name("shadow.html")
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
_STYLES = ("stable", "first", "second")
_POINTS = 60


def latencies(parity: Parity) -> dict[str, dict[str, float]]:
    """Percentiles in milliseconds, by route and of the old system. A percentile is a latency that occurred."""
    return {
        name: dict(zip(_QUANTILES, np.quantile(values, [*_QUANTILES.values()], method="higher").tolist(), strict=True))
        for name, values in sorted(parity.latencies.items(), reverse=True)
    }


def page(report: Mapping[str, Any], parity: Parity) -> str:
    """One self-contained HTML file. ``report``: the document of ``shadow.json``."""
    rows = [
        (name, [f"{len(parity.latencies[name]):,}", *(f"{found[each]:.1f}" for each in _QUANTILES)])
        for name, found in report["latency_ms"].items()
    ]
    return render(
        PAGE,
        report=report,
        bounds=_bounds(report),
        share=lambda value: percent(value, up=True),
        shown=[(cause, _examples(cause.examples)) for cause in parity.causes],
        columns=["", "requests", *(f"{each}, ms" for each in _QUANTILES)],
        rows=rows,
        latency=_latency(parity),
        key=list(zip(_STYLES, report["latency_ms"], strict=False)),
    )


def _bounds(report: Mapping[str, Any]) -> Chart:
    high = max(1.5 * report["most_share"], min(1.0, 1.2 * report["upper"]))
    requests = report["requests"]
    return charts.strip(
        charts.horizontal(0.0, 100 * high),
        low=100 * report["lower"],
        high=100 * report["upper"],
        value=100 * report["differences"] / requests if requests else None,
        limit=100 * report["most_share"],
        title="Share of requests that differ, in percent, beside the limit",
        description=f"Between {percent(report['lower'], up=False)} and {percent(report['upper'], up=True)} of all "
        f"requests differ; {100 * report['most_share']:g} % may",
    )


def _examples(examples: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Columns and rows of a table: each field that one of the examples has."""
    names = list(dict.fromkeys(name for example in examples for name in example if name != "line"))
    return ["line", *names], [
        (str(example["line"]), [str(example.get(name, "")) for name in names]) for example in examples
    ]


def _latency(parity: Parity) -> Chart:
    """The share of answers by their latency: a line for each route, and one for the old system."""
    named = [(name, np.sort(np.asarray(parity.latencies[name]))) for name in sorted(parity.latencies, reverse=True)]
    values = [values for _, values in named]
    low = max(0.1, min((float(each[0]) for each in values), default=1.0))
    x = charts.horizontal(low, max(2 * low, max((float(each[-1]) for each in values), default=2.0)), Scale.LOGARITHMIC)
    y = charts.vertical(100.0)
    grid = np.geomspace(x.low, x.high, _POINTS)
    shapes = []
    for style, each in zip(_STYLES, values, strict=False):
        shares = 100 * np.searchsorted(each, grid, side="right") / len(each)
        shapes += charts.line(x, y, list(zip(grid.tolist(), shares.tolist(), strict=True)), style, dots=False)
    return charts.chart(
        x,
        y,
        shapes or [charts.remark("no answer")],
        title="Share of answers by latency",
        description="; ".join(f"{name}: half within {float(np.median(each)):.1f} ms" for name, each in named),
        x_unit="ms",
        y_unit="%",
    )
