"""The merchant of a soak notices what the platform has done with its payments. AWS is in memory."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks import _payer
from benchmarks._payer import BAD, Payer
from benchmarks._platform import Platform
from pipeline.transactions.client import Reply

PROMISED = {"order-1": ("txn_1", "12.50")}


class Stored:
    """In the place of DynamoDB: a table with these items."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self._items = items

    def get_paginator(self, name: str) -> Any:
        return SimpleNamespace(paginate=lambda **query: [{"Items": self._items}])


def item(**other: str) -> dict[str, Any]:
    values = {"transaction_id": "txn_1", "merchant_reference": "order-1", "status": "approved"} | other
    return {"minor": {"N": "1250"}, **{name: {"S": value} for name, value in values.items()}}


def payer(*items: dict[str, Any]) -> Payer:
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": "https://127.0.0.1:1"}
    outputs = {"ApiGatewayUrl": "https://id.execute-api.us-east-1.amazonaws.com/prod", "TransactionTableName": "table"}
    platform = SimpleNamespace(environ=keys, outputs=outputs, client=lambda service: Stored(list(items)))
    return Payer(cast(Platform, platform), seed=1)


@pytest.mark.parametrize(
    ("items", "failures"),
    [
        ([item(), item(transaction_id="txn_2", merchant_reference="other")], []),
        ([], ["order-1 is in the ledger 0 times, not once as txn_1"]),
        ([item(), item(transaction_id="txn_2")], ["order-1 is in the ledger 2 times, not once as txn_1"]),
        ([item(transaction_id="txn_2")], ["order-1 is in the ledger 1 times, not once as txn_1"]),
        ([item(status="pending")], ["order-1, promised with 12.50, is in the ledger as "]),
        ([item() | {"minor": {"N": "1251"}}], ["order-1, promised with 12.50, is in the ledger as "]),
    ],
    ids=["once", "lost", "twice", "another", "not settled", "another amount"],
)
def test_a_promised_payment_must_be_in_the_ledger_once(items: list[dict[str, Any]], failures: list[str]) -> None:
    # Given a merchant that was promised a payment
    merchant = payer(*items)
    merchant.promised = dict(PROMISED)
    # When it looks into the ledger, then it names what differs
    found = list(merchant.failures())
    assert len(found) == len(failures)
    assert all(each.startswith(begin) for each, begin in zip(found, failures, strict=True))


def answered(monkeypatch: pytest.MonkeyPatch, answer: Any, *items: dict[str, Any]) -> list[str]:
    """The failures of a merchant that works until it gets no answer any more. ``answer``: to the body and key of each
    request."""
    merchant = payer(*items)
    monkeypatch.setattr(_payer, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(_payer, "AGAIN_SECONDS", 0)

    def send(method: str, target: str, body: dict[str, Any], headers: dict[str, str]) -> Reply:
        if len(merchant.promised) >= 1:
            merchant._ended.set()
        return cast(Reply, answer(body, headers["Idempotency-Key"]))

    monkeypatch.setattr(merchant._api, "send", send)
    merchant.__enter__()
    merchant._thread.join(20)
    return list(merchant.failures())


def test_a_key_with_two_payments_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a platform that fails once, and makes a payment of each request
    ids = iter([None, "txn_1", "txn_2"])

    def answer(body: dict[str, Any], key: str) -> Reply:
        id = next(ids, "txn_3")
        return Reply(201, {"transaction_id": id}) if id else Reply(503, {})

    # When the merchant repeats its request, then it is told that its key has two payments
    assert "order-1 has two ids: txn_1 and txn_2" in answered(monkeypatch, answer)


def test_a_bad_request_that_becomes_a_payment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a platform that takes anything
    monkeypatch.setattr(_payer, "BAD_SHARE", 1.1)
    taken: list[Any] = []

    def answer(body: dict[str, Any], key: str) -> Reply:
        taken.append(body)
        return Reply(201, {"transaction_id": "txn_1"})

    # When the merchant sends a bad request, then it says which
    failures = answered(monkeypatch, answer)
    assert any(f"a payment was made of the bad request {bad}" in failures for bad in BAD)


def test_a_merchant_that_pays_no_more_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given answers that the merchant's server does not understand
    # Then it does not count as one without losses
    failures = answered(monkeypatch, lambda body, key: Reply(201, {}))
    assert "the merchant's server ended: KeyError('transaction_id')" in failures
    assert any(each.startswith("the merchant's server hangs, or had no payment") for each in failures)
