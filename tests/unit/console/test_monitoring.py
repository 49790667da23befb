"""The dashboard of the stack, drawn from its body, and the alarms."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from console.monitoring.dashboard import Widget, widgets
from console.monitoring.reading import CloudWatch
from console.reading import Reading

from .aws_api import Answers
from .conftest import Environments, Open

GRAPH = {
    "type": "metric", "x": 0, "y": 6, "width": 12, "height": 6,
    "properties": {
        "view": "timeSeries", "title": "API <latency>", "region": "us-east-1",
        "metrics": [
            ["AWS/ApiGateway", "Latency", "ApiName", "payment-dev", "Stage", "live", {"label": "p99", "stat": "p99"}],
            ["...", {"stat": "p50"}],
            [".", "Count", ".", ".", ".", "candidate", {"yAxis": "right", "period": 60}],
            [{"expression": "FILL(m1, 0) / m2", "label": "share", "id": "share"}],
            ["AWS/Lambda", "Errors", {"id": "hidden", "visible": False}],
        ],
        "yAxis": {"left": {"min": 0, "max": 100}},
    },
}  # fmt: skip
TEXT = {"type": "text", "x": 0, "y": 0, "width": 24, "height": 1, "properties": {"markdown": "# <b>Read</b> me"}}
BODY = json.dumps({"widgets": [GRAPH, TEXT, {"type": "explorer", "width": 99, "properties": {}}]})
NOW = datetime.now(UTC)


class Client(Answers):
    """CloudWatch with one dashboard, two alarms, and values for the first metric, on two pages each."""

    def get_dashboard(self, DashboardName: str) -> dict[str, Any]:
        assert DashboardName == "payment-dev"
        return {"DashboardBody": BODY}

    def get_metric_data(self, MetricDataQueries: list[Any], NextToken: str = "", **_: Any) -> dict[str, Any]:
        first, *others, share = [each for each in MetricDataQueries if each["ReturnData"]]
        empty: dict[str, Any] = {"StatusCode": "Complete", "Timestamps": [], "Values": []}
        p99 = {"Id": first["Id"], "Label": "p99", "StatusCode": "PartialData", "Timestamps": [NOW], "Values": [83.25]}
        if not NextToken:
            earlier = {"Timestamps": [NOW - timedelta(minutes=5)], "Values": [70.5]}
            return {"MetricDataResults": [p99 | earlier], "NextToken": "more"}
        unknown = empty | {"StatusCode": "InternalError", "Messages": [{"Code": "x", "Value": "not <implemented>"}]}
        return {
            "MetricDataResults": [
                p99 | {"StatusCode": "Complete"},
                *({"Id": each["Id"], "Label": each["Id"], **empty} for each in others),
                {"Id": share["Id"], "Label": "share", **unknown},
            ]
        }

    def describe_alarms(self, AlarmTypes: list[str], NextToken: str = "") -> dict[str, Any]:
        def alarm(name: str, state: str) -> dict[str, Any]:
            return {"AlarmName": name, "StateValue": state, "StateUpdatedTimestamp": NOW, "StateReason": "over <5>"}

        if not NextToken:
            return {"MetricAlarms": [alarm("payment-a-dev", "OK")], "CompositeAlarms": [], "NextToken": "more"}
        return {"MetricAlarms": [alarm("payment-b-dev", "ALARM"), alarm("payment-b-prod", "ALARM")]}

    def describe_alarm_history(self, **_: Any) -> dict[str, Any]:
        change = {"AlarmName": "payment-b-dev", "Timestamp": NOW, "HistorySummary": "from OK to ALARM"}
        return {"AlarmHistoryItems": [change, change | {"AlarmName": "payment-b-prod", "HistorySummary": "other"}]}


class OneCloud(Environments):
    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client

    def session(self, environment: str) -> Any:
        return self

    def client(self, service: str, **_: Any) -> Any:
        assert service == "cloudwatch"
        return self._client(service)


def read(client: Client, monitoring: CloudWatch | None = None) -> Reading[Any]:
    """The first reading; of a ``monitoring`` that has read, the first failure."""
    looked = monitoring or CloudWatch(OneCloud(client), seconds=60)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = looked.view("dev")
        if found.failure or (found.value and monitoring is None):
            return found
        time.sleep(0.01)
    raise AssertionError("no reading")


def test_widgets_stand_row_by_row_with_their_metrics_spelled_out() -> None:
    explorer, text, graph = sorted(widgets(BODY), key=lambda widget: widget.kind != "explorer")
    assert (text.text, text.width) == ("# <b>Read</b> me", 24)
    assert explorer == Widget(kind="explorer", title="", width=24)
    p99, p50, count, share, hidden = graph.series
    assert (p99.dimensions, p99.statistic, p99.period) == ({"ApiName": "payment-dev", "Stage": "live"}, "p99", 300)
    assert (p50.namespace, p50.name, p50.dimensions, p50.statistic) == (
        "AWS/ApiGateway", "Latency", p99.dimensions, "p50",
    )  # fmt: skip
    assert (count.name, count.dimensions["Stage"], count.right, count.period) == ("Count", "candidate", True, 60)
    assert (share.id, share.expression) == ("share", "FILL(m1, 0) / m2")
    assert not hidden.visible
    assert graph.greatest == {"left": 100.0}


def test_a_period_is_as_long_as_the_cloud_s_minutes() -> None:
    series = widgets(BODY)[-1].series[0]
    assert series.query(1.0)["MetricStat"]["Period"] == 300
    assert series.query(1 / 60)["MetricStat"]["Period"] == 5


@pytest.mark.parametrize(
    "body", ["", "[]", "{}", '{"widgets": 3}', '{"widgets": [{"type": "metric", "properties": 1}]}']
)
def test_a_body_that_is_none_is_said(body: str) -> None:
    with pytest.raises(ValueError, match="dashboard's body"):
        widgets(body)


def test_the_page_shows_each_widget_of_the_deployed_dashboard_and_the_alarms(
    browser: Open, environments: Environments
) -> None:
    # Given an environment of which an alarm rings, and whose cloud can't evaluate an expression
    client = Client()
    environments.views["dev"] = read(client)
    # When somebody looks
    html = browser().get("/platform/dev").text
    # Then the values are there, and what can't be shown is said
    assert '<figure class="card" data-width="12">' in html
    assert "API &lt;latency&gt;" in html
    assert 'p99 <strong class="number">83.25</strong>' in html
    assert "not shown: not &lt;implemented&gt;" in html
    assert "&lt;b&gt;Read&lt;/b&gt; me" in html
    assert "A widget of the kind “explorer” is not shown here." in html
    # And the alarms of this environment only, the ringing one first
    assert "1 alarm in state ALARM: payment-b-dev" in html
    assert html.index("payment-b-dev</th>" if "payment-b-dev</th>" in html else "payment-b-dev") < html.index(
        "payment-a-dev"
    )
    assert "from OK to ALARM" in html
    assert "payment-b-prod" not in html


def test_a_cloud_that_does_not_answer_is_said(browser: Open, environments: Environments) -> None:
    environments.views["dev"] = Reading(failure="The local cloud dev does not run: `make promote` starts it.")
    html = browser().get("/platform/dev").text
    assert "CloudWatch of dev does not answer." in html
    assert "does not run" in html


PARTS = {
    "get_dashboard": ("The dashboard did not answer.", ["payment-b-dev", "from OK to ALARM"]),
    "get_metric_data": ("The metrics did not answer.", ["API &lt;latency&gt;", "payment-b-dev", "from OK to ALARM"]),
    "describe_alarms": ("The alarms did not answer.", ["API &lt;latency&gt;", "83.25"]),
    "describe_alarm_history": ("The history did not answer.", ["API &lt;latency&gt;", "83.25", "payment-b-dev"]),
}


@pytest.mark.parametrize("operation", PARTS)
@pytest.mark.parametrize("code", ["AccessDenied", "Throttling"])
def test_a_part_that_is_refused_hides_no_other(
    browser: Open, environments: Environments, operation: str, code: str
) -> None:
    # Given credentials that one call of the page is refused to
    client = Client()
    client.refused[operation] = code
    # When somebody looks
    environments.views["dev"] = read(client)
    html = browser().get("/platform/dev").text
    # Then the page says so in this part, and shows the others
    said, left = PARTS[operation]
    assert said in html
    assert html.count("did not answer") == 1
    assert f"An error occurred ({code})" in html
    assert [each for each in left if each not in html] == []
    assert ("All alarms are quiet" in html) is False


def test_credentials_that_have_ended_leave_what_was_read_and_its_age(browser: Open, environments: Environments) -> None:
    # Given a platform that was read, and credentials that have ended since
    client = Client()
    monitoring = CloudWatch(OneCloud(client), seconds=0)
    while monitoring.view("dev").value is None:
        time.sleep(0.01)
    client.refused["*"] = "ExpiredToken"
    # When somebody looks
    environments.views["dev"] = read(client, monitoring)
    html = browser().get("/platform/dev").text
    # Then the page says so, and how old that is what it shows
    assert "CloudWatch of dev does not answer." in html
    assert "ExpiredToken" in html
    assert "Shown is what was read" in html
    assert "83.25" in html
