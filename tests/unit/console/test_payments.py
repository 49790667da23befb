"""Payments: look-ups, decisions about those in review, and the books of a day."""

from typing import Any

import pytest

from console.payments.reading import Found, Query, _found
from pipeline.transactions.client import Reply

from .conftest import KEYS, OWN, Environments, Open, Recorded

ID = "txn_" + "0f" * 16
PAYMENT: dict[str, Any] = {
    "transaction_id": ID, "status": "review", "created_at": "2026-11-29T01:00:00.000Z", "amount": "250.00",
    "left": "250.00", "currency": "EUR", "customer_id": "cust-<b>1</b>", "merchant_id": None, "reasons": ["velocity"],
    "score": 61, "card": {"brand": "visa", "last4": "1111"},
    "history": [{"number": 1, "created_at": "2026", "kind": "review", "party": "ann", "amount": "1", "status": "x",
                 "reason": "<i>ask 4111 1111 1111 1111"}],
}  # fmt: skip


def test_at_first_the_payments_in_review_are_shown(browser: Open, environments: Environments) -> None:
    environments.payments["review"] = _found(Reply(200, {"transactions": [PAYMENT], "cursor": "x"}))
    html = browser().get("/payments/prod").text
    assert environments.queries == [Query(status="review")]
    assert "250.00 EUR" in html
    assert "cust-&lt;b&gt;1&lt;/b&gt;" in html
    assert "visa 1111" in html
    # A time is read in the zone of the reader, and what is none as it was written
    assert '<time datetime="2026-11-29T01:00:00+00:00"' in html
    assert "<li>2026 <strong>review" in html
    assert "There are more" in html
    assert f'href="/payments/prod/{ID}/approve"' in html
    # Text of others is text, and a card number in it is masked
    assert "“&lt;i&gt;ask ****1111”" in html


@pytest.mark.parametrize(
    ("asked", "query"),
    [
        ({"id": f" {ID} "}, Query(id=ID, status="review")),
        ({"customer": "cust-1", "status": "approved"}, Query(customer="cust-1", status="approved")),
        ({"status": "declined"}, Query(status="declined")),
        ({"status": "<b>"}, Query(status="review")),
    ],
)
def test_a_payment_is_looked_up(browser: Open, environments: Environments, asked: dict[str, str], query: Query) -> None:
    assert browser().get("/payments/dev", params=asked).status_code == 200
    assert environments.queries == [query]


def test_what_is_no_id_is_not_asked_for(browser: Open, environments: Environments) -> None:
    html = browser().get("/payments/dev", params={"id": "../x"}).text
    assert "An id is txn_" in html
    assert environments.queries == []


def test_an_api_that_does_not_answer_is_said(browser: Open, environments: Environments) -> None:
    environments.payments["review"] = Found(trouble="the payments of dev can't be read: <timeout>")
    html = browser().get("/payments/dev").text
    assert "&lt;timeout&gt;" in html
    assert "There is none" not in html


@pytest.mark.parametrize(
    ("reply", "trouble"),
    [
        (Reply(200, {"transactions": []}), ""),
        (Reply(404, {"title": "Not found"}), ""),
        (Reply(403, {"Message": "no right"}), "no right (status 403)"),
        (Reply(400, {"title": "Bad", "errors": [{"field": "from", "detail": "late"}]}), "Bad (status 400): from: late"),
        (Reply(502, None), "no answer (status 502)"),
    ],
)
def test_each_answer_of_the_api_has_its_words(reply: Reply, trouble: str) -> None:
    assert _found(reply) == Found(trouble=trouble)


@pytest.mark.parametrize("decision", ["approve", "decline"])
def test_a_decision_is_the_command_with_its_reason(
    browser: Open, environments: Environments, actions: Recorded, decision: str
) -> None:
    environments.payments[ID] = Found(payments=[PAYMENT])
    client, path = browser(), f"/payments/prod/{ID}/{decision}"
    # Given the page that says what it is about
    assert "250.00 EUR by visa 1111" in client.get(path).text
    assert actions.started == []
    # When the reviewer gives a reason
    assert client.post(path, data={"reason": "called them", "csrf": KEYS.csrf}, headers=OWN).status_code == 303
    # Then the command is started, and recorded
    words = ["--env", "prod", "decide", ID, decision, "--reason=called them"]
    assert actions.started == [["pipeline.transactions", *words]]
    assert actions.latest()[0].target == f"payment of prod: {ID}"


@pytest.mark.parametrize("path", [f"/payments/prod/{ID}/reverse", "/payments/prod/txn_1/approve", "/payments/other"])
def test_there_is_nothing_else(browser: Open, path: str) -> None:
    assert browser().get(path).status_code == 404


def test_a_payment_can_not_be_decided_from_elsewhere_or_without_a_reason(browser: Open, actions: Recorded) -> None:
    path = f"/payments/prod/{ID}/approve"
    assert browser().post(path, data={"reason": "x", "csrf": "0"}, headers=OWN).status_code == 403
    assert browser().post(path, data={"reason": "", "csrf": KEYS.csrf}, headers=OWN).status_code == 409
    assert actions.started == []


def test_the_books_of_a_day_are_verified_on_request(browser: Open) -> None:
    client = browser()
    assert "pipeline.audit of" not in client.get("/payments/prod").text
    assert "pipeline.audit of --day=2026-11-28" in client.get("/payments/prod", params={"day": "2026-11-28"}).text
    assert "not verified" in client.get("/payments/prod", params={"day": "--help"}).text
