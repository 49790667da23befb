"""The payments of the load, and the check of their answers."""

import json
from collections import Counter

import pytest

from lambdas.payments.cards import CardNumber
from loadtest.faults import Fault, FaultKind
from loadtest.scenario import NOBODYS, Kind, Look, PaymentRequest, Scenario, approved, fault

MIX = (("/validate", 2), ("/fraud-check", 1), ("/process", 1))


def requests(count: int, seed: int = 1) -> list[PaymentRequest]:
    scenario = Scenario(MIX, seed)
    return [scenario.request(index) for index in range(count)]


def of_kind(kind: Kind, route: str) -> PaymentRequest:
    return next(request for request in requests(5000) if request.kind is kind and request.route == route)


def test_the_same_seed_gives_the_same_payments_in_every_process() -> None:
    # Given two processes that send different parts of the same run
    odd, even = Scenario(MIX, 1), Scenario(MIX, 1)
    # Then together they send what one alone would
    assert [(odd if index % 2 else even).request(index) for index in range(200)] == requests(200)
    assert requests(200, seed=2) != requests(200)


def test_each_route_has_its_exact_share_without_a_rhythm() -> None:
    sent = [request.route for request in requests(4000)]
    assert Counter(sent) == {"/validate": 2000, "/fraud-check": 1000, "/process": 1000}
    assert len({tuple(sent[block : block + 4]) for block in range(0, 4000, 4)}) > 3


def test_payments_are_of_all_kinds_and_name_their_kind() -> None:
    found = Counter(request.kind for request in requests(10_000))
    assert found[Kind.ORDINARY] / 10_000 == pytest.approx(0.9, abs=0.01)
    for request in requests(2000):
        body = json.loads(request.body)
        card_is_good = not CardNumber(body["card_number"]).faults()
        assert card_is_good is (request.kind is not Kind.BAD_CARD)
        assert (body["customer_id"] > "load-02000") is (request.kind is Kind.UNKNOWN_CUSTOMER)
        assert (request.amount, request.currency) == (body["amount"], body["currency"])


def test_a_customer_has_one_card_of_their_own() -> None:
    bodies = [json.loads(request.body) for request in requests(5000) if request.kind is Kind.ORDINARY]
    cards = {(body["customer_id"], body["card_number"]) for body in bodies}
    assert len(cards) == len({card for _, card in cards}) == len({customer for customer, _ in cards})


RIGHT: dict[str, dict[str, object]] = {
    "/validate": {"valid": True, "reasons": []},
    "/fraud-check": {"decision": "review", "score": 40, "reasons": ["x"]},
    "/process": {"transaction_id": "t", "status": "review"},
}


def answer(request: PaymentRequest, **changes: object) -> Fault | None:
    amount = str(request.amount) if request.currency == "JPY" else f"{request.amount:.2f}"
    body = {"amount": amount, "currency": request.currency, **RIGHT[request.route], **changes}
    return fault(request, 201 if request.route == "/process" else 200, json.dumps(body).encode())


@pytest.mark.parametrize("route", RIGHT)
def test_a_right_answer_is_right(route: str) -> None:
    assert answer(of_kind(Kind.ORDINARY, route)) is None


def test_a_payment_turned_down_as_it_should_be_is_a_right_answer() -> None:
    for kind in (Kind.BAD_CARD, Kind.UNKNOWN_CUSTOMER, Kind.OVER_LIMIT):
        assert answer(of_kind(kind, "/validate"), valid=False, reasons=["why"]) is None
        assert answer(of_kind(kind, "/process"), status="declined") is None


@pytest.mark.parametrize(
    ("kind", "route", "changes", "reason"),
    [
        (Kind.ORDINARY, "/validate", {"valid": False, "reasons": ["x"]}, "judged valid=False"),
        (Kind.BAD_CARD, "/validate", {}, "judged valid=True"),
        (Kind.BAD_CARD, "/validate", {"valid": False}, "without a reason"),
        (Kind.ORDINARY, "/validate", {"valid": "yes"}, "no verdict"),
        (Kind.ORDINARY, "/fraud-check", {"decision": "maybe"}, "no decision"),
        (Kind.ORDINARY, "/fraud-check", {"score": None}, "no score"),
        (Kind.ORDINARY, "/process", {"transaction_id": ""}, "no transaction id"),
        (Kind.ORDINARY, "/process", {"status": "lost"}, "no status"),
        (Kind.BAD_CARD, "/process", {"status": "approved"}, "approved"),
        (Kind.ORDINARY, "/process", {"amount": "0.01"}, "another payment's amount"),
        (Kind.ORDINARY, "/process", {"currency": "KWD"}, "another payment's amount"),
    ],
)
def test_a_wrong_answer_is_a_fault(kind: Kind, route: str, changes: dict[str, object], reason: str) -> None:
    found = answer(of_kind(kind, route), **changes)
    assert found
    assert reason in found.text
    assert found.kind is FaultKind.WRONG_ANSWER


@pytest.mark.parametrize(
    ("status", "body", "reason", "lost"),
    [
        (500, b"{}", "status 500", True),
        (503, b"{}", "status 503", True),
        (429, b"{}", "status 429", True),
        (400, b"{}", "status 400", False),
        (200, b"<html>", "not JSON", False),
        (200, b"[]", "not an object", False),
    ],
)
def test_anything_else_is_a_fault(status: int, body: bytes, reason: str, lost: bool) -> None:
    found = fault(of_kind(Kind.ORDINARY, "/validate"), status, body)
    assert found
    assert reason in found.text
    # And a server in trouble has lost the request; any other answer is one
    assert found.kind.is_loss is lost


LOOKS = {
    each.look: each
    for each in (Scenario((("/transactions", 1),), 1).request(index) for index in range(200))
    if each.look
}
ID = "txn_" + "a" * 32


def test_transactions_are_searched_looked_up_and_voided() -> None:
    assert LOOKS.keys() == set(Look)
    search, void = LOOKS[Look.SEARCH], LOOKS[Look.VOID]
    assert (search.method, search.target) == ("GET", f"/transactions?customer_id={search.whom}")
    assert {each.route for each in LOOKS.values()} == {"/transactions"}
    assert not search.is_about_one
    # And a request about one is about a payment that was made, once one is known
    assert (void.method, void.target) == ("POST", f"/transactions/{NOBODYS}/reversal")
    assert void.about(ID).target == f"/transactions/{ID}/reversal"


@pytest.mark.parametrize("look", [Look.GET, Look.VOID])
def test_who_knows_no_payment_yet_asks_for_none(look: Look) -> None:
    assert fault(LOOKS[look], 404, b"{}") is None
    assert fault(LOOKS[look].about(ID), 404, b"{}") is not None


@pytest.mark.parametrize(
    ("look", "status", "body", "right"),
    [
        (Look.SEARCH, 200, {"transactions": []}, True),
        (Look.SEARCH, 200, {"transactions": [{"customer_id": "another"}]}, False),
        (Look.SEARCH, 200, {}, False),
        (Look.SEARCH, 400, {}, False),
        (Look.GET, 200, {"transaction_id": ID}, True),
        (Look.GET, 200, {"transaction_id": NOBODYS}, False),
        (Look.VOID, 201, {"transaction_id": ID, "status": "voided"}, True),
        (Look.VOID, 201, {"transaction_id": ID, "status": "approved"}, False),
        (Look.VOID, 200, {"transaction_id": ID, "status": "voided"}, False),
        (Look.VOID, 409, {}, False),
    ],
)
def test_the_answer_of_a_look_up_is_checked(look: Look, status: int, body: dict[str, object], right: bool) -> None:
    request = LOOKS[look] if look is Look.SEARCH else LOOKS[look].about(ID)
    assert (fault(request, status, json.dumps(body).encode()) is None) is right


def test_only_an_approved_payment_is_remembered() -> None:
    made = of_kind(Kind.ORDINARY, "/process")
    assert approved(made, b'{"transaction_id": "t", "status": "approved"}') == "t"
    assert approved(made, b'{"transaction_id": "t", "status": "review"}') is None
    assert approved(of_kind(Kind.ORDINARY, "/validate"), b"{}") is None
