"""Limits hold however many payments arrive at once, through however many functions, in whatever currencies."""

import itertools
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.payments.callers import Caller
from lambdas.payments.examination import Examiner
from lambdas.payments.limits import PAYMENTS_A_DAY, PAYMENTS_A_MONTH, in_base
from lambdas.payments.merchants import day_totals
from lambdas.payments.payment import Payment
from lambdas.payments.processing import Processor
from lambdas.payments.transactions import Transaction
from loadtest.scenario import card_number
from tests.unit.lambdas.stores import (
    MERCHANT,
    KillAt,
    Killed,
    MemoryAuditLog,
    MemoryDirectory,
    MemoryLedger,
    MemorySecret,
    active_customer,
)
from tests.unit.lambdas.test_fraud import RULES

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CALLER = Caller("AIDASHOP", "arn:aws:iam::111111111111:user/shop")
WORKERS = 8


class Shop:
    """A merchant whose payments are served by eight functions on the same stores."""

    def __init__(self) -> None:
        self.ledger, self.audit_log, self.directory = MemoryLedger(), MemoryAuditLog(), MemoryDirectory()
        self._now, self._keys = START, itertools.count()
        self._functions = [self._function() for _ in range(WORKERS)]

    def _function(self) -> Processor:
        examiner = Examiner(self.directory, self.ledger, lambda: RULES, MemorySecret().keyring())
        return Processor(examiner, self.ledger, self.audit_log, clock=lambda: self._now)

    def later(self, **delta: float) -> None:
        self._now += timedelta(**delta)

    def pay_all(self, bodies: Sequence[dict[str, Any]], caller: Caller = CALLER) -> list[Transaction]:
        """All at once."""
        with ThreadPoolExecutor(WORKERS) as clients:
            return list(clients.map(lambda body: self.pay(caller, **body), bodies))

    def pay(self, caller: Caller = CALLER, key: str | None = None, **changes: Any) -> Transaction:
        body = {"customer_id": "c", "amount": "10", "currency": "USD", "card_number": card_number(1)} | changes
        number = next(self._keys)
        function = self._functions[number % WORKERS]
        return function.process(Payment.parse(body), caller, key or f"key {number}", f"request {number}")


def approved(payments: Sequence[Transaction]) -> list[Transaction]:
    return [each for each in payments if each.outcome == "approved"]


def base_total(payments: Sequence[Transaction]) -> int:
    return sum(in_base(each.minor, each.currency) for each in payments)


def test_of_two_hundred_payments_at_once_no_more_are_approved_than_the_limits_allow() -> None:
    # Given functions that take some time between reading and writing
    shop = Shop()
    shop.ledger.hook = lambda step: time.sleep(0.0005)
    # When 200 payments of 8,900 dollars by one customer arrive at once
    made = shop.pay_all([{"amount": "8900"}] * 200)
    # Then the hour's 40,000 is not passed, by approved payments, nor the day's 50,000 by any that was not declined
    assert len(made) == len({each.transaction_id for each in made}) == 200
    assert base_total(approved(made)) <= 40_000_00
    assert len(approved(made)) == 4
    assert base_total([each for each in made if each.outcome != "declined"]) <= PAYMENTS_A_DAY * 10_000_00
    assert shop.ledger.contended > 0


@settings(max_examples=5, deadline=None)
@given(st.integers(0))
def test_no_window_of_any_limit_is_passed(seed: int) -> None:
    # Given 200 payments of two customers with three cards, in waves at random times
    shop, dice, made = Shop(), random.Random(seed), list[Transaction]()
    shop.ledger.hook = lambda step: time.sleep(0.0002)
    for _ in range(5):
        made += shop.pay_all([_any_payment(dice) for _ in range(40)])
        shop.later(seconds=dice.randrange(90))
    # Then in each window that ends at a payment, what was approved keeps the limits of customer and card
    rules = RULES.values
    subjects: dict[str, Callable[[Transaction], str]] = {
        "customer": lambda each: each.customer_id, "card": lambda each: each.card.fingerprint,
    }  # fmt: skip
    for kind, subject in subjects.items():
        for name in {subject(each) for each in made}:
            own = approved([each for each in made if subject(each) == name])
            for last in own:
                minute = _window(own, last, rules[f"{kind}_velocity_count"]["seconds"])
                assert len(minute) <= rules[f"{kind}_velocity_count"]["count"]
                hour = _window(own, last, rules[f"{kind}_velocity_amount"]["seconds"])
                assert base_total(hour) <= 40_000_00
            if kind == "customer":
                kept = [each for each in made if each.customer_id == name and each.outcome != "declined"]
                assert base_total(kept) <= PAYMENTS_A_DAY * 10_000_00


def _any_payment(dice: random.Random) -> dict[str, str]:
    currency = dice.choice(["USD", "EUR", "GBP", "JPY", "KWD"])
    largest = {"JPY": 1_300_000, "KWD": 3_000}.get(currency, 8_000)
    return {
        "customer_id": dice.choice("cd"),
        "card_number": card_number(dice.randrange(3)),
        "currency": currency,
        "amount": str(dice.randrange(1, largest)),
    }


def _window(payments: list[Transaction], last: Transaction, seconds: int) -> list[Transaction]:
    return [each for each in payments if last.moment - seconds < each.moment <= last.moment]


def test_full_payments_in_many_currencies_use_up_one_limit() -> None:
    full = {"USD": "10000", "EUR": "8400", "GBP": "7300", "CHF": "8000", "CAD": "13000", "AUD": "14900"}
    made = Shop().pay_all([{"currency": code, "amount": amount} for code, amount in full.items()] * 2)
    assert base_total(approved(made)) <= 40_000_00
    assert base_total([each for each in made if each.outcome != "declined"]) <= 50_000_00


def test_a_customer_with_a_small_limit_keeps_it_in_hours_days_and_months() -> None:
    # Given a customer who may pay 50.00 at once
    shop = Shop()
    small = replace(active_customer("small"), payment_limits={"USD": 50_00})
    shop.directory.customers["small"] = small
    # When twelve payments of 44.99 arrive in a minute
    made = shop.pay_all([{"customer_id": "small", "amount": "44.99"}] * 12)
    # Then an hour's four times the limit is approved, the day's five times is accepted, and the rest declined
    assert base_total(approved(made)) <= 4 * 50_00
    assert base_total([each for each in made if each.outcome != "declined"]) <= PAYMENTS_A_DAY * 50_00
    assert {reason for each in made for reason in each.reasons} >= {"amount_over_day_limit"}
    # And over many days, the month's thirty times
    accepted = [each for each in made if each.outcome != "declined"]
    for _ in range(20):
        shop.later(hours=26)
        day = shop.pay_all([{"customer_id": "small", "amount": "30"}] * 5)
        accepted += [each for each in day if each.outcome != "declined"]
    assert base_total(accepted) <= PAYMENTS_A_MONTH * 50_00
    assert shop.pay(customer_id="small", amount="49").reasons[0] == "amount_over_month_limit"


def test_a_customer_s_own_limits_of_day_and_month_replace_the_platform_s() -> None:
    shop = Shop()
    shop.directory.customers["own"] = replace(active_customer("own"), spending_limits={"day": 100_00, "month": 150_00})
    assert shop.pay(customer_id="own", amount="100").outcome == "approved"
    assert shop.pay(customer_id="own", amount="0.01").reasons == ("amount_over_day_limit",)
    shop.later(hours=26)
    assert shop.pay(customer_id="own", amount="50").outcome == "approved"
    assert shop.pay(customer_id="own", amount="0.01").reasons == ("amount_over_month_limit",)


@pytest.mark.parametrize("step", range(1, 7))
def test_a_retry_after_a_crash_uses_up_the_limit_once(step: int) -> None:
    # Given a function that dies at the step, and the client's retry
    shop = Shop()
    shop.ledger.hook = shop.audit_log.hook = KillAt(step)
    with pytest.raises(Killed):
        shop.pay(key="one", amount="700")
    shop.ledger.hook = shop.audit_log.hook = KillAt(0)
    shop.pay(key="one", amount="700")
    # Then the amount counts once
    assert shop.ledger.read(["customer#c"])[0].paid.minor(60, int(START.timestamp())) == 700_00


def test_declined_payments_use_up_nothing() -> None:
    shop = Shop()
    shop.directory.customers["own"] = replace(active_customer("own"), spending_limits={"day": 100_00})
    for _ in range(2):
        assert shop.pay(customer_id="own", amount="200").outcome == "declined"
    assert shop.pay(customer_id="own", amount="100").outcome == "approved"


@pytest.mark.parametrize("deaths", [[], [1], [2], [1, 2, 2]], ids=["alive", "before", "after", "thrice"])
def test_a_payment_that_is_given_up_gives_its_amount_back_exactly_once(deaths: list[int]) -> None:
    # Given a customer and a merchant with a full day
    shop = Shop()
    shop.directory.merchants["AIDASHOP"] = replace(MERCHANT, limits={"day": 200_00})
    shop.directory.customers["own"] = replace(active_customer("own"), spending_limits={"day": 100_00})
    first, second = shop.pay(customer_id="own", amount="60"), shop.pay_all([{"customer_id": "own", "amount": "40"}] * 2)
    assert [each.outcome for each in second].count("declined") == 1
    # When the first payment is released, by functions that may die before and after the write
    for step in deaths:
        shop.ledger.hook = KillAt(step)
        with pytest.raises(Killed):
            shop._function().release(first)
    shop.ledger.hook = KillAt(0)
    for _ in range(2):
        shop._function().release(first)
    # Then just its amount is free again, of the customer's day and the merchant's
    assert shop.ledger.total(day_totals("shop", "2026-11-22")) == 40_00
    shop.later(seconds=1)
    assert shop.pay(customer_id="own", amount="60.01").outcome == "declined"
    assert shop.pay(customer_id="own", amount="60").outcome == "approved"


def test_what_one_merchant_declines_does_not_lock_a_customer_out_at_another() -> None:
    # Given a merchant that sends junk cards, malformed and well formed, for a customer
    shop, other = Shop(), Caller("AIDAOTHER", "arn:aws:iam::111111111111:user/other")
    shop.directory.merchants["AIDAOTHER"] = replace(MERCHANT, merchant_id="other")
    junk = [{"amount": "20000", "card_number": card_number(n)} for n in range(2, 9)]
    malformed = [{"amount": "5", "card_number": "4111111111111112"}] * 7
    assert {each.outcome for each in shop.pay_all(junk + malformed, other)} == {"declined"}
    # Then the customer may pay at another merchant, and no longer at that one
    assert shop.pay().outcome == "approved"
    assert "repeated_declines" in shop.pay(other).reasons


def test_malformed_cards_are_neither_cards_nor_declines() -> None:
    shop = Shop()
    shop.pay_all([{"amount": "5", "card_number": f"4{n:015}"} for n in range(40)])
    assert shop.pay().outcome == "approved"


@pytest.mark.parametrize("field", ["client_ip", "card_expiry", "country", "merchant_reference"])
def test_a_merchant_sends_the_fields_that_it_must(field: str) -> None:
    shop = Shop()
    shop.directory.merchants["AIDASHOP"] = replace(MERCHANT, required_fields=frozenset({field}))
    full = {"client_ip": "192.0.2.1", "card_expiry": "2030-01", "country": "US", "merchant_reference": "order-1"}
    assert shop.pay(**full).outcome == "approved"
    lacking = {name: value for name, value in full.items() if name != field}
    assert shop.pay_all([{"amount": "1"}, {"amount": "10"} | lacking])[1].reasons == (f"{field}_missing",)


def test_a_merchant_keeps_its_own_limits_and_currencies() -> None:
    shop = Shop()
    shop.directory.merchants["AIDASHOP"] = replace(
        MERCHANT, limits={"payment": 100_00, "day": 250_00}, allowed_currencies=frozenset({"USD"})
    )
    assert shop.pay(amount="100.01").reasons == ("amount_over_merchant_limit",)
    assert shop.pay(currency="EUR").reasons == ("currency_not_allowed_for_merchant",)
    made = [shop.pay(customer_id=f"c{n}", amount="100", card_number=card_number(n)) for n in (1, 2, 3)]
    assert [each.outcome for each in made] == ["approved", "approved", "declined"]
    assert made[2].reasons == ("amount_over_merchant_day_limit",)


Attack = Callable[[int], dict[str, Any]]
ADDRESSES: dict[str, Attack] = {
    "one address": lambda n: {"client_ip": "192.0.2.1"},
    "one network of IPv6": lambda n: {"client_ip": f"2001:db8::{n:x}"},
    "one address in two forms": lambda n: {"client_ip": ["192.0.2.1", "::ffff:c000:201"][n % 2]},
    "no address": lambda n: {},
}


@pytest.mark.parametrize("attack", ADDRESSES)
def test_who_tries_many_cards_for_many_customers_is_stopped(attack: str) -> None:
    # Given 300 cards of 300 customers from one place
    bodies = [
        {"customer_id": f"c{n}", "card_number": card_number(n), "amount": "25"} | ADDRESSES[attack](n)
        for n in range(1, 301)
    ]
    # Then only the first ten are approved
    assert len(approved(Shop().pay_all(bodies))) <= RULES.values["many_cards_from_address"]["cards"]


def test_small_payments_over_many_addresses_are_stopped_by_card_range_and_by_caller() -> None:
    def tried(cards: Sequence[str]) -> list[Transaction]:
        bodies = [
            {"customer_id": f"c{n}", "card_number": card, "amount": "1", "client_ip": f"10.0.{n // 250}.{n % 250}"}
            for n, card in enumerate(cards)
        ]
        return approved(Shop().pay_all(bodies))

    ranges = [[card_number(n) for n in range(1, 400) if n % 3 == place] for place in range(3)]
    assert len(tried(ranges[0])) <= RULES.values["many_small_payments_in_bin"]["cards"]
    assert len(tried([*ranges[0], *ranges[1], *ranges[2]])) <= RULES.values["many_small_payments_of_caller"]["cards"]


def test_a_payer_who_repeats_a_card_is_no_card_tester() -> None:
    shop = Shop()
    for _ in range(40):
        assert shop.pay(amount="1", client_ip="192.0.2.1").outcome == "approved"
        shop.later(seconds=30)


def test_an_hour_later_the_address_may_try_again() -> None:
    shop = Shop()
    shop.pay_all([{"customer_id": f"c{n}", "card_number": card_number(n), "amount": "25"} for n in range(20)])
    shop.later(hours=1)
    assert shop.pay(customer_id="x", card_number=card_number(99)).outcome == "approved"
