"""Finds what may be a card number in any text, and masks it.

Length and check digit decide, not the brand (PCI DSS 3.4 and 3.5 ask for every primary account number): 12 to 19 digits
that pass Luhn's test. One in ten other numbers of this length passes too, so a long number in a log may be masked for
nothing, and a merchant's reference should hold a letter.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from lambdas.payments.luhn import passes_luhn

_SHORTEST: Final = 12
_LONGEST: Final = 19

_STRETCH: Final = re.compile(r"[0-9](?:[^0-9A-Za-z]?[0-9]){11,}")
"""Digits with at most one separator between two of them."""
_GROUP: Final = re.compile(r"[0-9]+")
# UUIDs, and digests of 128, 160 or 256 bits: random hexadecimal digits, of which a stretch may pass the test by chance.
_IDENTIFIER: Final = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}))"
    r"(?![0-9A-Za-z])"
)


def holds_card_number(text: str) -> bool:
    """Whether a part of ``text`` may be a card number."""
    return next(_card_numbers(text), None) is not None


def without_identifiers(text: str) -> str:
    """``text`` without UUIDs and digests, of which a stretch of digits is a card number by chance only."""
    return _IDENTIFIER.sub("", text)


def mask_card_numbers(text: str) -> str:
    """``text`` in which each possible card number is reduced to its last four digits."""
    if len(text) < _SHORTEST or _STRETCH.search(text) is None:
        return text
    masked, position = [], 0
    for begin, end in _card_numbers(text):
        masked += [text[position:begin], "****", _last_four(text[begin:end])]
        position = end
    return "".join([*masked, text[position:]])


def masked(value: Any) -> Any:
    """A JSON value in which no text, no name and no number holds a possible card number. A number becomes a text."""
    if isinstance(value, str):
        return mask_card_numbers(value)
    if isinstance(value, dict):
        return {mask_card_numbers(str(name)): masked(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [masked(each) for each in value]
    if value is None or isinstance(value, bool):
        return value
    text = str(value)
    shown = mask_card_numbers(text)
    return value if shown == text else shown


def _card_numbers(text: str) -> Iterator[tuple[int, int]]:
    """Where the possible card numbers of ``text`` begin and end, in order, none overlapping."""
    identifiers = [match.span() for match in _IDENTIFIER.finditer(text)]
    for stretch in _STRETCH.finditer(text):
        groups = [
            match.span()
            for match in _GROUP.finditer(text, *stretch.span())
            if not any(begin <= match.start() < end for begin, end in identifiers)
        ]
        first = 0
        while first < len(groups):
            last = _longest(text, groups[first:])
            if last is None:
                first += 1
            else:
                yield groups[first][0], groups[first + last][1]
                first += last + 1


def _longest(text: str, groups: list[tuple[int, int]]) -> int | None:
    """Up to which of ``groups`` the digits from the first one on may be a card number; ``None`` if they can't."""
    found, digits = None, ""
    for number, (begin, end) in enumerate(groups):
        if number and begin - groups[number - 1][1] != 1:
            break
        digits += text[begin:end]
        if len(digits) > _LONGEST:
            break
        lengths = [stop - start for start, stop in groups[: number + 1]]
        if len(digits) >= _SHORTEST and _grouped_like_a_card(lengths) and passes_luhn(digits):
            found = number
    return found


def _grouped_like_a_card(lengths: list[int]) -> bool:
    """Groups of four digits and more, or all of one length, except the last: dates and times are neither."""
    *earlier, last = lengths
    return all(length >= 4 for length in earlier) or (len(set(earlier)) == 1 and last <= earlier[0])


def _last_four(text: str) -> str:
    return "".join(_GROUP.findall(text))[-4:]
