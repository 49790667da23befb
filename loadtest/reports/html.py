"""A self-contained HTML page: the verdict with its reasoning, then what happened, in charts and numbers."""

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from hdrh.histogram import HdrHistogram

from loadtest.p99 import RouteJudgement
from loadtest.reports import charts
from loadtest.reports.markdown import ms
from loadtest.result import Result

HISTOGRAM_BARS = 44
_STYLE = Path(__file__).with_name("page.css")


def render(result: Result) -> str:
    subject = result.subject
    sections = [
        _header(result),
        f'<section class="grid">{"".join(_route_card(result, route) for route in result.routes)}</section>',
        _section("Latency of right answers", "".join(_histogram(result, r) for r in result.routes)),
        _section("Percentiles by time", "".join(_percentiles(result, r) for r in result.routes)),
        _section("Rate and errors by time", _rate(result) + _errors(result)),
        _numbers(result),
        _footer(result),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Load gate {escape(subject.environment)}: {result.verdict}</title>"
        f"<style>{_STYLE.read_text()}</style></head><body><main>{''.join(sections)}</main></body></html>\n"
    )


def _header(result: Result) -> str:
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in result.reasons)
    ended = ", stopped early because failure was certain" if result.aborted else ""
    return (
        f"<header><h1>Load gate of {escape(result.subject.environment)}</h1>"
        f'<span class="verdict {result.verdict}">{result.verdict}</span>'
        f'<span class="dim">{result.subject.started} · {result.rate:g} requests/s · {result.measured_seconds:g} s '
        f"measured{ended}</span></header><ul>{reasons}</ul><p></p>"
    )


def _route_card(result: Result, route: RouteJudgement) -> str:
    high = max(result.limit_ms * 1.15, (route.p99_upper_ms or route.p99_ms or 0) * 1.05)
    x = charts.horizontal(0.0, high)
    lower, upper, found = x.at(route.p99_lower_ms or 0.0), x.at(route.p99_upper_ms or high), route.p99_ms
    limit = x.at(result.limit_ms)
    marks = [
        f'<rect class="interval" x="{lower:.1f}" y="12" width="{max(upper - lower, 2):.1f}" height="14" rx="3"/>',
        f'<rect class="point" x="{x.at(found) - 1.5:.1f}" y="8" width="3" height="22"/>' if found else "",
        f'<line class="axis" x1="{x.begin}" y1="32" x2="{x.end}" y2="32"/>',
        *(f'<text x="{x.at(tick):.1f}" y="44" text-anchor="middle">{tick:g}</text>' for tick in x.ticks()),
        f'<line class="limit" x1="{limit:.1f}" y1="2" x2="{limit:.1f}" y2="32"/>',
    ]
    strip = f'<svg viewBox="0 0 {charts.WIDTH} 46" role="img" aria-label="where the p99 lies">{"".join(marks)}</svg>'
    return (
        f'<article class="card"><span class="verdict {route.verdict}">{route.verdict}</span>'
        f"<h3>{escape(route.route)}</h3>"
        f'<div class="big">{ms(route.p99_ms)} <small>ms p99 of {route.samples:,} answers</small></div>{strip}'
        f'<div class="dim">{_bounds(route)}; '
        f"{route.over_limit} over {result.limit_ms:g} ms, {route.errors} errors</div></article>"
    )


def _bounds(route: RouteJudgement) -> str:
    if route.p99_upper_ms is None:
        return "too few answers for an upper bound of the p99"
    return f"p99 lies between {ms(route.p99_lower_ms)} and {ms(route.p99_upper_ms)} ms"


def _histogram(result: Result, route: RouteJudgement) -> str:
    recorded = HdrHistogram.decode(result.histograms[route.route])
    values = [
        (item.value_iterated_to / 1000, item.count_at_value_iterated_to) for item in recorded.get_recorded_iterator()
    ]
    if not values:
        return _figure(route.route, "", "no right answer")
    low, high = values[0][0] * 0.98, max(values[-1][0] * 1.02, result.limit_ms * 1.1)
    ratio = (high / low) ** (1 / HISTOGRAM_BARS)
    counts = [0] * HISTOGRAM_BARS
    for value, count in values:
        counts[min(int(math.log(value / low, ratio)), HISTOGRAM_BARS - 1)] += count
    x, y = charts.horizontal(low, high, log=True), charts.vertical(max(counts) * 1.08)
    marks = []
    for number, count in enumerate(counts):
        begin, end = low * ratio**number, low * ratio ** (number + 1)
        style = "slow" if begin >= result.limit_ms else "route0"
        if count:
            marks.append(charts.bar(x, y, begin, end, 0, count, style, f"{begin:.1f} to {end:.1f} ms: {count:,}"))
    marks.append(charts.upright(x, result.limit_ms, f"limit {result.limit_ms:g} ms"))
    drawn = charts.chart(x, y, marks, title=f"latency histogram of {route.route}", x_unit="ms", y_unit="n")
    return _figure(route.route, drawn, f"p50 {ms(route.p50_ms)}, p90 {ms(route.p90_ms)}, max {ms(route.max_ms)} ms")


def _percentiles(result: Result, route: RouteJudgement) -> str:
    points = [point for point in result.timeline if point.route == route.route]
    end = result.warm_up_seconds + result.measured_seconds
    slowest = max((point.max_ms or 0.0 for point in points), default=1.0)
    x, y = charts.horizontal(0.0, end), charts.vertical(slowest * 1.08)
    marks = [charts.area(x, 0, result.warm_up_seconds, "warm-up"), charts.level(x, y, result.limit_ms, "limit")]
    for style, of in (("max", "max_ms"), ("p50", "p50_ms"), ("p90", "p90_ms"), ("p99", "p99_ms")):
        marks.append(
            charts.line(x, y, [(point.second + point.seconds / 2, getattr(point, of)) for point in points], style)
        )
    drawn = charts.chart(x, y, marks, title=f"percentiles of {route.route} by time", x_unit="s", y_unit="ms")
    return _figure(route.route, drawn, _key([("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("max", "max")]))


def _rate(result: Result) -> str:
    return _stacked(result, "answers", "answers a second", None)


def _errors(result: Result) -> str:
    return _stacked(result, "errors", "errors a second", "error")


def _stacked(result: Result, of: str, title: str, style: str | None) -> str:
    """Bars by time, the routes on top of each other."""
    routes = [route.route for route in result.routes]
    end = result.warm_up_seconds + result.measured_seconds
    heights: dict[float, float] = {}
    bars = []
    for point in result.timeline:
        count = getattr(point, of) / point.seconds
        bottom = heights.get(point.second, 0.0)
        heights[point.second] = bottom + count
        bars.append((point, bottom, bottom + count))
    x, y = charts.horizontal(0.0, end, width=charts.WIDE), charts.vertical(max([*heights.values(), 1.0]) * 1.1)
    marks = [charts.area(x, 0, result.warm_up_seconds, "warm-up")]
    for point, bottom, top in bars:
        if top > bottom:
            colour = style or f"route{routes.index(point.route)}"
            note = f"{point.second:g} s, {point.route}: {top - bottom:.1f}/s"
            marks.append(charts.bar(x, y, point.second, point.second + point.seconds, bottom, top, colour, note))
    drawn = charts.chart(x, y, marks, title=title, x_unit="s", y_unit="1/s")
    key = _key([(style or f"route{number}", route) for number, route in enumerate(routes)]) if style is None else ""
    return _figure(title, drawn, key or ("none" if not any(heights.values()) else "by time of the intended start"))


def _numbers(result: Result) -> str:
    rows = [
        (r.route, f"{r.samples:,}", ms(r.p50_ms), ms(r.p90_ms), ms(r.p99_ms), ms(r.p99_upper_ms), ms(r.max_ms),
         f"{r.over_limit} ({max(r.allowed_over, 0)})", str(r.errors), ms(result.warmth[r.route].first_ms),
         ms(result.warmth[r.route].slowest_ms),
         ", ".join(f"{version}: {count}" for version, count in result.versions.get(r.route, {}).items()) or "-")
        for r in result.routes
    ]  # fmt: skip
    headings = ("route", "answers", "p50 ms", "p90 ms", "p99 ms", "proven p99 ≤", "max ms", "over limit (allowed)",
                "errors", "first answer ms", "slowest of warm-up ms", "function versions")  # fmt: skip
    return _table("Numbers", headings, rows)


def _footer(result: Result) -> str:
    generator = result.generator
    return (
        f"<footer><p>API <code>{escape(result.subject.url)}</code>. Generator: {result.subject.workers} process(es), "
        f"{generator.achieved_rate:.1f} of {generator.target_rate:g} requests/s, CPU {generator.cpu_share:.0%} of a "
        f"core each, the machine {generator.machine_cpu_share:.0%} busy, event loop late by "
        f"{generator.lag_p99_ms:.1f} ms (p99) and {generator.lag_max_ms:.1f} ms (max), "
        f"{generator.reconnects} reconnects. Seed {result.seed}, run <code>{escape(result.subject.run_id)}</code>, "
        f"look {result.looks}.</p><p>Requests start when they are due, whatever the system does; a latency counts from "
        f"then. A route passes when the upper {1 - result.alpha:.2%} confidence bound of its p99 is at most "
        f"{result.limit_ms:g} ms, and fails when the lower bound is above it (order statistics; no distribution is "
        f"assumed). Errors are no part of any percentile; their budget is {result.error_budget:.2%}.</p></footer>"
    )


def _section(title: str, content: str) -> str:
    return f'<h2>{escape(title)}</h2><section class="grid">{content}</section>'


def _figure(title: str, drawn: str, caption: str) -> str:
    return f'<figure class="card"><h3>{escape(title)}</h3>{drawn}<figcaption>{caption}</figcaption></figure>'


def _key(entries: list[tuple[str, str]]) -> str:
    return "".join(f'<span class="key {style}-key"></span>{escape(name)}' for style, name in entries)


def _table(title: str, headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<h2>{escape(title)}</h2><div class="card scroll"><table><tr>{head}</tr>{body}</table></div>'
