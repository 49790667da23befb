"""Nobody gets money back twice of a payment that another system took: one system at a time decides and gives back."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from lambdas.adapters import aws
from lambdas.adapters.entries import DynamoEntries
from lambdas.adapters.ledger import to_item
from lambdas.payments.amendments import Amendment
from lambdas.payments.transactions import MIGRATION
from tests.unit.lambdas.test_transactions import SHOP, Desk


def imported(desk: Desk, status: str = "approved", given_back: int | None = None) -> str:
    """Make the shop's first payment of 12.50 one that another system took. Returns its id."""
    id = desk.stands(status)
    desk.entries.items[id] = replace(
        desk.entries.items[id], origin=MIGRATION, source_id="old-1", import_id=f"imp_{1:032}", given_back=given_back
    )
    desk.entries.released.add(id)
    return id


def test_a_look_up_tells_where_a_payment_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    found = desk.get(imported(desk)).body
    assert (found["origin"], found["source_id"]) == ("migration", "old-1")
    native = desk.get(desk.ids[1]).body
    assert (native["origin"], native["source_id"]) == ("platform", None)
    # And a search shows it among the others, to its merchant only
    assert imported(desk) in desk.search(status="approved", limit=100).ids


@pytest.mark.parametrize("kind", ["refund", "void"])
def test_while_its_source_gives_back_this_platform_does_not(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, source_amends=True)
    id = imported(desk)
    reply = desk.reverse(id, kind=kind)
    assert (reply.status, reply.problem) == (409, "amended-at-source")
    assert desk.entries.entry(id).history == ()
    # And payments that were taken here are given back as ever
    assert desk.reverse(desk.ids[1], kind=kind).status == 201


@pytest.mark.parametrize(
    ("recorded", "condition"),
    [({"audit_hash": {"S": "a" * 64}}, "audit_hash = :audit_hash"), ({}, "attribute_not_exists(audit_hash)")],
)
def test_an_amendment_begins_only_if_no_import_has_changed_the_payment_meanwhile(
    recorded: dict[str, Any], condition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a payment as it was read, and an import that may write another amount, or a refund of its source, now
    desk, asked = Desk(monkeypatch), list[dict[str, Any]]()
    item = to_item(desk.entries.items[imported(desk)]) | recorded
    client = SimpleNamespace(
        get_item=lambda **call: {"Item": item},
        update_item=lambda **call: asked.append(call),
        exceptions=SimpleNamespace(ConditionalCheckFailedException=KeyError),
    )
    monkeypatch.setattr(aws, "client", lambda service: client)
    monkeypatch.setenv("TRANSACTION_TABLE", "transactions")
    monkeypatch.setenv("VELOCITY_TABLE", "velocity")
    # Then the table takes the amendment on condition that the ledger names the same record: each import writes its own
    refund = Amendment(
        amendment_id="amd_1", number=1, kind="refund", created_at="2026-12-01T00:00:00Z", caller="x", party="merchant",
        reason="Ordered twice", minor=100, status="partly_refunded", request_id="r", request="q",
    )  # fmt: skip
    entries = DynamoEntries()
    entry = entries.get(desk.ids[0])
    assert entry is not None
    entries.begin(entry, refund)
    assert asked[0]["ConditionExpression"].endswith(f" AND {condition}")
    assert asked[0]["ExpressionAttributeValues"].get(":audit_hash") == recorded.get("audit_hash")


def test_while_its_source_decides_no_reviewer_does(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, source_amends=True)
    assert desk.decide(imported(desk, "review")).problem == "amended-at-source"


def test_a_repeated_reversal_from_before_gets_its_first_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a refund that was made here, when a later release hands the payments back to their source
    desk = Desk(monkeypatch)
    id = imported(desk)
    first = desk.reverse(id, kind="refund")
    again = Desk(monkeypatch, source_amends=True)
    again.entries.__dict__ |= desk.entries.__dict__
    again.get(id)
    repeated = again.reverse(id, kind="refund")
    assert (repeated.status, repeated.replayed) == (201, True)
    assert repeated.body | {"request_id": ""} == first.body | {"request_id": ""}


def test_after_the_hand_over_no_more_is_given_back_than_the_source_left(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a payment of 12.50, of which its source gave back 2.50
    desk = Desk(monkeypatch)
    id = imported(desk, "partly_refunded", given_back=250)
    assert desk.get(id).body["left"] == "10.00"
    assert desk.reverse(id, kind="refund", amount="10.01").problem == "amount-over-rest"
    assert desk.reverse(id, kind="void").problem == "not-reversible"
    # When all that is left is given back
    assert desk.reverse(id, key="other", kind="refund").body["amount"] == "10.00"
    assert desk.get(id).body["left"] == "0.00"


def test_a_void_gives_limits_back_nothing_that_they_never_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    id = imported(desk)
    before = dict(desk.entries.states)
    assert desk.reverse(id, SHOP, kind="void").status == 201
    assert desk.entries.states == before
