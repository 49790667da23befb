"""The dashboards as a person sees them: each widget of the templates, drawn by the console."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ministack.core.responses import request_scope
from ministack.services import cloudwatch

from console.monitoring import page
from console.monitoring.dashboard import Series, Widget, widgets
from console.monitoring.reading import View, _graphs
from console.reading import Reading
from console.show import part
from localcloud.emulator import metrics, own_api
from localcloud.emulator.metric_queries import SEARCH, TERM
from localcloud.settings import Settings
from tests.browser.platforms import resolved
from tests.infrastructure.platform_template import PlatformTemplate

NOW = time.time()
VALUE = 7.0


@pytest.fixture(autouse=True)
def local_cloudwatch(tmp_path: Path) -> Iterator[None]:
    settings = Settings.generate("dev", tmp_path, 4571).change("metric_minute_seconds=0")
    settings.write()
    own_api.use(settings)
    with request_scope("111111111111", "us-east-1"):
        yield
        cloudwatch._metrics._data.clear()


def get_metric_data(**asked: Any) -> dict[str, Any]:
    _, _, body = cloudwatch._get_metric_data({}, asked, False, True)
    answer: dict[str, Any] = json.loads(body)
    for each in answer["MetricDataResults"]:
        each["Timestamps"] = [datetime.fromtimestamp(at, UTC) for at in each["Timestamps"]]
    return answer


def measure(series: Series) -> None:
    """A point of the metric, or of one that the search finds."""
    namespace, name, dimensions = series.namespace, series.name, dict(series.dimensions)
    if search := SEARCH.fullmatch(series.expression):
        namespace, *names = search["schema"].split(",")
        terms = dict(TERM.findall(search["terms"]))
        name, dimensions = terms["MetricName"], {each: terms.get(each, f"some {each}") for each in names}
    if name:
        metrics.record(namespace, name, VALUE, "None", dimensions, at=NOW - 600)


def graphs(found: list[Widget]) -> View:
    begin = NOW - 3600
    return View(begin=begin, end=NOW, graphs=_graphs(get_metric_data, found, begin, NOW), alarms=(), changes=())


@pytest.fixture
def body(platform: PlatformTemplate) -> str:
    return resolved(platform.only("AWS::CloudWatch::Dashboard")["DashboardBody"])


def drawn(view: View) -> str:
    return part("platform_live.html", **page.view("dev", Reading(value=view, at=NOW)))


def test_every_widget_shows_every_series_and_none_is_a_kind_that_is_not_known(body: str) -> None:
    # Given a platform of which every metric has a value
    found = widgets(body)
    for widget in found:
        for series in widget.series:
            measure(series)
    # When somebody looks at its dashboard
    view = graphs(found)
    html = drawn(view)
    # Then each series of each widget has a value, and each line a name of its own
    assert len(found) >= 15
    for graph in view.graphs:
        assert graph.widget.kind == "metric"
        shown = [series for series in graph.widget.series if series.visible]
        assert len(graph.lines) == len(shown) > 0, graph.widget.title
        assert [line.trouble for line in graph.lines if line.trouble or not line.points] == [], graph.widget.title
        assert len({line.label for line in graph.lines}) == len(graph.lines), graph.widget.title
        assert f"<h3>{graph.widget.title}</h3>" in html
    assert "not shown" not in html
    assert "no data" not in html
    # And the share of errors by version is that of the metrics
    [errors] = [graph for graph in view.graphs if graph.widget.title == "Release: error rate by version"]
    assert {line.label: line.points[-1][1] for line in errors.lines if line.label.startswith("/process")} == {
        "/process blue": 1.0,
        "/process green": 1.0,
    }


def test_an_idle_platform_s_dashboard_says_of_which_metrics_it_has_no_data(body: str) -> None:
    html = drawn(graphs(widgets(body)))
    assert "not shown" not in html
    assert "no data: p99, p50" in html


@pytest.mark.parametrize(
    "break_it", [lambda text: text.replace("SEARCH('{", "SEARCH('"), lambda text: text.replace("/ ", "% ")]
)
def test_an_expression_that_can_not_be_evaluated_is_said_in_its_widget(
    body: str, break_it: Callable[[str], str]
) -> None:
    assert "not shown: metric math" in drawn(graphs(widgets(break_it(body))))
