"""Card keys rotate: a retry stays the same payment, a card stays the same card, whatever a function has read last."""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.payments.callers import Caller
from lambdas.payments.card_keys import OVERLAP, CardKeys
from lambdas.payments.cards import CardNumber
from lambdas.payments.errors import InFlight, KeyReused, Unavailable
from lambdas.payments.examination import Examiner
from lambdas.payments.payment import Payment
from lambdas.payments.processing import Processor
from lambdas.payments.transactions import Transaction
from lambdas.payments.velocity import DAY, KEPT_SECONDS
from loadtest.scenario import card_number
from tests.unit.lambdas.stores import KillAt, Killed, MemoryAuditLog, MemoryDirectory, MemoryLedger, MemorySecret
from tests.unit.lambdas.test_fraud import RULES
from tests.unit.lambdas.test_idempotency_scope import Platform
from tests.unit.lambdas.test_processing import STEPS, Bench

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CALLER = Caller("AIDASHOP", "arn:aws:iam::111111111111:user/shop")
NOW = int(START.timestamp())
FIRST = "".join(random.Random(1).choices("abcXYZ019", k=64))


def rotated(times: int, keys: CardKeys | None = None, every: int = 60) -> CardKeys:
    keys = keys or CardKeys.parse(FIRST)
    for n in range(times):
        keys = keys.rotated(f"{n + 2:064}", NOW + n * every)
    return keys


# --- the secret -------------------------------------------------------------------------------------------------------


def test_a_secret_that_was_never_rotated_is_version_one() -> None:
    keys = CardKeys.parse(FIRST)
    assert [(each.number, each.key) for each in keys.versions] == [(1, FIRST.encode())]
    assert CardNumber("4111111111111111").fingerprint(keys.newest.key) == CardNumber("4111111111111111").fingerprint(
        FIRST.encode()
    )


@given(st.integers(1, 4))
def test_a_rotation_adds_a_version_and_keeps_the_former_and_the_key_of_the_ids(times: int) -> None:
    first, keys = CardKeys.parse(FIRST), CardKeys.parse(rotated(times).to_json())
    assert [each.number for each in keys.versions] == list(range(1, times + 2))
    assert keys.versions[0] == first.newest
    assert keys.ids_key == first.ids_key
    assert keys.follows(first)
    assert not first.follows(keys)


def test_a_rotation_drops_what_was_replaced_when_nothing_counted_under_it_is_left() -> None:
    keys = rotated(1)
    later = keys.rotated("3" * 64, NOW + KEPT_SECONDS)
    assert [each.number for each in later.versions] == [2, 3]
    assert [each.number for each in keys.rotated("3" * 64, NOW + KEPT_SECONDS - 1).versions] == [1, 2, 3]


GOOD = json.loads(rotated(1).to_json())
ONE, TWO = GOOD["keys"]
GARBAGE = {
    "nothing": "",
    "a word": "garbage",
    "half a set": rotated(1).to_json()[:-9],
    "another document": '{"username": "payments_app", "password": "p"}',
    "a list": "[]",
    "no version": json.dumps(GOOD | {"keys": []}),
    "no key of the ids": json.dumps({"keys": GOOD["keys"]}),
    "a short key": json.dumps(GOOD | {"keys": [ONE | {"key": "short"}]}),
    "versions in disorder": json.dumps(GOOD | {"keys": [TWO, ONE]}),
    "a version twice": json.dumps(GOOD | {"keys": [ONE, ONE]}),
    "a key twice": json.dumps(GOOD | {"keys": [ONE, TWO | {"key": ONE["key"]}]}),
    "a version without a number": json.dumps(GOOD | {"keys": [ONE | {"version": None}]}),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_refused_without_being_quoted(name: str) -> None:
    with pytest.raises(ValueError, match="card key") as refused:
        CardKeys.parse(GARBAGE[name])
    assert ONE["key"] not in str(refused.value)


@given(st.integers(0, 4), st.integers(0, 3 * DAY), st.integers(0, 10 * DAY))
def test_a_version_decides_when_it_has_counted_for_the_overlap(times: int, every: int, after: int) -> None:
    keys, moment = rotated(times, every=every), NOW + after
    first, *_, last = counted = [*keys.counted(moment), keys.newest]
    assert first.since <= moment - OVERLAP or first.number == 1
    assert all(each.since > moment - OVERLAP for each in keys.versions if each.number > first.number)
    assert last == keys.newest
    assert [each.number for each in counted[:-1]] == list(range(first.number, last.number + 1))


# --- retries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rotations", [1, 2])
@pytest.mark.parametrize("kept", [True, False], ids=["answer kept", "answer expired"])
def test_a_retry_across_rotations_gets_the_first_answer(
    kept: bool, rotations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a payment, and then rotations that the function has read
    platform = Platform(monkeypatch)
    first = platform.pay("AIDASHOP")
    for _ in range(rotations):
        platform.bench.secret.rotate(START)
    platform.read_keys_again()
    if not kept:
        platform.idempotency.records.clear()
    # Then its retry gets the same answer, and another payment under its key is refused
    assert platform.pay("AIDASHOP") == (201, first[1], True)
    assert platform.pay("AIDASHOP", amount="12.51")[0] == 422
    assert len(platform.bench.ledger.items) == 1


def test_a_function_with_older_keys_understands_a_payment_of_a_newer_version(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a set of versions, and a function that has read it
    platform = Platform(monkeypatch)
    platform.bench.secret.rotate(START)
    platform.read_keys_again()
    stale = platform.keyring
    # And a payment by a function that knows the next version
    platform.bench.secret.rotate(START)
    platform.read_keys_again()
    first = platform.pay("AIDASHOP")
    [made] = platform.bench.ledger.items.values()
    assert made.card.key_version == 3
    # Then its retry by the first function gets the same answer
    platform.use(stale)
    assert platform.pay("AIDASHOP") == (201, first[1], True)
    assert platform.pay("AIDASHOP", amount="12.51")[0] == 422
    # And 503 by a function that can't read the version
    platform.use(lambda *, fresh=False: rotated(1, CardKeys.of_one(b"k" * 64)))
    status, body, _ = platform.pay("AIDASHOP")
    assert (status, body["type"]) == (503, "urn:problem-type:payments:unavailable")
    assert len(platform.bench.ledger.items) == 1


def test_a_retry_in_flight_across_a_rotation_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a first request that was not decided yet, whose lock holds a fingerprint of version 2
    platform = Platform(monkeypatch)
    platform.bench.secret.rotate(START)
    platform.read_keys_again()
    platform.bench.ledger.hook = KillAt(1)
    with pytest.raises(Killed):
        platform.pay("AIDASHOP")
    platform.bench.ledger.hook = KillAt(0)
    # Then its retry under version 3 is neither refused for good, nor paid beside it
    platform.bench.secret.rotate(START)
    platform.read_keys_again()
    assert platform.pay("AIDASHOP")[0] == 409
    assert platform.bench.ledger.items == {}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, len(STEPS))), max_size=5), st.integers(0, 3))
def test_crashes_and_rotations_in_any_order_end_in_one_payment(crashes: list[tuple[int, int]], last: int) -> None:
    # Given functions that read the keys before the first rotation, between two, and after the last
    bench = Bench()
    keyrings = []
    for _ in range(4):
        keyring = bench.secret.keyring()
        keyring()
        keyrings.append(keyring)
        bench.secret.rotate(START)
    # When any of them serve the request, and die at any step
    for function, step in crashes:
        bench.ledger.hook = bench.audit_log.hook = KillAt(step)
        try:
            bench.pay(bench.function(keyrings[function]))
        except Killed:
            bench.assert_sound()
    bench.ledger.hook = bench.audit_log.hook = KillAt(0)
    answers = {bench.pay(bench.function(keyring)).transaction_id for keyring in (keyrings[last], *keyrings)}
    # Then there is one payment, and another one under its key is refused by all
    assert len(answers) == len(bench.ledger.items) == len(bench.audit_log.records) == 1
    bench.assert_sound()
    for keyring in keyrings:
        with pytest.raises(KeyReused):
            bench.pay(bench.function(keyring), amount="12.51")
        with pytest.raises(KeyReused):
            bench.pay(bench.function(keyring), card_number="5555555555554444")


def test_ids_are_keyed_from_the_first_rotation_on_and_stay_the_same() -> None:
    bench = Bench()
    before = bench.pay(bench.function(), key="before")
    for _ in range(2):
        bench.secret.rotate(START)
        after = bench.pay(bench.function(), key="after")
    assert bench.pay(bench.function(), key="before").transaction_id == before.transaction_id
    assert bench.pay(bench.function(), key="after").transaction_id == after.transaction_id
    assert len(bench.ledger.items) == 2
    with pytest.raises(InFlight):
        bench.function().repeat(Payment.parse(BODY), CALLER, "never sent")


def test_after_a_version_was_dropped_a_retry_is_told_apart_by_what_is_stored() -> None:
    # Given a payment under version 1, which was dropped since
    bench = Bench()
    first = bench.pay(bench.function())
    for later in (0, KEPT_SECONDS):
        bench.secret.rotate(START + timedelta(seconds=later))
    assert bench.secret.keys.has_dropped(1)
    assert bench.pay(bench.function()) == bench.ledger.items[first.transaction_id]
    for change in ({"amount": "12.51"}, {"card_number": "4242424242424242"}, {"country": "DE"}):
        with pytest.raises(KeyReused):
            bench.pay(bench.function(), **change)


def test_a_version_that_is_missing_is_unavailable() -> None:
    # Given a payment under version 2, which somebody took out of the middle of the set
    bench = Bench()
    bench.secret.rotate(START)
    bench.pay(bench.function())
    bench.secret.rotate(START)
    document = json.loads(bench.secret.keys.to_json())
    bench.secret.keys = CardKeys.parse(json.dumps(document | {"keys": [document["keys"][0], document["keys"][2]]}))
    with pytest.raises(Unavailable, match="version 2"):
        bench.pay(bench.function())
    assert len(bench.ledger.items) == 1


# --- what is counted by card ------------------------------------------------------------------------------------------

BODY = {"customer_id": "c", "amount": "10", "currency": "USD", "card_number": card_number(1)}


class Town:
    """Shops whose functions have read the keys up to five minutes ago."""

    def __init__(self, rotations: list[datetime], dice: random.Random) -> None:
        self.ledger, self.audit_log, self.secret = MemoryLedger(), MemoryAuditLog(), MemorySecret()
        self._now, self._dice, self._made = START, dice, 0
        self._known = [(START - timedelta(days=1), self.secret.keys)]
        for moment in rotations:
            self.secret.rotate(moment)
            self._known.append((moment, self.secret.keys))
        examiner = Examiner(MemoryDirectory(), self.ledger, lambda: RULES, self._keys)
        self._processor = Processor(examiner, self.ledger, self.audit_log, clock=lambda: self._now)

    def _keys(self, *, fresh: bool = False) -> CardKeys:
        read_at = self._now - timedelta(seconds=0 if fresh else self._age)
        return [keys for since, keys in self._known if since <= read_at][-1]

    def pay(self, now: datetime, body: dict[str, Any]) -> Transaction:
        self._now, self._age = now, self._dice.randrange(300)
        self._made += 1
        return self._processor.process(Payment.parse(body), CALLER, f"key {self._made}", "request")


@settings(max_examples=60, deadline=None)
@given(st.integers(0), st.lists(st.integers(0, 4 * DAY), max_size=3))
def test_rotations_change_no_decision(seed: int, rotations: list[int]) -> None:
    # Given the same payments of few customers and cards over five days, with and without rotations at any moments
    dice = random.Random(seed)
    moments = [START + timedelta(seconds=each) for each in sorted(rotations)]
    with_rotations, without = Town(moments, random.Random(seed)), Town([], random.Random(seed))
    now, pairs = START, []
    for _ in range(150):
        # Often just before or after a rotation, or the moment when a version begins to decide
        near = [each + timedelta(seconds=more) for each in moments for more in (0, OVERLAP, OVERLAP + DAY)]
        jump = [each for each in near if each > now]
        if jump and dice.random() < 0.1:
            now = dice.choice(jump) - timedelta(seconds=dice.randrange(60))
        now += timedelta(seconds=int(dice.choice([1, 20, 300, 3000]) * dice.random()))
        body = BODY | {
            "customer_id": f"c{dice.randrange(4)}", "card_number": card_number(dice.randrange(12)),
            "amount": dice.choice(["1", "10", "900"]), "client_ip": f"192.0.2.{dice.randrange(2)}",
        }  # fmt: skip
        pairs.append((with_rotations.pay(now, body), without.pay(now, body)))
    # Then each payment has the same outcome for the same reasons
    for mine, theirs in pairs:
        assert (mine.outcome, mine.reasons, mine.score) == (theirs.outcome, theirs.reasons, theirs.score)
    assert {each.card.key_version for each, _ in pairs} <= set(range(1, len(moments) + 2))


@pytest.mark.parametrize("turn", [timedelta(), timedelta(seconds=OVERLAP)], ids=["rotation", "new version decides"])
def test_a_card_is_counted_on_when_its_fingerprint_changes(turn: timedelta) -> None:
    # Given twelve payments of a card in the minute before
    town = Town([START + timedelta(minutes=1)], random.Random(1))
    then = START + timedelta(minutes=1) + turn
    for n in range(12):
        assert town.pay(then - timedelta(seconds=2), BODY | {"customer_id": f"c{n // 3}"}).outcome == "approved"
    # Then the next one is one too many
    assert "card_velocity_count" in town.pay(then, BODY | {"customer_id": "other"}).reasons


def test_a_card_that_returns_within_the_hour_counts_once_though_its_fingerprint_changed() -> None:
    # Given as many cards as an address may use, in an hour in whose middle the new version begins to decide
    town = Town([START + timedelta(minutes=30)], random.Random(1))
    turn = START + timedelta(minutes=30, seconds=OVERLAP)
    bodies = [
        BODY | {"customer_id": f"c{n}", "card_number": card_number(n), "client_ip": "192.0.2.1"} for n in range(1, 11)
    ]
    # Then each of them may be used before and after, and no further card
    for moment in (turn - timedelta(minutes=20), turn + timedelta(minutes=20)):
        assert {town.pay(moment, body).outcome for body in bodies} == {"approved"}
    assert town.pay(turn + timedelta(minutes=21), bodies[0] | {"card_number": card_number(99)}).outcome == "declined"


def test_nothing_that_is_stored_holds_the_first_digits_of_a_card() -> None:
    # Given payments that every rule of card testing counts
    town = Town([], random.Random(1))
    made = town.pay(START, BODY | {"amount": "1", "client_ip": "192.0.2.1"})
    # Then neither ledger, counters nor audit record show the issuer's digits
    stored = repr((town.ledger.items, town.ledger.states, dict(town.ledger.watched), town.audit_log.records))
    assert made.card.last4 in stored
    assert BODY["card_number"][:6] not in stored
