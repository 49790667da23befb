"""Money is exact, and each kind of invalid amount has its own code."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.payments.errors import InvalidField
from lambdas.payments.money import CURRENCIES, Currency, Money

currencies = st.sampled_from(sorted(CURRENCIES)).map(Currency.of)


@given(currencies, st.integers(min_value=1, max_value=10**8 - 1))
def test_an_amount_survives_the_conversion_to_text_and_back(currency: Currency, minor: int) -> None:
    money = Money(minor, currency)
    assert Money.parse(str(money), currency) == money
    assert Money.parse(Decimal(str(money)), currency) == money


@given(currencies, st.decimals(min_value=Decimal("0.0001"), max_value=Decimal("99999999.9999"), places=4))
def test_an_amount_is_exact_or_refused_as_too_precise(currency: Currency, amount: Decimal) -> None:
    exact = amount * 10**currency.decimals
    if exact == int(exact):
        assert Money.parse(amount, currency).minor == int(exact)
    else:
        with pytest.raises(InvalidField) as refused:
            Money.parse(amount, currency)
        assert refused.value.code == "amount_too_precise"


@given(currencies, st.one_of(st.decimals(max_value=0, allow_nan=False, allow_infinity=False, places=2), st.just(0)))
def test_no_amount_is_zero_or_less(currency: Currency, amount: Decimal | int) -> None:
    with pytest.raises(InvalidField) as refused:
        Money.parse(amount, currency)
    assert refused.value.code in ("amount_not_positive", "amount_malformed")


@given(currencies, st.one_of(st.text(), st.from_regex(r"-?[0-9]{1,13}(\.[0-9]{1,5})?", fullmatch=True)))
def test_only_an_exact_decimal_number_is_an_amount(currency: Currency, text: str) -> None:
    try:
        money = Money.parse(text, currency)
    except InvalidField:
        return
    assert text.isascii()
    assert Decimal(text) == Decimal(str(money)) > 0


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        ("1_000", "amount_malformed"),
        ("\u0661\u0662", "amount_malformed"),
        (" 1", "amount_malformed"),
        ("1e3", "amount_malformed"),
        (100_000_000, "amount_malformed"),
        (5107565799404507, "amount_malformed"),
        (Decimal("NaN"), "amount_malformed"),
        (Decimal("Infinity"), "amount_malformed"),
        (Decimal("1E+999999"), "amount_malformed"),
        (Decimal("1E-999999"), "amount_too_precise"),
        ("9" * 25, "amount_malformed"),
        ("0.00", "amount_not_positive"),
        ("-5", "amount_not_positive"),
        ("0.001", "amount_too_precise"),
    ],
)
def test_each_impossible_dollar_amount_has_its_code(amount: Decimal | str, code: str) -> None:
    with pytest.raises(InvalidField) as refused:
        Money.parse(amount, Currency.of("USD"))
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("code", "amount", "minor"), [("JPY", "1500", 1500), ("USD", "99.99", 9999), ("KWD", "0.250", 250)]
)
def test_minor_units_follow_the_currency(code: str, amount: str, minor: int) -> None:
    money = Money.parse(amount, Currency.of(code))
    assert (money.minor, str(money)) == (minor, amount)


@pytest.mark.parametrize(("code", "reason"), [("XXX", "currency_unknown"), ("IRR", "currency_not_accepted")])
def test_unknown_and_unaccepted_currencies_have_different_codes(code: str, reason: str) -> None:
    with pytest.raises(InvalidField) as refused:
        Currency.of(code)
    assert refused.value.code == reason
