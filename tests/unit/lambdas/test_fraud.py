"""The fraud rules: each fires in its own case only, and the sum of the scores decides."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.payments import fraud
from lambdas.payments.customers import Customer
from lambdas.payments.fraud import Assessment, Attempt
from lambdas.payments.money import Currency, Money
from lambdas.payments.rules import Rules, shipped
from lambdas.payments.velocity import Activity, State, Sums

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECOND = int(NOW.timestamp())
DOCUMENT = json.loads(Path(fraud.__file__).with_name("fraud_rules.json").read_text())
CARD_TESTING = ("many_cards_from_address", "many_small_payments_in_bin", "many_small_payments_of_caller")
RULES = shipped()
NOTHING = State(key="nothing yet")
CUSTOMER = Customer(
    customer_id="c", status="active", country="US", allowed_currencies=frozenset({"USD"}), payment_limits={}
)


def sums(*events: tuple[int, int]) -> Sums:
    """``events``: seconds ago and minor units, oldest first."""
    found = Sums()
    for ago, minor in sorted(events, reverse=True):
        found = found.plus(SECOND - ago, minor)
    return found


def assess(
    customer: State = NOTHING,
    card: State = NOTHING,
    at_merchant: State = NOTHING,
    *,
    minor: int = 10_00,
    currency: str = "USD",
    country: str | None = None,
    watched: Iterable[str] = (),
    rules: Rules = RULES,
    payer: Customer = CUSTOMER,
) -> Assessment:
    money = Money(minor, Currency.of(currency))
    attempt = Attempt(customer_id="c", card_names=("card",), money=money, country=country)
    return fraud.assess(attempt, payer, Activity(customer, card, at_merchant), frozenset(watched), rules, NOW)


def customer(**values: Any) -> State:
    return State(key="customer", **values)


def seen(ago: int, *names: str) -> State:
    return State(key="others", others={name: SECOND - ago for name in names})


def test_a_first_ordinary_payment_is_approved_with_no_reason() -> None:
    assert assess() == Assessment(decision="approve", score=0, reasons=())


FIVE = ("1", "2", "3", "4", "5")


def case(rule: str, ago: int = 0) -> dict[str, Any]:
    """What makes a rule fire, when it happened ``ago`` seconds before."""
    often = sums(*((ago + n, 10_00) for n in range(12)))
    much = sums(*((ago + n, 8_000_00) for n in range(4)))
    cases: dict[str, dict[str, Any]] = {
        "customer_velocity_count": {"customer": customer(paid=often)},
        "customer_velocity_amount": {"customer": customer(paid=much), "minor": 8_000_01},
        "card_velocity_count": {"card": State(key="card", paid=often)},
        "card_velocity_amount": {"card": State(key="card", paid=much), "minor": 8_000_01},
        "amount_anomaly": {"customer": customer(amounts=(5_00,) * 10), "minor": 40_01},
        "many_cards_on_customer": {"at_merchant": seen(ago, *FIVE)},
        "many_customers_on_card": {"card": seen(ago, *FIVE)},
        "country_mismatch": {"country": "FR"},
        "just_under_limit": {
            "customer": customer(near_limit=sums((ago, 9_500_00), (ago, 9_900_00))), "minor": 9_000_00,
        },
        "repeated_declines": {"at_merchant": State(key="m", declined=sums(*((ago + n, 1) for n in range(3))))},
        **{name: {"watched": [name]} for name in CARD_TESTING},
    }  # fmt: skip
    return cases[rule]


@pytest.mark.parametrize("rule", DOCUMENT["rules"])
def test_only_the_named_rule_fires_in_its_case(rule: str) -> None:
    found = assess(**case(rule))
    assert found.reasons == (rule,)
    assert found.score == DOCUMENT["rules"][rule]["score"]


@pytest.mark.parametrize(
    "rule", [name for name, values in DOCUMENT["rules"].items() if "seconds" in values and name not in CARD_TESTING]
)
def test_what_was_before_the_window_does_not_count(rule: str) -> None:
    window = DOCUMENT["rules"][rule]["seconds"]
    # A slot is at most a twelfth of the window, or of the time since.
    assert rule not in assess(**case(rule, ago=window + window // 12)).reasons


@pytest.mark.parametrize("count", [50, 51, 400])
def test_a_rule_counts_as_far_as_its_threshold_says(count: int) -> None:
    many = Rules.parse(
        {**DOCUMENT, "rules": {"customer_velocity_count": {"score": 1, "seconds": 3600, "count": count}}}
    )
    paid = [(n % 3000, 1) for n in range(count)]
    assert assess(customer(paid=sums(*paid[1:])), rules=many).reasons == ()
    assert assess(customer(paid=sums(*paid)), rules=many).reasons == ("customer_velocity_count",)


def test_small_payments_do_not_hide_large_ones() -> None:
    # Given payments of nearly the hour's amount, and fifty of a cent after them
    paid = sums((3000, 20_000_00), (2900, 19_000_00), *((600 - n, 1) for n in range(50)))
    assert "customer_velocity_amount" in assess(customer(paid=paid), minor=1_000_00).reasons


def test_amounts_of_all_currencies_add_up() -> None:
    # Given 39,000 dollars in euros and pounds
    paid = sums((900, 19_500_00), (800, 19_500_00))
    assert "customer_velocity_amount" not in assess(customer(paid=paid), minor=5_000, currency="JPY").reasons
    assert "customer_velocity_amount" in assess(customer(paid=paid), minor=1_000_000, currency="JPY").reasons


def test_the_customer_s_own_limit_bounds_the_hour_too() -> None:
    small = Customer(
        customer_id="c", status="active", country="US", allowed_currencies=frozenset({"USD"}),
        payment_limits={"USD": 50_00},
    )  # fmt: skip
    paid = sums(*((n, 44_99) for n in range(4)))
    assert "customer_velocity_amount" in assess(customer(paid=paid), minor=44_99, payer=small).reasons
    assert "customer_velocity_amount" not in assess(customer(paid=paid), minor=44_99).reasons


def test_reasons_add_up_to_a_decision() -> None:
    review = assess(at_merchant=seen(10, *FIVE))
    both = assess(at_merchant=seen(10, *FIVE), card=seen(10, *FIVE))
    assert (review.decision, review.score) == ("review", 40)
    assert (both.decision, both.score) == ("decline", 100)


events = st.lists(st.tuples(st.integers(0, 86_400), st.integers(1, 10_000_00)), max_size=30)


@given(events, events, st.integers(1, 10_000_00))
def test_the_same_facts_give_the_same_explained_assessment(
    of_customer: list[tuple[int, int]], of_card: list[tuple[int, int]], minor: int
) -> None:
    states = customer(paid=sums(*of_customer)), State(key="card", paid=sums(*of_card))
    found = assess(*states, minor=minor)
    assert found == assess(*states, minor=minor)
    assert found.score == min(100, sum(DOCUMENT["rules"][reason]["score"] for reason in found.reasons))
    assert (found.decision == "approve") == (found.score < DOCUMENT["review_at"])


@given(events, st.integers(1, 10_000_00))
def test_one_more_payment_never_turns_a_velocity_rule_off(paid: list[tuple[int, int]], minor: int) -> None:
    velocity = {"customer_velocity_count", "customer_velocity_amount"}
    before = velocity & set(assess(customer(paid=sums(*paid)), minor=minor).reasons)
    after = velocity & set(assess(customer(paid=sums(*paid, (1, 10_00))), minor=minor).reasons)
    assert before <= after


def test_a_load_test_customer_is_approved_all_day() -> None:
    paid = sums(*((60 * n, 30_00 + n) for n in range(1, 51)))
    amounts = tuple(30_00 + n for n in range(20))
    assert (
        assess(customer(paid=paid, amounts=amounts), State(key="card", paid=paid), minor=200_00).decision == "approve"
    )


def test_a_rule_that_the_configuration_leaves_out_is_off() -> None:
    off = Rules.parse(DOCUMENT | {"rules": {}})
    assert assess(**case("many_cards_on_customer"), rules=off).decision == "approve"
