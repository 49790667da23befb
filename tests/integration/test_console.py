"""What the console reads of a deployed platform, and a command that it starts there."""

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from console.__main__ import local_console
from console.actions import Actions
from console.monitoring import page as monitoring_page
from console.monitoring.reading import CloudWatch, View
from console.payments.reading import ApiPayments, Query
from console.platforms import LocalPlatforms
from console.reading import Reading
from console.releases.reading import AwsReleases
from console.security import Keys
from loadtest.scenario import card_number, client_address
from pipeline.local.state import State
from tests.integration.conftest import ROOT, Platform
from tests.integration.test_transactions import in_role

CUSTOMER = 1900
"""The first of the synthetic customers that this module uses."""
T = TypeVar("T")


@pytest.fixture
def platforms(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalPlatforms:
    for name in ("BAKE_SCALE", "AWS_ENDPOINT_URL"):
        monkeypatch.setenv(name, "")  # to be as they are now afterwards
    local_console(tmp_path, Keys())  # it sets them for its process
    state = State(tmp_path)
    state.clouds = platform.cloud.folder.parent
    return LocalPlatforms(state)


def until(read: Callable[[], T], wanted: Callable[[T], bool], seconds: float = 30.0) -> T:
    deadline = time.monotonic() + seconds
    while not wanted(found := read()):
        assert time.monotonic() < deadline, found
        time.sleep(0.3)
    return found


def pay(platform: Platform, number: int, card: int) -> str:
    shop = in_role(platform, platform.outputs["LoadTestRoleArn"], "shop")
    own = {"card_number": card_number(card), "client_ip": client_address(card)}
    wanted = {"customer_id": f"load-{number:05}", "amount": "12.50", "currency": "USD", **own}
    made = shop.post("/process", wanted, key=str(uuid.uuid4()))
    assert made.status == 201, made.text
    return str(made.body["transaction_id"])


def test_releases_dashboard_and_alarms_are_read(platform: Platform, platforms: LocalPlatforms) -> None:
    # Given a platform that a customer pays on
    pay(platform, CUSTOMER, CUSTOMER)
    # When somebody looks at its release, then traffic and versions are known, and who looks
    releases = AwsReleases(platforms)
    standing = until(lambda: releases.standing("dev"), lambda found: found.value or found.failure)
    assert standing.value, standing.failure
    assert standing.value.state.failures == []
    assert standing.value.state.traffic.is_known
    assert ":root" in standing.value.whose
    # And each widget of the deployed dashboard is drawn, with the payment's latency after some seconds
    monitoring = CloudWatch(platforms, seconds=1)

    def latency(found: Reading[View]) -> bool:
        graphs = found.value.graphs if found.value else []
        return bool(graphs and any(line.points for line in graphs[0].lines))

    view = until(lambda: monitoring.view("dev"), latency)
    shown: Any = monitoring_page.view("dev", view)
    titles = [graph["widget"].title for graph in shown["graphs"]]
    assert titles[:6] == [
        "API Gateway latency (p99 and median)", "API Gateway errors (4xx and 5xx)", "Lambda invocation counts",
        "Lambda error rates", "DynamoDB read/write capacity", "DynamoDB throttled requests",
    ]  # fmt: skip
    assert [graph["chart"].title for graph in shown["graphs"]] == titles
    assert [trouble for graph in shown["graphs"] for trouble in graph["troubles"]] == []
    assert len(view.value.alarms) > 5 if view.value else False


def test_a_payment_in_review_is_found_and_decided(
    platform: Platform, platforms: LocalPlatforms, tmp_path: Path
) -> None:
    # Given a payment that stands in review, because its card has paid for many customers
    for number in range(6):
        id = pay(platform, CUSTOMER + 10 + number, CUSTOMER + 10)
    payments = ApiPayments(platforms)
    found = until(
        lambda: payments.look_up("dev", Query(status="review")),
        lambda found: id in [each["transaction_id"] for each in found.payments],
    )
    assert found.trouble == ""
    # When a person approves it in the console
    actions = Actions(ROOT, tmp_path / "record", who="ann", allowed=True)
    actions.start(
        "pipeline.transactions", "--env", "dev", "decide", id, "approve", "--reason=The customer was asked",
        target="it", reason="The customer was asked", environment=platforms.variables("dev"),
    )  # fmt: skip
    [action] = until(actions.latest, lambda latest: latest[0].exit_code is not None)
    assert action.exit_code == 0, action.output
    # Then it is approved, with the person's reason
    [payment] = payments.look_up("dev", Query(id=id)).payments
    of_customer = payments.look_up("dev", Query(customer=payment["customer_id"]))
    assert (of_customer.trouble, id in [each["transaction_id"] for each in of_customer.payments]) == ("", True)
    assert payment["status"] == "approved"
    assert payment["history"][0]["reason"] == "The customer was asked"
