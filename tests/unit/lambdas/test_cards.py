"""A card number can be used, but never shown."""

import copy
import json
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.payments.card_keys import Version
from lambdas.payments.card_text import holds_card_number, mask_card_numbers, masked
from lambdas.payments.cards import Card, CardNumber
from lambdas.payments.luhn import passes_luhn

KEY = b"k" * 32
digits = st.text(alphabet="0123456789", min_size=12, max_size=19)


def with_check_digit(body: str) -> str:
    return next(body + last for last in "0123456789" if passes_luhn(body + last))


@given(st.text(alphabet="0123456789", min_size=11, max_size=18), st.data())
def test_exactly_one_check_digit_fits_and_any_single_wrong_digit_is_detected(body: str, data: st.DataObject) -> None:
    number = with_check_digit(body)
    assert sum(passes_luhn(body + last) for last in "0123456789") == 1
    place = data.draw(st.integers(0, len(number) - 1))
    wrong = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != number[place]]))
    assert not passes_luhn(number[:place] + wrong + number[place + 1 :])


@given(digits)
def test_no_text_form_shows_more_than_the_last_four(number: str) -> None:
    card = CardNumber(number)
    forms = [
        str(card),
        repr(card),
        f"{card}",
        f"{card:>30}",
        "{}".format(card),  # noqa: UP032
        json.dumps(card, default=str),
        repr([card]),
    ]
    assert {re.sub(r"\D", "", form) for form in forms} == {number[-4:]}


def test_it_can_be_neither_pickled_nor_copied() -> None:
    card = CardNumber("4111111111111111")
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="never serialised"):
            leak(card)


@pytest.mark.parametrize("number", ["", "4111", "4" * 20, "4111-1111-1111-1111", "\u0664" * 16, "41111111111111 1"])
def test_an_invalid_number_is_refused_without_being_quoted(number: str) -> None:
    with pytest.raises(ValueError, match="12 to 19 digits") as refused:
        CardNumber(number)
    assert not number or number not in str(refused.value)


@pytest.mark.parametrize(
    ("number", "brand"),
    [
        ("4111111111111111", "visa"),
        ("5555555555554444", "mastercard"),
        ("2223000048400011", "mastercard"),
        ("378282246310005", "amex"),
        ("6011111111111117", "discover"),
        ("3530111333300000", "jcb"),
        ("30569309025904", "diners"),
        ("6200000000000005", "unionpay"),
        ("6759649826438453", "maestro"),
        ("50339619890917", "maestro"),
        ("586824160825533338", "maestro"),
        ("5641821111166669", "maestro"),
        ("6799990100000000019", "maestro"),
        ("6703444444444449", "maestro"),
        ("180000000000002", "jcb"),
        ("6200000000000006", "unionpay"),
    ],
)
def test_the_brands_published_test_numbers_are_valid(number: str, brand: str) -> None:
    card = CardNumber(number)
    assert card.brand == brand
    assert card.faults() == ()


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        ("4111111111111112", "card_check_digit_wrong"),
        ("411111111111116", "card_length_wrong"),
        ("9999999999999995", "card_brand_unknown"),
        ("2200000000000004", "card_brand_not_accepted"),
        ("5085000000000007", "card_brand_not_accepted"),
    ],
)
def test_each_fault_has_its_code(number: str, fault: str) -> None:
    assert CardNumber(number).faults() == (fault,)


@given(digits, digits)
def test_fingerprints_differ_by_card_and_by_key(one: str, other: str) -> None:
    same = CardNumber(one).fingerprint(KEY) == CardNumber(other).fingerprint(KEY)
    assert same == (one == other)
    assert CardNumber(one).fingerprint(KEY) != CardNumber(one).fingerprint(b"another")
    assert one not in repr(Card.of(CardNumber(one), Version(1, KEY, 0)))


@given(
    st.text(alphabet="0123456789", min_size=14, max_size=14), st.text(alphabet='xyz {}:,"'), st.text(alphabet="xyz ")
)
def test_a_card_number_anywhere_in_a_line_is_masked(body: str, before: str, after: str) -> None:
    number = with_check_digit("4" + body)
    assert mask_card_numbers(before + number + after) == f"{before}****{number[-4:]}{after}"


@pytest.mark.parametrize(
    "number", ["4111 1111 1111 1111", "5555-5555-5555-4444", "3782.822463.10005", "3056:930902:5904"]
)
def test_a_card_number_in_the_groups_of_its_brand_is_masked(number: str) -> None:
    assert mask_card_numbers(f'{{"cause":"no\\n{number}."}}') == f'{{"cause":"no\\n****{number[-4:]}."}}'


@pytest.mark.parametrize(
    "line",
    [
        '{"account":"111111111111","at":1763850000123,"arn":"arn:aws:lambda:us-east-1:222222222222:function:x"}',
        '{"arn":"arn:aws:lambda:ap-southeast-4:111111111111:function:x"}',
        '{"timestamp":"2026-11-23 09:29:43,656+0000"}',
        '{"request":"41111111-1111-1111-1111-111111111111","other":"00004111-1111-1111-1111-0000000000aa"}',
        '{"reference":"4111-1111-1111-1112"}',
        '{"digest":"9f4111111111111111aa5555555555554444ccdd"}',
    ],
)
def test_other_numbers_stay_readable(line: str) -> None:
    assert mask_card_numbers(line) == line


@given(
    st.text(alphabet="0123456789", min_size=11, max_size=18),
    st.sampled_from(["", " ", "-", ":", ".", "/", "_", "#"]),
    st.sampled_from([4, 5, 6]),
    st.sampled_from(["", "a", "order-", '{"x":"']),
)
def test_a_number_of_any_brand_is_found_and_masked_whatever_separates_its_groups(
    body: str, separator: str, size: int, before: str
) -> None:
    number = with_check_digit(body)
    written = separator.join(number[at : at + size] for at in range(0, len(number), size))
    line = f"{before}{written}, end"
    assert holds_card_number(line)
    assert number not in re.sub(r"[^0-9]", "", mask_card_numbers(line))
    assert mask_card_numbers(line).endswith(f"{number[-4:]}, end")


def test_a_number_in_any_value_or_name_of_a_record_is_masked() -> None:
    # Given the card that a logged event holds as text, as number, as name and in a path
    record = {
        "body": '{"card_number":"6522000000000006"}',
        "amount": 6522000000000006,
        "6522000000000006": [None, True, 1.5, ("/payments/6522000000000006",)],
    }
    # Then nothing of it but the last four digits is left, and the rest is as it was
    shown = json.dumps(masked(record))
    assert "652200000000" not in shown
    assert json.loads(shown)["****0006"] == [None, True, 1.5, ["/payments/****0006"]]
