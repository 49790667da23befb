"""A shadow request is decided like a payment of the merchant that it names, and leaves no trace but a log line."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from lambdas.adapters import aws
from lambdas.adapters.velocity import DynamoVelocity
from lambdas.api.shadow import HEADER
from lambdas.fraud_detection import handler as fraud_detection
from lambdas.payments.examination import Examiner
from lambdas.payments.velocity import Watch
from lambdas.processing import handler as processing
from lambdas.transactions import handler as transactions
from lambdas.validation import handler as validation
from loadtest.scenario import card_number
from tests.unit.lambdas.stores import MERCHANT, MemoryLedger
from tests.unit.lambdas.test_fraud import RULES
from tests.unit.lambdas.test_idempotency_scope import CONTEXT, Platform
from tests.unit.lambdas.test_transactions import Desk

ROLE = "arn:aws:iam::111111111111:role/payment-shadow-dev"
SESSION = "arn:aws:sts::111111111111:assumed-role/payment-shadow-dev/migration"
USER = "arn:aws:iam::111111111111:user/shop"
MODULES = {"/validate": validation, "/fraud-check": fraud_detection, "/process": processing}
CARDS = RULES.values["many_cards_from_address"]["cards"]


class Bench:
    """The three routes on stores in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        platform = Platform(monkeypatch)
        self.stores, self._capsys = platform.bench, capsys
        self.ledger: MemoryLedger = platform.bench.ledger
        self.stores.directory.merchants["strict"] = replace(
            MERCHANT, merchant_id="strict", required_fields=frozenset({"country"})
        )
        examiner = Examiner(self.stores.directory, self.ledger, lambda: RULES, platform.keyring)
        for module in (validation, fraud_detection):
            monkeypatch.setattr(module, "_examiner", lambda: examiner)
        monkeypatch.setenv("SHADOW_ROLE_ARN", ROLE)

    def send(
        self, route: str = "/validate", arn: str = SESSION, marks: tuple[str, ...] = ("strict",), **changes: Any
    ) -> tuple[int, dict[str, Any]]:
        body = {
            "customer_id": "c", "amount": "1.50", "currency": "USD", "card_number": "4111111111111111",
            "client_ip": "198.51.100.7",
        }  # fmt: skip
        headers = {"content-type": ["application/json"], "idempotency-key": ["key"], HEADER: list(marks)}
        event = {
            "requestContext": {"requestId": "r-1", "identity": {"caller": "AROAX:s", "userArn": arn}},
            "httpMethod": "POST", "isBase64Encoded": False, "path": route,
            "multiValueHeaders": {name: values for name, values in headers.items() if values},
            "body": json.dumps(body | changes),
        }  # fmt: skip
        answer = MODULES[route].handler(event, SimpleNamespace(**vars(CONTEXT)))
        return answer["statusCode"], json.loads(answer["body"])

    def metrics(self) -> list[str]:
        lines = [json.loads(line) for line in self._capsys.readouterr().out.splitlines()]
        return [
            metric["Name"]
            for line in lines
            for group in line.get("_aws", {}).get("CloudWatchMetrics", [])
            for metric in group["Metrics"]
        ]

    def untouched(self) -> bool:
        return not (self.ledger.items or self.ledger.states or self.ledger.watched or self.ledger.totals)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(monkeypatch, capsys)


def test_it_is_decided_by_the_terms_of_the_merchant_that_it_names(bench: Bench) -> None:
    assert bench.send()[1]["reasons"] == ["country_missing"]
    assert bench.send(country="US")[1]["valid"] is True
    assert bench.send("/fraud-check", country="JP")[1]["reasons"] == ["country_mismatch"]


def test_it_changes_nothing_and_counts_in_no_metric(bench: Bench) -> None:
    for number in range(2 * CARDS):
        for route in ("/validate", "/fraud-check"):
            status, answer = bench.send(route, card_number=card_number(number))
            assert status == 200
            assert "many_cards_from_address" not in answer["reasons"]
    assert bench.send(amount="-1")[0] == 422
    assert bench.untouched()
    assert bench.metrics() == []


def test_it_sees_that_an_attack_on_real_merchants_is_under_way(bench: Bench) -> None:
    for number in range(CARDS + 1):
        bench.send(arn=USER, marks=(), card_number=card_number(number))
    watched = {key: set(cards) for key, cards in bench.ledger.watched.items()}
    assert bench.send(card_number=card_number(CARDS + 1))[1]["reasons"] == ["many_cards_from_address"]
    assert bench.send(card_number=card_number(0))[1]["reasons"] == ["country_missing"]  # a card that was seen before
    assert bench.ledger.watched == watched


@pytest.mark.parametrize("route", MODULES)
@pytest.mark.parametrize(
    ("arn", "marks"),
    [
        (USER, ("strict",)),
        (USER, ("strict", "strict")),
        (USER, ("",)),
        (SESSION.replace("payment-shadow-dev", "payment-shadow-devil"), ("strict",)),
        (SESSION, ()),
        (SESSION, ("",)),
        (SESSION, ("strict", "shop")),
    ],
)
def test_nobody_else_may_use_the_mark_and_the_role_must(
    bench: Bench, route: str, arn: str, marks: tuple[str, ...]
) -> None:
    status, problem = bench.send(route, arn, marks)
    assert (status, problem["type"]) == (403, "urn:problem-type:payments:shadow-not-allowed")
    assert bench.untouched()
    assert bench.metrics() == ([] if arn == SESSION else ["ClientErrors"])


def test_it_never_pays(bench: Bench) -> None:
    assert bench.send("/process", country="US")[0] == 403
    assert bench.untouched()


@pytest.mark.parametrize("marks", [("strict",), ()])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/transactions", None), ("GET", "/transactions/{}", None),
        ("POST", "/transactions/{}/decision", {"decision": "approve", "reason": "why"}),
        ("POST", "/transactions/{}/reversal", {"kind": "refund", "reason": "why"}),
    ],
)  # fmt: skip
def test_it_neither_sees_nor_amends_a_payment(
    method: str, path: str, body: Any, marks: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a desk whose function knows the role, which a merchant or a reviewer might have, too
    desk = Desk(monkeypatch)
    monkeypatch.setenv("SHADOW_ROLE_ARN", ROLE)
    desk.directory.merchants["migration"] = desk.directory.merchants["shop"]
    event = {
        "requestContext": {"requestId": "r-1", "identity": {"caller": "AROAX:s", "userArn": SESSION}},
        "httpMethod": method, "isBase64Encoded": False, "path": path.format(desk.ids[0]),
        "multiValueHeaders": {"idempotency-key": ["key"], "content-type": ["application/json"], HEADER: list(marks)},
        "multiValueQueryStringParameters": {"customer_id": ["c0"], "from": ["2026-11-22"], "to": ["2026-11-23"]},
        "body": json.dumps(body) if body else None,
    }  # fmt: skip
    answer = transactions.handler(event, SimpleNamespace(**vars(CONTEXT)))
    # Then it is refused whatever it asks
    problem = json.loads(answer["body"])
    assert (answer["statusCode"], problem.get("type")) == (403, "urn:problem-type:payments:shadow-not-allowed")
    assert desk.entries.entry(desk.ids[0]).history == ()


@pytest.mark.parametrize("arn", [USER, SESSION])
def test_where_nobody_moves_nobody_may_use_the_mark(bench: Bench, arn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHADOW_ROLE_ARN")
    assert bench.send(arn=arn)[0] == 403


def test_the_table_is_asked_for_full_sets_and_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = {"full": ["a", "b"], "known": ["a", "mine"], "one": ["a"]}

    def batch_get_item(RequestItems: Any) -> Any:
        wanted = [key["counter"]["S"] for key in RequestItems["velocity"]["Keys"]]
        items = [{"counter": {"S": key}, "cards": {"SS": sets[key]}} for key in wanted if key in sets]
        return {"Responses": {"velocity": items}}

    monkeypatch.setenv("VELOCITY_TABLE", "velocity")
    monkeypatch.setattr(aws, "client", lambda service: SimpleNamespace(batch_get_item=batch_get_item))
    watches = [Watch(rule=key, key=key, card="mine", most=2, expires=0) for key in (*sets, "none")]
    assert DynamoVelocity().full(watches) == {"full"}
    assert DynamoVelocity().full([]) == frozenset()
