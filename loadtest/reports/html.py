"""The gate's page: the verdict with its reasoning, then what happened, in charts and numbers."""

import math
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from hdrh.histogram import HdrHistogram

from loadtest.p99 import RouteJudgement
from loadtest.reports.markdown import ms
from loadtest.result import Result, TimelinePoint
from reporting import charts, render
from reporting.charts import Chart, Scale

PAGE = Path(__file__).with_name("gate.html")
HISTOGRAM_BARS = 44
ROUTE_STYLES = ("first", "second", "third")
Row = tuple[str, list[str]]
"""A figure's name, and its value on each route."""


def page(result: Result) -> str:
    """One self-contained HTML file."""
    styles = {route.route: ROUTE_STYLES[number % 3] for number, route in enumerate(result.routes)}
    return render(
        PAGE,
        result=result,
        routes=[(route, bounds(route)) for route in result.routes],
        histograms=[(route, _histogram(result, route)) for route in result.routes],
        percentiles=[(route, _percentiles(result, route)) for route in result.routes],
        answers=_stacked(result, "answers", styles),
        errors=_stacked(result, "errors", dict.fromkeys(styles, "error")),
        route_styles=[(style, route) for route, style in styles.items()],
        number_rows=list(_numbers(result)),
        ms=ms,
        percent=lambda share, digits: f"{share:.{digits}%}",
    )


def bounds(route: RouteJudgement) -> Chart:
    """Where the p99 lies, beside its limit."""
    high = max(route.limit_ms * 1.15, (route.p99_upper_ms or route.p99_ms or 0) * 1.05)
    between = f"p99 lies between {ms(route.p99_lower_ms)} and {ms(route.p99_upper_ms)} ms"
    known = "too few answers for an upper bound of the p99" if route.p99_upper_ms is None else between
    return charts.strip(
        charts.horizontal(0.0, high),
        low=route.p99_lower_ms or 0.0,
        high=route.p99_upper_ms or high,
        value=route.p99_ms,
        limit=route.limit_ms,
        title=f"p99 of {route.route} beside the limit",
        description=f"{known}; {route.over_limit} over {route.limit_ms:g} ms, {route.errors} errors",
    )


def _histogram(result: Result, route: RouteJudgement) -> Chart:
    recorded = HdrHistogram.decode(result.histograms[route.route])
    # Its own iterator takes a second for each route.
    values = [(recorded.get_value_from_index(slot) / 1000, n) for slot, n in enumerate(recorded.counts) if n]
    limit = route.limit_ms
    low, high = (values[0][0] * 0.98, max(values[-1][0] * 1.02, limit * 1.1)) if values else (limit / 10, limit * 1.1)
    ratio = (high / low) ** (1 / HISTOGRAM_BARS)
    counts = [0] * HISTOGRAM_BARS
    for value, count in values:
        counts[min(int(math.log(value / low, ratio)), HISTOGRAM_BARS - 1)] += count
    x, y = charts.horizontal(low, high, Scale.LOGARITHMIC), charts.vertical(max(counts) * 1.08)
    shapes = []
    for number, count in enumerate(counts):
        begin, end = low * ratio**number, low * ratio ** (number + 1)
        style = "slow" if begin >= limit else "first"
        if count:
            shapes.append(charts.bar(x, y, begin, end, 0, count, style, f"{begin:.1f} to {end:.1f} ms: {count:,}"))
    return charts.chart(
        x,
        y,
        [
            *(shapes or [charts.remark("no right answer")]),
            *charts.upright(x, limit, "limit", label=f"limit {limit:g} ms"),
        ],
        title=f"Latency histogram of {route.route}",
        description=f"p50 {ms(route.p50_ms)} ms, p90 {ms(route.p90_ms)} ms, p99 {ms(route.p99_ms)} ms, "
        f"max {ms(route.max_ms)} ms; the limit is {limit:g} ms.",
        x_unit="ms",
        y_unit="n",
    )


def _percentiles(result: Result, route: RouteJudgement) -> Chart:
    points = [point for point in result.timeline if point.route == route.route]
    slowest = max((point.max_ms or 0.0 for point in points), default=1.0)
    x, y = charts.horizontal(0.0, _end(result)), charts.vertical(slowest * 1.08)
    lines = {
        "max": [(_middle(point), point.max_ms) for point in points],
        "p50": [(_middle(point), point.p50_ms) for point in points],
        "p90": [(_middle(point), point.p90_ms) for point in points],
        "p99": [(_middle(point), point.p99_ms) for point in points],
    }
    return charts.chart(
        x,
        y,
        [
            charts.area(x, 0, result.warm_up_seconds, "warm-up"),
            *charts.level(x, y, route.limit_ms, "limit"),
            *chain.from_iterable(charts.line(x, y, line, style, dots=False) for style, line in lines.items()),
        ],
        title=f"Percentiles of {route.route} by time",
        description=f"The slowest answer took {slowest:.1f} ms. The shaded seconds are the warm-up.",
        x_unit="s",
        y_unit="ms",
    )


def _stacked(result: Result, of: str, styles: dict[str, str]) -> Chart:
    """Bars by time, the routes on top of each other. ``of``: ``answers`` or ``errors``."""
    heights: dict[float, float] = {}
    bars = []
    for point in result.timeline:
        bottom = heights.get(point.second, 0.0)
        heights[point.second] = bottom + getattr(point, of) / point.seconds
        bars.append((point, bottom, heights[point.second]))
    x, y = charts.horizontal(0.0, _end(result)), charts.vertical(max([*heights.values(), 1.0]) * 1.1)
    shapes = [
        charts.bar(
            x,
            y,
            point.second,
            point.second + point.seconds,
            bottom,
            top,
            styles[point.route],
            f"{point.second:g} s, {point.route}: {top - bottom:.1f}/s",
        )
        for point, bottom, top in bars
        if top > bottom
    ]
    highest = max(heights.values(), default=0.0)
    return charts.chart(
        x,
        y,
        [charts.area(x, 0, result.warm_up_seconds, "warm-up"), *(shapes or [charts.remark("none")])],
        title=f"{of.capitalize()} a second, by time",
        description=f"At most {highest:.1f} a second. The shaded seconds are the warm-up.",
        x_unit="s",
        y_unit="1/s",
    )


def _end(result: Result) -> float:
    return result.warm_up_seconds + result.measured_seconds


def _middle(point: TimelinePoint) -> float:
    return point.second + point.seconds / 2


def _numbers(result: Result) -> Iterator[Row]:
    of = result.routes
    yield "answers", [f"{each.samples:,}" for each in of]
    yield "p50, ms", [ms(each.p50_ms) for each in of]
    yield "p90, ms", [ms(each.p90_ms) for each in of]
    yield "p99, ms", [ms(each.p99_ms) for each in of]
    if result.comparison.release_id:
        compared = [result.comparison.routes.get(each.route) for each in of]
        yield "p99 of the promoted release, ms", [ms(each.before_ms if each else None) for each in compared]
    yield "proven: p99 ≤, ms", [ms(each.p99_upper_ms) for each in of]
    yield "max, ms", [ms(each.max_ms) for each in of]
    yield "over limit (allowed)", [f"{each.over_limit} ({max(each.allowed_over, 0)})" for each in of]
    yield "errors", [str(each.errors) for each in of]
    yield "processor time p50, ms", [ms(result.processor[each.route].p50_ms) for each in of]
    yield "processor time p99, ms", [ms(result.processor[each.route].p99_ms) for each in of]
    yield "first answer, ms", [ms(result.warmth[each.route].first_ms) for each in of]
    yield "slowest of warm-up, ms", [ms(result.warmth[each.route].slowest_ms) for each in of]
    yield "answers by function version", [_versions(result, each.route) for each in of]


def _versions(result: Result, route: str) -> str:
    return ", ".join(f"{version}: {count}" for version, count in result.versions.get(route, {}).items()) or "-"
