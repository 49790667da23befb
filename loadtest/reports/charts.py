"""Charts as SVG text: no script, no font, no network; colours come from the page's CSS classes."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, WIDE, HEIGHT = 400, 610, 220
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 14, 26


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Maps values to pixels. ``log``: logarithmic, for a range above zero."""

    low: float
    high: float
    begin: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        low, high, clamped = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, clamped = math.log(low), math.log(high), math.log(clamped)
        return self.begin + (clamped - low) / ((high - low) or 1) * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """Round values, about five of them."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [m * 10.0**power for power in powers for m in (1, 2, 5)]
        else:
            rough = (self.high - self.low) / 4 or 1
            unit = 10.0 ** math.floor(math.log10(rough))
            step = next(m * unit for m in (1, 2, 5, 10) if m * unit >= rough * 0.99)
            found = [step * k for k in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        return [tick for tick in found if self.low <= tick <= self.high]


def horizontal(low: float, high: float, *, log: bool = False, width: int = WIDTH) -> Axis:
    return Axis(low=low, high=high, begin=LEFT, end=width - RIGHT, log=log)


def vertical(high: float) -> Axis:
    return Axis(low=0.0, high=high or 1.0, begin=HEIGHT - BOTTOM, end=TOP)


def chart(x: Axis, y: Axis, marks: Iterable[str], *, title: str, x_unit: str, y_unit: str) -> str:
    """A chart with a grid, axes and ``marks`` on it. ``title`` is for those who can't see it."""
    parts = [f'<svg viewBox="0 0 {x.end + RIGHT:g} {HEIGHT}" role="img" aria-label="{escape(title, quote=True)}">']
    for tick in y.ticks():
        parts.append(_line(LEFT, y.at(tick), x.end, y.at(tick), "grid"))
        parts.append(_text(LEFT - 6, y.at(tick) + 3.5, f"{tick:g}", "end"))
    for tick in _readable(x):
        parts.append(_line(x.at(tick), HEIGHT - BOTTOM, x.at(tick), HEIGHT - BOTTOM + 4, "axis"))
        parts.append(_text(x.at(tick), HEIGHT - BOTTOM + 15, f"{tick:g}", "middle"))
    parts.extend(marks)
    parts.append(_line(LEFT, HEIGHT - BOTTOM, x.end, HEIGHT - BOTTOM, "axis"))
    parts.append(_text(LEFT - 6, TOP - 4, y_unit, "end"))
    parts.append(_text(x.end, HEIGHT - 1, x_unit, "end"))
    parts.append("</svg>")
    return "".join(parts)


def line(x: Axis, y: Axis, points: Sequence[tuple[float, float | None]], style: str) -> str:
    """A line through ``points``, broken where there is no value."""
    commands, pen_is_down = [], False
    for at, value in points:
        if value is None:
            pen_is_down = False
            continue
        commands.append(f"{'L' if pen_is_down else 'M'}{x.at(at):.1f} {y.at(value):.1f}")
        pen_is_down = True
    return f'<path class="line {style}" d="{"".join(commands)}"/>'


def bar(x: Axis, y: Axis, begin: float, end: float, bottom: float, top: float, style: str, note: str) -> str:
    """A bar from ``begin`` to ``end`` and from ``bottom`` to ``top``; never thinner than can be seen."""
    left, upper = x.at(begin), y.at(top)
    height = max(y.at(bottom) - upper, 1.5 if top > bottom else 0.0)
    width = max(x.at(end) - left - 0.6, 0.8)
    rectangle = f'<rect class="{style}" x="{left:.1f}" y="{upper:.1f}" width="{width:.1f}" height="{height:.1f}">'
    return f"{rectangle}<title>{escape(note)}</title></rect>"


def area(x: Axis, begin: float, end: float, style: str) -> str:
    """A shaded stretch of the whole height."""
    return (
        f'<rect class="{style}" x="{x.at(begin):.1f}" y="{TOP}" width="{x.at(end) - x.at(begin):.1f}" '
        f'height="{HEIGHT - BOTTOM - TOP}"/>'
    )


def level(x: Axis, y: Axis, value: float, label: str) -> str:
    """A labelled line across the chart, such as a limit; nothing if it is off the chart."""
    if value > y.high:
        return ""
    at = y.at(value)
    return _line(LEFT, at, x.end, at, "limit") + _text(x.end, at - 4, label, "end", "limit-label")


def upright(x: Axis, value: float, label: str) -> str:
    """A labelled line from top to bottom; nothing if it is off the chart."""
    if not x.low <= value <= x.high:
        return ""
    at = x.at(value)
    return _line(at, TOP, at, HEIGHT - BOTTOM, "limit") + _text(at - 4, TOP + 8, label, "end", "limit-label")


def _readable(axis: Axis) -> list[float]:
    """The ticks whose labels don't run into each other."""
    kept: list[float] = []
    for tick in axis.ticks():
        if not kept or axis.at(tick) - axis.at(kept[-1]) >= 26:
            kept.append(tick)
    return kept


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str, style: str = "label") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
