"""Text of others: what is left of it on a page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console import text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b[2K\x1b[1Gdone", "done"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;http://evil.example\x1b\\a link\x1b]8;;\x1b\\", "a link"),
        ("\x1bP1$r0m\x1b\\after", "after"),
        ("\x1b]52;c;never ended", ""),
        ("10 %\r50 %\r100 %", "100 %"),
        ("a\x00b\x08c", "a\\x00b\\x08c"),
        ("\u202eevil", "\\u202eevil"),
        ("card 4111111111111111 paid", "card ****1111 paid"),
        ("4111 1111 1111 1111", "****1111"),
        ("first\nsecond", "first"),
    ],
)
def test_a_line(raw: str, shown: str) -> None:
    assert text.line(raw) == shown


def test_a_long_line_says_how_much_is_missing() -> None:
    assert text.line("x" * 5_000_000).endswith(f"… {5_000_000 - text.LONGEST_LINE} more characters")


def test_a_card_number_at_the_end_of_what_is_shown_is_masked() -> None:
    shown = text.line("x " * (text.LONGEST_LINE // 2 - 6) + "4111111111111111")
    assert "4111111" not in shown


def test_a_card_number_behind_more_escape_sequences_than_are_read_is_not_shown_in_part() -> None:
    raw = "\x1b[31m" * 1_598 + "4111 1111 1111 1111"
    assert len(raw) > 4 * text.LONGEST_LINE
    assert "4111" not in text.line(raw)


@given(st.text())
def test_no_text_leaves_a_control_character(raw: str) -> None:
    shown = text.line(raw)
    assert "\x1b" not in shown
    assert all(character.isprintable() or character in "\t\u200c\u200d" or character.isspace() for character in shown)
