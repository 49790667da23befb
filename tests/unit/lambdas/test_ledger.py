"""The ledger's transaction in DynamoDB: what each reason of its cancellation means."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from lambdas.adapters import aws
from lambdas.adapters.ledger import DynamoLedger, from_item, to_item
from lambdas.adapters.velocity import DynamoVelocity
from lambdas.payments.audit import Link, record
from lambdas.payments.cards import Card
from lambdas.payments.errors import Unavailable
from lambdas.payments.transactions import PENDING, Transaction
from lambdas.payments.velocity import Addition, Contended, State, Watch

TRANSACTION = Transaction(
    transaction_id="txn_1", status=PENDING, outcome="approved", created_at="2026-11-22T12:00:00.000000Z",
    customer_id="c", caller="AIDA", minor=1, currency="USD", reasons=("a",), score=1, request_id="r",
    payment_fingerprint="f", card=Card(brand="visa", last4="1111", fingerprint="f", key_version=1),
)  # fmt: skip
STATES = [State(key="new"), State(key="old", version=4)]


class Cancelled(Exception):
    def __init__(self, *reasons: dict[str, Any]) -> None:
        self.response = {"CancellationReasons": reasons, "Error": {"Code": "TransactionCanceledException"}}


class ConditionFailed(Exception):
    pass


class Client:
    exceptions = SimpleNamespace(
        TransactionCanceledException=Cancelled, ConditionalCheckFailedException=ConditionFailed
    )

    def __init__(self, failure: Exception | None = None) -> None:
        self.sent: list[dict[str, Any]] = []
        self._failure = failure
        self.transact_write_items = self.update_item = self.batch_get_item = self._call

    def _call(self, **arguments: Any) -> Any:
        self.sent.append(arguments)
        if self._failure:
            raise self._failure
        return {"Responses": {}, "UnprocessedKeys": {"velocity": {}}}


@pytest.fixture(autouse=True)
def tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSACTION_TABLE", "transactions")
    monkeypatch.setenv("VELOCITY_TABLE", "velocity")


def using(monkeypatch: pytest.MonkeyPatch, failure: Exception | None = None) -> Client:
    client = Client(failure)
    monkeypatch.setattr(aws, "client", lambda service: client)
    return client


def test_a_payment_and_its_states_are_one_write_on_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    client = using(monkeypatch)
    assert DynamoLedger().open(TRANSACTION, "txn_other", STATES, [Addition("total", 5)]) == TRANSACTION
    [sent] = client.sent
    payment, other, new, old, total = sent["TransactItems"]
    for each in (payment["Put"], other["ConditionCheck"]):
        assert each["ConditionExpression"] == "attribute_not_exists(transaction_id)"
    assert other["ConditionCheck"]["Key"] == {"transaction_id": {"S": "txn_other"}}
    assert new["Put"]["ConditionExpression"] == "attribute_not_exists(state_version)"
    assert old["Put"]["ExpressionAttributeValues"] == {":version": {"N": "4"}}
    assert old["Put"]["Item"]["state_version"] == {"N": "5"}
    assert "ConditionExpression" not in total["Update"]


def test_only_what_is_pending_is_settled_because_it_may_have_been_amended_since(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = using(monkeypatch, ConditionFailed())
    DynamoLedger().settle(TRANSACTION, "key", "hash")
    [sent] = client.sent
    assert sent["ConditionExpression"] == "#status = :pending"
    assert (sent["ExpressionAttributeNames"], sent["ExpressionAttributeValues"][":pending"]) == (
        {"#status": "status"},
        {"S": "pending"},
    )


FINE, FAILED = {"Code": "None"}, {"Code": "ConditionalCheckFailed"}


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        ([FINE, FINE, FAILED, FINE], Contended),
        ([FINE, FINE, FINE, {"Code": "TransactionConflict"}], Contended),
        ([{"Code": "TransactionConflict"}, FINE, FINE, FINE], Contended),
        ([FINE, {"Code": "TransactionConflict"}, FINE, FINE], Contended),
        ([FINE, FINE, {"Code": "ThrottlingError"}, FINE], Unavailable),
        ([FINE, FINE, {"Code": "ValidationError"}, FINE], Cancelled),
    ],
)
def test_a_cancelled_write_is_decided_again_or_fails(
    reasons: list[dict[str, Any]], expected: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    using(monkeypatch, Cancelled(*reasons))
    with pytest.raises(expected):
        DynamoLedger().open(TRANSACTION, "txn_other", STATES)


@pytest.mark.parametrize("under", ["its id", "the other id"])
def test_an_earlier_attempt_s_transaction_counts_even_when_the_states_have_changed(
    under: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = using(monkeypatch)
    DynamoLedger().open(TRANSACTION, "txn_other", [])
    stored = client.sent[0]["TransactItems"][0]["Put"]["Item"] | {"outcome": {"S": "declined"}}
    found_there = [FAILED | {"Item": stored}, FINE]
    using(monkeypatch, Cancelled(*(found_there if under == "its id" else reversed(found_there)), FAILED, FINE))
    found = DynamoLedger().open(TRANSACTION, "txn_other", STATES)
    assert (found.transaction_id, found.outcome, found.card) == ("txn_1", "declined", TRANSACTION.card)


def test_a_transaction_from_before_the_keys_had_versions_has_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an item of the release before, with the first six digits that it stored
    client = using(monkeypatch)
    DynamoLedger().open(TRANSACTION, "txn_other", [])
    item = client.sent[0]["TransactItems"][0]["Put"]["Item"] | {"card_bin": {"S": "411111"}}
    del item["card_key_version"]
    using(monkeypatch, Cancelled(FAILED | {"Item": item}, FINE))
    # Then it is read, and its record shows the digits no longer
    found = DynamoLedger().open(TRANSACTION, "txn_other", STATES)
    assert found == TRANSACTION
    assert b"411111" not in record(found, Link.first()).body


@pytest.mark.parametrize(
    ("history", "status"), [([], "approved"), ([{"status": "partly_refunded"}], "partly_refunded")]
)
def test_while_it_is_amended_a_transaction_has_the_status_from_before(history: list[Any], status: str) -> None:
    item = to_item(TRANSACTION) | {"status": {"S": "amending"}, "amending": {"S": "{}"}}
    if history:
        item["history"] = {"L": [{"S": json.dumps(each)} for each in history]}
    assert from_item(item).status == status
    # And without an amendment nothing hides that somebody changed it
    assert from_item({**item, "amending": {"S": "{}"}, "status": {"S": "declined"}}).status == "declined"
    del item["amending"]
    assert from_item(item).status == "amending"


def test_a_release_that_was_made_before_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    using(monkeypatch, Cancelled(FAILED, FINE, FINE))
    DynamoLedger().release(TRANSACTION, STATES)
    using(monkeypatch, Cancelled(FINE, FAILED, FINE))
    with pytest.raises(Contended):
        DynamoLedger().release(TRANSACTION, STATES)


def test_a_set_that_takes_no_further_card_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(rule="rule", key="key", card="card", most=10, expires=1)
    using(monkeypatch)
    assert DynamoVelocity().watch([watch]) == frozenset()
    using(monkeypatch, ConditionFailed())
    assert DynamoVelocity().watch([watch]) == {"rule"}


def test_states_that_are_not_all_answered_are_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    using(monkeypatch)
    with pytest.raises(Unavailable):
        DynamoVelocity().read(["a"])
