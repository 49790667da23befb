"""The reasons that forbid a customer's payment."""

from datetime import UTC, datetime
from typing import Any

import pytest

from lambdas.payments.customers import Customer, refusals
from lambdas.payments.payment import Payment

NOW = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)


def payment(**changes: Any) -> Payment:
    body = {"customer_id": "c", "amount": "100.00", "currency": "USD", "card_number": "4111111111111111"}
    return Payment.parse(body | changes)


def customer(**changes: Any) -> Customer:
    values: dict[str, Any] = {
        "customer_id": "c",
        "status": "active",
        "country": "US",
        "allowed_currencies": frozenset({"USD", "JPY"}),
        "payment_limits": {},
    }
    return Customer(**(values | changes))


def test_an_ordinary_payment_is_allowed() -> None:
    assert refusals(payment(card_expiry="2026-11"), customer(), NOW) == ()


@pytest.mark.parametrize(
    ("changed_payment", "changed_customer", "reason"),
    [
        ({"card_number": "4111111111111112"}, {}, "card_check_digit_wrong"),
        ({"card_expiry": "2026-10"}, {}, "card_expired"),
        ({}, {"status": "blocked"}, "customer_not_active"),
        ({"currency": "EUR"}, {}, "currency_not_allowed"),
        ({"amount": "10000.01"}, {}, "amount_over_limit"),
        ({"amount": "50.01"}, {"payment_limits": {"USD": 5000}}, "amount_over_limit"),
        ({"amount": "10000.01"}, {"payment_limits": {"USD": 99_999_999}}, "amount_over_limit"),
    ],
)
def test_each_reason_has_its_code(
    changed_payment: dict[str, str], changed_customer: dict[str, Any], reason: str
) -> None:
    assert refusals(payment(**changed_payment), customer(**changed_customer), NOW) == (reason,)


def test_a_payment_of_exactly_the_limit_is_allowed() -> None:
    assert refusals(payment(amount="50.00"), customer(payment_limits={"USD": 5000}), NOW) == ()


def test_an_unknown_customer_is_refused_with_all_other_reasons() -> None:
    assert refusals(payment(card_number="4111111111111112"), None, NOW) == (
        "card_check_digit_wrong",
        "customer_unknown",
    )
