"""Charts: shapes on a pair of axes. ``parts.html`` draws them as SVG; classes of the style sheet give them colour.

All charts have the same size, so that their text has the same size too, on a phone as on paper.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

WIDTH, HEIGHT = 400, 220
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 24, 34
STRIP_HEIGHT = 46
DOTTED = 40
"""A line of fewer points has a dot at each."""
LABEL_DISTANCE = 30
TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
"""Seconds."""
HOURS_FROM = 7200
"""Seconds. A longer time axis is labelled in hours and minutes."""

Point = tuple[float, float | None]


class Scale(Enum):
    LINEAR = "linear"
    LOGARITHMIC = "logarithmic"
    """For a range above zero."""
    TIME = "time"
    """Seconds; labelled as minutes and seconds, or as hours and minutes."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Maps values from ``low`` to ``high`` to pixels from ``begin`` to ``end``."""

    low: float
    high: float
    begin: float
    end: float
    scale: Scale = Scale.LINEAR

    def at(self, value: float) -> float:
        """The pixel of ``value``; of a value beyond the axis, its nearer end."""
        low, high, clamped = self.low, self.high, min(max(value, self.low), self.high)
        if self.scale is Scale.LOGARITHMIC:
            low, high, clamped = math.log(low), math.log(high), math.log(clamped)
        return self.begin + (clamped - low) / ((high - low) or 1) * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """Round values, about five of them, whose labels do not run into each other."""
        kept: list[float] = []
        for tick in self._round_values():
            if self.low <= tick <= self.high and (not kept or abs(self.at(tick) - self.at(kept[-1])) >= LABEL_DISTANCE):
                kept.append(tick)
        return kept

    def label(self, value: float) -> str:
        if self.scale is Scale.TIME:
            whole, part = divmod(round(value / (60 if self.is_long else 1)), 60)
            return f"{whole}:{part:02d}"
        return f"{value:g}"

    @property
    def is_long(self) -> bool:
        """Whether a time is shown in hours."""
        return self.high - self.low > HOURS_FROM

    @property
    def time_unit(self) -> str:
        return "h:min" if self.is_long else "min:s"

    def _round_values(self) -> list[float]:
        if self.scale is Scale.LOGARITHMIC:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            return [m * 10.0**power for power in powers for m in (1, 2, 5)]
        step = self._step((self.high - self.low) / 4 or 1)
        return [step * k for k in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]

    def _step(self, rough: float) -> float:
        if self.scale is Scale.TIME:
            return next((float(step) for step in TIME_STEPS if step >= rough * 0.99), rough)
        unit = 10.0 ** math.floor(math.log10(rough))
        return next(m * unit for m in (1, 2, 5, 10) if m * unit >= rough * 0.99)


def horizontal(low: float, high: float, scale: Scale = Scale.LINEAR) -> Axis:
    return Axis(low=low, high=high, begin=LEFT, end=WIDTH - RIGHT, scale=scale)


def vertical(high: float) -> Axis:
    """From zero to ``high``."""
    return Axis(low=0.0, high=high or 1.0, begin=HEIGHT - BOTTOM, end=TOP)


def rounded_up(value: float) -> float:
    """A round number at or above ``value`` for the top of an axis."""
    scale = 1.0
    while scale * 10 < value:
        scale *= 10
    while scale > value > 0:
        scale /= 10
    return next((scale * step for step in (1, 2, 5, 10) if scale * step >= value), 1.0) if value > 0 else 1.0


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One SVG element. ``text`` is what a ``text`` element says; ``tooltip`` is shown under the pointer."""

    tag: str
    attributes: dict[str, str]
    text: str = ""
    tooltip: str = ""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A picture. ``title`` and ``description`` are for people who do not see it."""

    title: str
    description: str
    shapes: tuple[Shape, ...]
    width: int = WIDTH
    height: int = HEIGHT


def chart(
    x: Axis, y: Axis, shapes: Iterable[Shape], *, title: str, description: str, x_unit: str, y_unit: str
) -> Chart:
    """``shapes`` over a grid with labelled axes."""
    bottom = HEIGHT - BOTTOM
    grid = [_line("ruled", LEFT, y.at(tick), x.end, y.at(tick)) for tick in y.ticks()]
    levels = [_text("tick", LEFT - 6, y.at(tick) + 3.5, y.label(tick), "end") for tick in y.ticks()]
    below = [_text("tick", x.at(tick), bottom + 15, x.label(tick), "middle") for tick in x.ticks()]
    marks = [_line("axis", x.at(tick), bottom, x.at(tick), bottom + 4) for tick in x.ticks()]
    units = [_text("tick", LEFT - 6, TOP - 13, y_unit, "end"), _text("tick", x.end, HEIGHT - 4, x_unit, "end")]
    axis = _line("axis", LEFT, bottom, x.end, bottom)
    return Chart(title=title, description=description, shapes=(*grid, *levels, *below, *marks, *shapes, axis, *units))


def line(x: Axis, y: Axis, points: Sequence[Point], style: str, *, dots: bool = True) -> list[Shape]:
    """A line through ``points``, broken where there is no value. With ``dots``: one at each point, if there are few."""
    known = [(x.at(at), y.at(value)) for at, value in points if value is not None]
    commands, pen_is_down = [], False
    for at, value in points:
        if value is not None:
            commands.append(f"{'L' if pen_is_down else 'M'}{x.at(at):.1f} {y.at(value):.1f}")
        pen_is_down = value is not None
    circles = [_shape("circle", f"dot {style}", cx=across, cy=down, r=2.4) for across, down in known]
    drawn = [_shape("path", f"line {style}", d="".join(commands))] if commands else []
    return [*drawn, *(circles if dots and len(circles) < DOTTED else [])]


def staircase(x: Axis, y: Axis, points: Sequence[tuple[float, float]], style: str) -> list[Shape]:
    """A line that holds each value until the next point."""
    corners: list[Point] = []
    for at, value in points:
        corners += [(at, corners[-1][1]), (at, value)] if corners else [(at, value)]
    path = "L".join(f"{x.at(at):.1f} {y.at(value or 0.0):.1f}" for at, value in corners)
    return [_shape("path", f"line {style}", d=f"M{path}")] if corners else []


def bar(x: Axis, y: Axis, begin: float, end: float, bottom: float, top: float, style: str, tooltip: str) -> Shape:
    """A bar from ``begin`` to ``end`` and from ``bottom`` to ``top``; never thinner than can be seen."""
    left, upper = x.at(begin), y.at(top)
    height = max(y.at(bottom) - upper, 1.5 if top > bottom else 0.0)
    width = max(x.at(end) - left - 0.6, 0.8)
    return _shape("rect", f"bar {style}", tooltip=tooltip, x=left, y=upper, width=width, height=height)


def area(x: Axis, begin: float, end: float, style: str) -> Shape:
    """A shaded stretch of the whole height."""
    return _shape("rect", style, x=x.at(begin), y=TOP, width=x.at(end) - x.at(begin), height=HEIGHT - BOTTOM - TOP)


def level(x: Axis, y: Axis, value: float, label: str) -> list[Shape]:
    """A labelled line across the chart, such as a limit; nothing if it is off the chart."""
    if value > y.high:
        return []
    at = y.at(value)
    return [_line("limit", LEFT, at, x.end, at), _text("limit-label", x.end, at - 4, label, "end")]


def upright(x: Axis, value: float, style: str, *, label: str = "", tooltip: str = "") -> list[Shape]:
    """A line from top to bottom; nothing if it is off the chart."""
    if not x.low <= value <= x.high:
        return []
    at = x.at(value)
    drawn = [_line(style, at, TOP, at, HEIGHT - BOTTOM, tooltip=tooltip)]
    return [*drawn, _text(f"{style}-label", at - 4, TOP + 9, label, "end")] if label else drawn


def remark(text: str) -> Shape:
    """Words in the middle of the chart, such as "no data"."""
    return _text("tick", (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2, text, "middle")


def strip(
    x: Axis, *, low: float, high: float, value: float | None, limit: float, title: str, description: str
) -> Chart:
    """An interval and the value in it, beside a limit, on one axis."""
    shapes = [
        _shape("rect", "interval", x=x.at(low), y=12, width=max(x.at(high) - x.at(low), 2), height=14, rx=3),
        *([] if value is None else [_shape("rect", "point", x=x.at(value) - 1.5, y=8, width=3, height=22)]),
        _line("axis", x.begin, 32, x.end, 32),
        *(_text("tick", x.at(tick), 44, x.label(tick), "middle") for tick in x.ticks()),
        _line("limit", x.at(limit), 2, x.at(limit), 32),
    ]
    return Chart(title=title, description=description, shapes=tuple(shapes), height=STRIP_HEIGHT)


def _line(style: str, x1: float, y1: float, x2: float, y2: float, *, tooltip: str = "") -> Shape:
    return _shape("line", style, tooltip=tooltip, x1=x1, y1=y1, x2=x2, y2=y2)


def _text(style: str, x: float, y: float, text: str, anchor: str) -> Shape:
    where = {"class": style, "x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}
    return Shape(tag="text", attributes=where, text=text)


def _shape(tag: str, style: str, *, tooltip: str = "", d: str = "", **numbers: float) -> Shape:
    geometry = {"d": d} if d else {name: f"{number:.1f}" for name, number in numbers.items()}
    return Shape(tag=tag, attributes={"class": style, **geometry}, tooltip=tooltip)
