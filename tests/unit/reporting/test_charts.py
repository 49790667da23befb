"""Geometry of the charts. How they are drawn is tested in the reports that have them."""

from itertools import pairwise

import pytest

from reporting import charts
from reporting.charts import HEIGHT, LEFT, RIGHT, WIDTH, Scale


def test_an_axis_maps_its_range_to_the_picture_and_clips_values_beyond_it() -> None:
    x = charts.horizontal(0, 10)
    assert [x.at(value) for value in (-5, 0, 5, 10, 99)] == [LEFT, LEFT, (LEFT + WIDTH - RIGHT) / 2, 386, 386]
    assert charts.horizontal(1, 100, Scale.LOGARITHMIC).at(10) == pytest.approx((LEFT + WIDTH - RIGHT) / 2)


@pytest.mark.parametrize(
    ("low", "high", "scale", "labels"),
    [
        (0, 10, Scale.LINEAR, ["0", "5", "10"]),
        (0, 0.03, Scale.LINEAR, ["0", "0.01", "0.02", "0.03"]),
        (20, 700, Scale.LOGARITHMIC, ["20", "50", "100", "200", "500"]),
        (0, 240, Scale.TIME, ["0:00", "1:00", "2:00", "3:00", "4:00"]),
        (0, 5400, Scale.TIME, ["0:00", "30:00", "60:00", "90:00"]),
        (0, 10800, Scale.TIME, ["0:00", "1:00", "2:00", "3:00"]),
        (0, 0, Scale.LINEAR, ["0"]),
    ],
)
def test_ticks_are_round_values(low: float, high: float, scale: Scale, labels: list[str]) -> None:
    x = charts.horizontal(low, high, scale)
    assert [x.label(tick) for tick in x.ticks()] == labels


def test_the_unit_of_a_time_is_that_of_its_labels() -> None:
    assert charts.horizontal(0, 5400, Scale.TIME).time_unit == "min:s"
    assert charts.horizontal(0, 10800, Scale.TIME).time_unit == "h:min"


def test_labels_do_not_run_into_each_other() -> None:
    x = charts.horizontal(1, 1_000_000, Scale.LOGARITHMIC)
    places = [x.at(tick) for tick in x.ticks()]
    assert min(b - a for a, b in pairwise(places)) >= charts.LABEL_DISTANCE


def test_a_line_is_broken_where_there_is_no_value() -> None:
    x, y = charts.horizontal(0, 4), charts.vertical(10)
    path, *dots = charts.line(x, y, [(0, 1), (1, 2), (2, None), (3, 4), (4, 5)], "p99")
    assert path.attributes["d"].count("M") == 2
    assert len(dots) == 4
    assert charts.line(x, y, [(0, None)], "p99") == []


def test_a_staircase_holds_each_value_until_the_next() -> None:
    x, y = charts.horizontal(0, 2), charts.vertical(100)
    [path] = charts.staircase(x, y, [(0, 0), (1, 100), (2, 100)], "candidate")
    assert path.attributes["d"] == "M44.0 186.0L215.0 186.0L215.0 24.0L386.0 24.0L386.0 24.0"


def test_a_bar_is_seen_however_thin_and_a_limit_beyond_the_chart_is_not_drawn() -> None:
    x, y = charts.horizontal(0, 1000), charts.vertical(1000)
    bar = charts.bar(x, y, 0, 0.1, 0, 0.1, "slow", "one")
    assert float(bar.attributes["width"]) >= 0.8
    assert float(bar.attributes["height"]) >= 1.5
    assert charts.level(x, y, 2000, "limit") == charts.upright(x, 2000, "limit") == []


def test_every_shape_is_within_the_picture() -> None:
    x, y = charts.horizontal(0, 60, Scale.TIME), charts.vertical(10)
    drawn = charts.chart(
        x, y, charts.line(x, y, [(0, 0), (60, 99)], "p99"), title="t", description="d", x_unit="min:s", y_unit="ms"
    )
    for shape in drawn.shapes:
        for name, value in shape.attributes.items():
            if name in ("x", "x1", "x2", "cx"):
                assert 0 <= float(value) <= WIDTH
            if name in ("y", "y1", "y2", "cy"):
                assert 0 <= float(value) <= HEIGHT
