"""A release as one SVG picture: the candidate's weight over latency and errors of both colours, on one time axis."""

from collections.abc import Callable, Sequence
from html import escape

from pipeline.release.analysis import Glance
from pipeline.release.record import Phase, Release

WIDTH, PANEL, LEFT, RIGHT, TOP, GAP = 880, 150, 64, 16, 28, 46
Point = tuple[float, float]


def chart(release: Release) -> str:
    """The picture, sized by its ``viewBox``; colours come from the page's style sheet."""
    begin, end = release.events[0].at, max(release.events[-1].at, release.events[0].at + 1)

    def x(at: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (at - begin) / (end - begin)

    panels = [
        ("Weight of the candidate, %", [("green", _weights(release, end))], 100.0),
        ("Latency p90, ms", _both(release, lambda glance: glance.p90), None),
        ("Errors, %", _both(release, lambda glance: glance.errors), None),
    ]
    height = TOP + len(panels) * (PANEL + GAP)
    body = [_events(release, x, height)]
    for index, (title, lines, top) in enumerate(panels):
        body.append(_panel(title, lines, top, TOP + index * (PANEL + GAP), x))
    body.append(_time_axis(begin, end, x, height - GAP + 16))
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Weights, latency and errors over time">'
        + "".join(body)
        + "</svg>"
    )


def _weights(release: Release, end: float) -> list[Point]:
    """Steps: the weight holds until the next event. What the record asks for; it is read back before a bake."""
    points: list[Point] = []
    weight = 0
    for event in release.events:
        now = 0 if event.phase in (Phase.PENDING, Phase.ROLLING_BACK, Phase.ROLLED_BACK) else event.weight
        points += [(event.at, weight), (event.at, now)]
        weight = now
    return [*points, (end, weight)]


def _both(
    release: Release, values: Callable[[Glance], tuple[float | None, float | None]]
) -> list[tuple[str, list[Point]]]:
    # At 100 % stable answers nothing: what the look compares with is the step before.
    blue = [(glance.at, values(glance)[0]) for glance in release.glances if glance.weight < 100]
    green = [(glance.at, values(glance)[1]) for glance in release.glances]
    return [
        (colour, [(at, value) for at, value in line if value is not None])
        for colour, line in (("blue", blue), ("green", green))
    ]


def _panel(
    title: str, lines: Sequence[tuple[str, list[Point]]], top: float | None, y0: float, x: Callable[[float], float]
) -> str:
    highest = top or _round_up(max((value for _, points in lines for _, value in points), default=0.0))

    def y(value: float) -> float:
        return y0 + PANEL * (1 - value / highest)

    parts = [f'<text class="title" x="{LEFT}" y="{y0 - 8}">{escape(title)}</text>']
    for share in (0, 0.5, 1):
        level = highest * share
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(level):.1f}" y2="{y(level):.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y(level) + 4:.1f}" text-anchor="end">{level:g}</text>')
    for colour, points in lines:
        path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in points)
        parts.append(f'<polyline class="{colour}" points="{path}"/>')
        if top is None and len(points) < 40:
            parts += [f'<circle class="{colour}" cx="{x(a):.1f}" cy="{y(v):.1f}" r="2.5"/>' for a, v in points]
    if not any(points for _, points in lines):
        parts.append(f'<text class="tick" x="{LEFT + 12}" y="{y0 + PANEL / 2}">no data</text>')
    return "".join(parts)


def _events(release: Release, x: Callable[[float], float], height: float) -> str:
    lines = []
    for event in release.events:
        kind = "bad" if event.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK) else "event"
        lines.append(
            f'<line class="{kind}" x1="{x(event.at):.1f}" x2="{x(event.at):.1f}" y1="{TOP}" y2="{height - GAP}">'
            f"<title>{escape(event.text)}</title></line>"
        )
    return "".join(lines)


def _time_axis(begin: float, end: float, x: Callable[[float], float], y: float) -> str:
    ticks = [begin + (end - begin) * part / 4 for part in range(5)]
    anchors = ("start", "middle", "middle", "middle", "end")
    return "".join(
        f'<text class="tick" x="{x(at):.1f}" y="{y}" text-anchor="{anchor}">{_span(at - begin)}</text>'
        for at, anchor in zip(ticks, anchors, strict=True)
    )


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _round_up(value: float) -> float:
    """A round number at or above ``value`` for the top of an axis."""
    scale = 1.0
    while scale * 10 < value:
        scale *= 10
    while scale > value > 0:
        scale /= 10
    return next((scale * step for step in (1, 2, 5, 10) if scale * step >= value), 1.0) if value > 0 else 1.0
