"""The fraud rules: each fires in its own case only, and the sum of the scores decides."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.payments import fraud
from lambdas.payments.customers import Customer
from lambdas.payments.fraud import Assessment, Attempt, PastPayment, Rules
from lambdas.payments.money import Currency, Money

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DOCUMENT = json.loads(Path(fraud.__file__).with_name("fraud_rules.json").read_text())
RULES = Rules.parse(DOCUMENT)
CUSTOMER = Customer(
    customer_id="c", status="active", country="US", allowed_currencies=frozenset({"USD"}), payment_limits={}
)


def past(seconds_ago: float = 100, **changes: Any) -> PastPayment:
    values: dict[str, Any] = {
        "created_at": NOW - timedelta(seconds=seconds_ago),
        "customer_id": "c",
        "card_fingerprint": "card",
        "currency": "USD",
        "minor": 10_00,
        "status": "approved",
    }
    return PastPayment(**(values | changes))


def assess(
    by_customer: Sequence[PastPayment] = (),
    by_card: Sequence[PastPayment] = (),
    *,
    minor: int = 10_00,
    country: str | None = None,
    rules: Rules = RULES,
) -> Assessment:
    attempt = Attempt(customer_id="c", card_fingerprint="card", money=Money(minor, Currency.of("USD")), country=country)
    return fraud.assess(attempt, CUSTOMER, by_customer, by_card, rules, NOW)


def test_a_first_ordinary_payment_is_approved_with_no_reason() -> None:
    assert assess() == Assessment(decision="approve", score=0, reasons=())


SUSPICIOUS: dict[str, dict[str, Any]] = {
    "customer_velocity_count": {"by_customer": [past(n) for n in range(12)]},
    "customer_velocity_amount": {"by_customer": [past(60 + n, minor=8_000_00) for n in range(4)], "minor": 8_000_01},
    "card_velocity_count": {"by_card": [past(n) for n in range(12)]},
    "card_velocity_amount": {"by_card": [past(60 + n, minor=8_000_00) for n in range(4)], "minor": 8_000_01},
    "amount_anomaly": {"by_customer": [past(4000 + n, minor=5_00) for n in range(10)], "minor": 40_01},
    "many_cards_on_customer": {"by_customer": [past(100 * n, card_fingerprint=f"card{n}") for n in range(5)]},
    "many_customers_on_card": {"by_card": [past(100 * n, customer_id=f"c{n}") for n in range(5)]},
    "country_mismatch": {"country": "FR"},
    "just_under_limit": {"by_customer": [past(4000, minor=9_500_00), past(5000, minor=9_900_00)], "minor": 9_000_00},
    "repeated_declines": {"by_customer": [past(100 * n, status="declined") for n in range(3)]},
}


def test_every_rule_has_its_case() -> None:
    assert SUSPICIOUS.keys() == DOCUMENT["rules"].keys()


@pytest.mark.parametrize("rule", SUSPICIOUS)
def test_only_the_named_rule_fires_in_its_case(rule: str) -> None:
    found = assess(**SUSPICIOUS[rule])
    assert found.reasons == (rule,)
    assert found.score == DOCUMENT["rules"][rule]["score"]


@pytest.mark.parametrize("rule", [name for name, values in DOCUMENT["rules"].items() if "seconds" in values])
def test_payments_before_the_window_do_not_count(rule: str) -> None:
    window = timedelta(seconds=DOCUMENT["rules"][rule]["seconds"])
    case = dict(SUSPICIOUS[rule])
    for history in ("by_customer", "by_card"):
        case[history] = [
            past(0, **{name: getattr(p, name) for name in ("customer_id", "card_fingerprint", "minor", "status")})
            for p in case.get(history, ())
        ]
        case[history] = [_at(p, NOW - window) for p in case[history]]
    assert rule not in assess(**case).reasons


def _at(payment: PastPayment, moment: datetime) -> PastPayment:
    return past(
        0, created_at=moment, customer_id=payment.customer_id, card_fingerprint=payment.card_fingerprint,
        minor=payment.minor, status=payment.status,
    )  # fmt: skip


def test_declined_payments_do_not_count_as_spending() -> None:
    declined = [past(4000 + n, minor=9_000_00, status="declined") for n in range(20)]
    assert "customer_velocity_amount" not in assess(declined, minor=9_000_00).reasons


def test_reasons_add_up_to_a_decision() -> None:
    review = assess(SUSPICIOUS["many_cards_on_customer"]["by_customer"])
    both = assess(SUSPICIOUS["many_cards_on_customer"]["by_customer"], SUSPICIOUS["many_customers_on_card"]["by_card"])
    assert (review.decision, review.score) == ("review", 40)
    assert (both.decision, both.score) == ("decline", 100)


histories = st.lists(
    st.builds(
        past,
        st.floats(min_value=0, max_value=86_400),
        customer_id=st.sampled_from(["c", "d", "e"]),
        card_fingerprint=st.sampled_from(["card", "other"]),
        currency=st.sampled_from(["USD", "JPY"]),
        minor=st.integers(1, 10_000_00),
        status=st.sampled_from(["pending", "approved", "review", "declined"]),
    ),
    max_size=30,
)


@given(histories, histories, st.integers(1, 10_000_00))
def test_the_same_facts_give_the_same_explained_assessment(
    by_customer: list[PastPayment], by_card: list[PastPayment], minor: int
) -> None:
    found = assess(by_customer, by_card, minor=minor)
    assert found == assess(by_customer, by_card, minor=minor)
    assert found.score == min(100, sum(DOCUMENT["rules"][reason]["score"] for reason in found.reasons))
    assert (found.decision == "approve") == (found.score < DOCUMENT["review_at"])


@given(histories, st.integers(1, 10_000_00))
def test_one_more_payment_never_turns_a_velocity_rule_off(history: list[PastPayment], minor: int) -> None:
    velocity = {"customer_velocity_count", "customer_velocity_amount"}
    before = velocity & set(assess(history, minor=minor).reasons)
    after = velocity & set(assess([*history, past(1)], minor=minor).reasons)
    assert before <= after


def test_a_load_test_customer_is_approved_all_day() -> None:
    history = [past(60 * n, minor=30_00 + n) for n in range(1, 51)]
    assert assess(history, history, minor=200_00).decision == "approve"


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"no_such_rule": {"score": 1}}, "unknown"),
        ({"repeated_declines": {"score": 1, "count": 2}}, "missing"),
        ({"repeated_declines": {"score": 1, "count": 2, "seconds": 86_401}}, "longer"),
    ],
)
def test_the_error_of_a_wrong_configuration_names_the_fault(rules: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Rules.parse({"review_at": 1, "decline_at": 2, "rules": rules})


def test_a_rule_that_the_configuration_leaves_out_is_off() -> None:
    off = Rules.parse(DOCUMENT | {"rules": {}})
    assert assess(**SUSPICIOUS["many_cards_on_customer"], rules=off).decision == "approve"
