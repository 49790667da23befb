"""What is done to a payment later: never more is given back than was paid, at any step that a function dies at."""

import itertools
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lambdas.books.verification import verify
from lambdas.payments.amending import Amender
from lambdas.payments.amendments import MOST_AMENDMENTS, VOID_WITHIN, Amendment, Entry, Kind, Wish
from lambdas.payments.callers import Caller
from lambdas.payments.errors import InvalidField, Refused, Unavailable
from lambdas.payments.processing import Processor
from lambdas.payments.transactions import PENDING
from tests.unit.lambdas.entries import MemoryEntries
from tests.unit.lambdas.stores import KillAt, Killed, MemoryAuditLog, MemoryBooks, nothing
from tests.unit.lambdas.test_processing import START, Bench

SHOP = Caller("AIDASHOP", "arn:aws:iam::111111111111:user/shop")
ONE, OTHER = (Caller(f"AROAREVIEW:{name}", f"arn:aws:sts::1:assumed-role/reviewer/{name}") for name in ("ann", "bob"))
WORKERS = 8
CARD = "4111111111111111"
KILLS = ("before begin", "after begin", "before audit", "after audit")
RELEASE = ("before release", "after release")
LAST = ("before complete", "after complete")


class Desk:
    """A payment of 12.50 dollars, and eight functions that amend it. ``status``: the payment's."""

    def __init__(self, status: str = "approved", *, four_eyes: bool = False) -> None:
        self.bench = Bench()
        self.entries = self.bench.ledger = MemoryEntries()
        self.audit_log: MemoryAuditLog = self.bench.audit_log
        self.now = START + timedelta(hours=1)
        self._keys = itertools.count()
        self._functions = [self._function(four_eyes) for _ in range(WORKERS)]
        if status == "review":  # its card has just paid for many others
            for n in range(6):
                self.bench.pay(self.bench.function(), key=f"other {n}", customer_id=f"c{n}", card_number=CARD)
        paid = self.bench.pay(self.bench.function(), caller="AIDASHOP", card_number=CARD)
        self.id = paid.transaction_id
        if status != paid.outcome:
            self.entries.items[self.id] = replace(self.entries.items[self.id], status=status)

    def _function(self, four_eyes: bool) -> Amender:
        return Amender(self.entries, self.audit_log, self.entries, four_eyes=four_eyes, clock=lambda: self.now)

    def amend(self, kind: Kind, caller: Caller = SHOP, *, key: str | None = None, **changes: Any) -> Amendment:
        number = next(self._keys)
        key = "" if kind in (Kind.APPROVE, Kind.DECLINE) else key or f"key {number}"
        wish = Wish(kind=kind, reason="why", caller=caller, party="merchant", request_id=f"r{number}", key=key)
        return self._functions[number % WORKERS].amend(self.id, replace(wish, **changes), lambda _: True)[1]

    def all_at_once(self, wishes: Sequence[dict[str, Any]]) -> list[Amendment | Exception]:
        def attempt(wish: dict[str, Any]) -> Amendment | Exception:
            try:
                return self.amend(**wish)
            except (Refused, InvalidField) as refused:
                return refused

        with ThreadPoolExecutor(WORKERS) as clients:
            return list(clients.map(attempt, wishes))

    def die_at(self, step: int) -> KillAt:
        kill = KillAt(step)
        self.entries.hook = self.audit_log.hook = kill
        return kill

    def live(self) -> None:
        self.entries.hook = self.audit_log.hook = nothing

    @property
    def entry(self) -> Entry:
        return self.entries.entry(self.id)

    def assert_sound(self) -> None:
        """What is in the history has its record with the hash it names; no more was given back than paid."""
        history = self.entry.history
        assert [each.number for each in history] == list(range(1, len(history) + 1))
        assert 0 <= self.entry.left <= self.entry.transaction.minor
        assert self.entry.transaction.status == (history[-1].status if history else self.entry.transaction.outcome)
        bodies = {key: record.body for key, record in self.audit_log.records.items()}
        verdict = verify(MemoryBooks("2026-11-22", bodies, self.entries.rows()))
        assert verdict.breaks == ()
        recorded = sorted(each.amendment for each in verdict.entries if each.amendment)
        being_recorded = [self.entry.amending.number] if self.entry.amending else []
        numbers = [each.number for each in history]
        assert recorded in (numbers, [*numbers, *being_recorded])


@pytest.mark.parametrize(
    ("status", "kind", "after"),
    [
        ("review", Kind.APPROVE, "approved"),
        ("review", Kind.DECLINE, "declined"),
        ("approved", Kind.VOID, "voided"),
        ("approved", Kind.REFUND, "refunded"),
    ],
)
def test_each_amendment_is_recorded_and_changes_the_status(status: str, kind: Kind, after: str) -> None:
    desk = Desk(status)
    made = desk.amend(kind, ONE)
    assert (made.status, desk.entry.transaction.status, desk.entry.history) == (after, after, (made,))
    desk.assert_sound()
    # And limits count a payment no more that was declined or voided; a refund is no way to pay in circles
    assert (desk.id in desk.entries.released) is (after in ("declined", "voided"))


@pytest.mark.parametrize("status", ["declined", "review", "voided", "refunded", PENDING])
@pytest.mark.parametrize("kind", [Kind.VOID, Kind.REFUND])
def test_only_what_was_approved_is_given_back(status: str, kind: Kind) -> None:
    desk = Desk(status)
    with pytest.raises(Refused) as refused:
        desk.amend(kind)
    assert refused.value.code == ("transaction_pending" if status == PENDING else "not_reversible")
    assert desk.entry.history == ()


@pytest.mark.parametrize("status", ["approved", "declined", "voided"])
def test_only_what_stands_in_review_is_decided(status: str) -> None:
    with pytest.raises(Refused) as refused:
        Desk(status).amend(Kind.APPROVE, ONE)
    assert refused.value.code == "not_in_review"


def test_parts_add_up_to_the_whole_and_no_further() -> None:
    desk = Desk()
    assert [desk.amend(Kind.REFUND, amount="5.00").status for _ in range(2)] == ["partly_refunded"] * 2
    with pytest.raises(InvalidField) as refused:
        desk.amend(Kind.REFUND, amount="2.51")
    assert (refused.value.code, desk.entry.left) == ("amount_over_rest", 250)
    with pytest.raises(Refused):
        desk.amend(Kind.VOID)
    assert (desk.amend(Kind.REFUND).minor, desk.entry.transaction.status) == (250, "refunded")
    desk.assert_sound()


def test_a_void_is_for_the_first_day_and_for_the_whole() -> None:
    desk = Desk()
    with pytest.raises(InvalidField) as refused:
        desk.amend(Kind.VOID, amount="1.00")
    assert refused.value.code == "amount_of_void"
    desk.now += VOID_WITHIN
    with pytest.raises(Refused) as late:
        desk.amend(Kind.VOID)
    assert late.value.code == "too_late_to_void"
    assert desk.amend(Kind.REFUND).status == "refunded"


PARTS = st.integers(1, 150).map(lambda minor: f"{minor // 100}.{minor % 100:02}")
"""Of the payment of 12.50, of which about seventeen fit into it."""


@settings(max_examples=15, deadline=None)
@given(
    st.lists(PARTS, min_size=20, max_size=60)
    | st.lists(PARTS | st.sampled_from([None, "5.00", "12.50", "void"]), min_size=2, max_size=40)
)
@example(["0.60"] * 30)
@example(["0.01"] * 40 + ["12.50"])
def test_however_many_reversals_at_once_never_more_is_given_back_than_was_paid(amounts: list[str | None]) -> None:
    # Given functions that take some time between reading and writing
    desk = Desk()
    desk.entries.hook = lambda step: time.sleep(0.0002)
    # When all of them reverse at once, through eight functions
    wishes = [
        {"kind": Kind.VOID} if amount == "void" else {"kind": Kind.REFUND, "amount": amount} for amount in amounts
    ]
    answers = desk.all_at_once(wishes)
    made = [each for each in answers if isinstance(each, Amendment)]
    # Then what was granted is what the history holds, and no more than was paid
    desk.assert_sound()
    assert sorted(each.number for each in made) == [each.number for each in desk.entry.history]
    assert sum(each.minor for each in made) == 1250 - desk.entry.left <= 1250
    # And none was refused that would have fitted
    if len(made) < MOST_AMENDMENTS:
        refused = [amount for amount, each in zip(amounts, answers, strict=True) if not isinstance(each, Amendment)]
        parts = [round(float(amount) * 100) for amount in refused if amount not in (None, "void")]
        assert all(minor > desk.entry.left for minor in parts)


def test_one_key_at_once_is_one_reversal() -> None:
    desk = Desk()
    made = desk.all_at_once([{"kind": Kind.REFUND, "amount": "1.00", "key": "same"}] * 16)
    assert len({repr(each) for each in made}) == 1
    assert desk.entry.left == 1150
    desk.assert_sound()


@pytest.mark.parametrize("changes", [{"amount": "1.01"}, {"amount": None}, {"kind": Kind.VOID}, {"reason": "else"}])
def test_another_wish_under_a_used_key_is_refused(changes: dict[str, Any]) -> None:
    desk = Desk()
    first = {"kind": Kind.REFUND, "amount": "1.00", "key": "same"}
    desk.amend(**first)
    wish = first | changes
    if wish["kind"] is Kind.VOID:
        wish["amount"] = None
    with pytest.raises(Refused) as refused:
        desk.amend(**wish)
    assert (refused.value.code, desk.entry.left) == ("idempotency_key_reused", 1150)


def test_the_same_key_of_another_caller_is_another_reversal() -> None:
    desk = Desk()
    for caller in (SHOP, ONE):
        desk.amend(Kind.REFUND, caller, amount="1.00", key="same")
    assert desk.entry.left == 1050


@pytest.mark.parametrize("amount", ["-1", "0", "12.501", "1e3", "99999999999999999999999", "NaN", "5107565799404507"])
def test_an_impossible_amount_is_refused(amount: str) -> None:
    desk = Desk()
    with pytest.raises(InvalidField):
        desk.amend(Kind.REFUND, amount=amount)
    assert desk.entry.left == 1250


def test_an_amount_has_the_decimals_of_the_payment_s_currency() -> None:
    desk = Desk()
    desk.entries.items[desk.id] = replace(desk.entries.items[desk.id], currency="JPY")
    with pytest.raises(InvalidField) as refused:
        desk.amend(Kind.REFUND, amount="12.5")
    assert refused.value.code == "amount_too_precise"
    assert desk.amend(Kind.REFUND, amount="12").minor == 12


@pytest.mark.parametrize(
    ("status", "wish", "steps"),
    [
        ("approved", {"kind": Kind.REFUND, "amount": "5.00", "key": "k"}, (*KILLS, *LAST)),
        ("approved", {"kind": Kind.VOID, "key": "k"}, (*KILLS, *RELEASE, *LAST)),
        ("review", {"kind": Kind.APPROVE, "caller": ONE}, (*KILLS, *LAST)),
        ("review", {"kind": Kind.DECLINE, "caller": ONE}, (*KILLS, *RELEASE, *LAST)),
    ],
    ids=["refund", "void", "approval", "decline"],
)
@pytest.mark.parametrize("helped", [False, True], ids=["its retry", "another request"])
def test_an_amendment_killed_at_any_step_is_completed_once(
    helped: bool, status: str, wish: dict[str, Any], steps: tuple[str, ...]
) -> None:
    for step in range(1, len(steps) + 1):
        # Given a function that dies at the step
        desk = Desk(status)
        kill = desk.die_at(step)
        with pytest.raises(Killed):
            desk.amend(**wish)
        assert kill.steps == list(steps[:step])
        desk.assert_sound()
        # When another request for the transaction comes first, which may be refused, and then the retry
        desk.live()
        if helped and step > 1:
            desk.all_at_once([{"kind": Kind.DECLINE, "caller": OTHER}, {"kind": Kind.REFUND, "amount": "99.00"}])
            assert len(desk.entry.history) == 1
        retried = desk.amend(**wish)
        # Then it happened once
        desk.assert_sound()
        assert desk.entry.history == (retried,)
        assert (desk.id in desk.entries.released) is (RELEASE[0] in steps)
        assert len(desk.audit_log.records) == len(desk.entries.items) + 1


def test_a_void_gives_the_limits_back_once_in_the_same_amount() -> None:
    desk = Desk()
    [paid] = desk.entries.read(["customer#c"])
    for step in range(1, 9):
        desk.die_at(step)
        with suppress(Killed):
            desk.amend(Kind.VOID, key="k")
    desk.live()
    desk.amend(Kind.VOID, key="k")
    moment = desk.entry.transaction.moment
    [left] = desk.entries.read(["customer#c"])
    assert (paid.paid.minor(600, moment), left.paid.minor(600, moment)) == (1250, 0)


def test_with_the_audit_log_down_no_reversal_is_answered_and_the_retry_completes_it() -> None:
    desk = Desk()

    def down(step: str) -> None:
        if step == "before audit":
            raise Unavailable("audit log")

    desk.audit_log.hook = down
    with pytest.raises(Unavailable):
        desk.amend(Kind.REFUND, amount="5.00", key="k")
    assert (desk.entry.history, desk.entry.transaction.status) == ((), "approved")
    desk.audit_log.hook = nothing
    desk.amend(Kind.REFUND, amount="5.00", key="k")
    assert desk.entry.left == 750
    desk.assert_sound()


def test_two_reviewers_at_once_decide_once() -> None:
    desk = Desk("review")
    made = desk.all_at_once([{"kind": Kind.APPROVE, "caller": ONE}, {"kind": Kind.DECLINE, "caller": OTHER}] * 4)
    assert len(desk.entry.history) == 1
    assert {each.code for each in made if isinstance(each, Refused)} == {"not_in_review"}
    assert len([each for each in made if isinstance(each, Amendment)]) == 4  # the same reviewer, again and again
    desk.assert_sound()


def test_a_reviewer_s_repeated_decision_is_the_first_one_and_another_is_refused() -> None:
    desk = Desk("review")
    assert desk.amend(Kind.APPROVE, ONE) == desk.amend(Kind.APPROVE, ONE)
    with pytest.raises(Refused) as refused:
        desk.amend(Kind.DECLINE, ONE)
    assert refused.value.code == "already_decided"


def test_who_made_a_payment_does_not_decide_it() -> None:
    desk = Desk("review")
    with pytest.raises(Refused) as refused:
        desk.amend(Kind.APPROVE, SHOP)
    assert refused.value.code == "decider_is_payer"


def test_with_four_eyes_two_reviewers_approve_and_one_may_decline() -> None:
    # Given a first approval, then the payment still stands in review
    desk = Desk("review", four_eyes=True)
    first = desk.amend(Kind.APPROVE, ONE)
    assert (first.status, desk.amend(Kind.APPROVE, ONE)) == ("review", first)
    # When another reviewer approves, then it is approved
    assert desk.amend(Kind.APPROVE, OTHER).status == "approved"
    desk.assert_sound()
    # And one reviewer is enough to decline
    assert Desk("review", four_eyes=True).amend(Kind.DECLINE, ONE).status == "declined"


def test_a_transaction_has_an_end_of_amendments() -> None:
    desk = Desk()
    for _ in range(MOST_AMENDMENTS):
        desk.amend(Kind.REFUND, amount="0.01")
    with pytest.raises(Refused) as refused:
        desk.amend(Kind.REFUND, amount="0.01")
    assert refused.value.code == "too_many_amendments"


def test_the_record_names_who_did_what_and_why() -> None:
    desk = Desk()
    bench_records = set(desk.audit_log.records)
    desk.amend(Kind.REFUND, amount="5.00", reason="<b>'; DROP TABLE customers; --", party="operator")
    [key] = set(desk.audit_log.records) - bench_records
    record = json.loads(desk.audit_log.records[key].body)
    assert key == f"audit/year=2026/month=11/day=22/{desk.id}.1.json"
    assert record["reason"] == "<b>'; DROP TABLE customers; --"
    assert (record["caller"], record["party"], record["kind"], record["minor"]) == (
        "AIDASHOP",
        "operator",
        "refund",
        500,
    )
    assert (record["transaction_id"], record["currency"], record["status"]) == (desk.id, "USD", "partly_refunded")


def test_functions_of_payments_and_of_amendments_are_not_confused() -> None:
    """A payment's function settles a pending transaction; it never sets a settled one back."""
    desk = Desk()
    desk.amend(Kind.VOID)
    processor: Processor = desk.bench.function()
    again = desk.bench.pay(processor, caller="AIDASHOP")
    assert (again.outcome, desk.entry.transaction.status) == ("approved", "voided")
