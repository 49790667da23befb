"""Card numbers that can't be shown by accident, and the card data that may be stored without the number."""

import hmac
import re
from dataclasses import dataclass
from typing import Final

# Brand, issuer ranges as (first, last) of the leading digits, allowed lengths. Narrow ranges come before wide ones.
_BRANDS: Final[tuple[tuple[str, tuple[tuple[int, int], ...], frozenset[int]], ...]] = (
    ("amex", ((34, 34), (37, 37)), frozenset({15})),
    ("diners", ((300, 305), (3095, 3095), (36, 36), (38, 39)), frozenset({14, 16, 17, 18, 19})),
    ("jcb", ((3528, 3589),), frozenset({16, 17, 18, 19})),
    ("discover", ((6011, 6011), (644, 649), (65, 65)), frozenset({16, 17, 18, 19})),
    ("unionpay", ((62, 62), (81, 81)), frozenset({16, 17, 18, 19})),
    ("mastercard", ((51, 55), (2221, 2720)), frozenset({16})),
    ("maestro", ((5018, 5018), (5020, 5020), (5038, 5038), (5893, 5893), (6304, 6304), (6759, 6763)),
     frozenset(range(12, 20))),
    ("visa", ((4, 4),), frozenset({13, 16, 19})),
)  # fmt: skip

_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_NO_DIGIT: Final = re.compile(r"[^0-9]")
# A run of digits; or 4-4-4-4, 4-6-5 or 4-6-4 with the same separator, as on a card. Other groups do not match, because
# the region and account of an ARN and the groups of a UUID would look like cards.
_CARD_IN_TEXT: Final = re.compile(
    r"(?<![0-9])[0-9]{12,19}(?![0-9])"
    r"|(?<![0-9A-Fa-f])[0-9]{4}([ ._:/#-])([0-9]{4}\1[0-9]{4}\1[0-9]{4}|[0-9]{6}\1[0-9]{4,5})(?![0-9A-Fa-f])"
)


def passes_luhn(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = ord(digit) - 48
        total += _DOUBLED[value] if position % 2 else value
    return total % 10 == 0


def mask_card_numbers(text: str) -> str:
    """``text`` in which each possible card number is reduced to its last four digits."""
    return _CARD_IN_TEXT.sub(lambda match: f"****{match[0][-4:]}" if _looks_like_a_card(match[0]) else match[0], text)


def _looks_like_a_card(text: str) -> bool:
    digits = _NO_DIGIT.sub("", text)
    return passes_luhn(digits) and _brand_of(digits) is not None


def _brand_of(digits: str) -> tuple[str, frozenset[int]] | None:
    for brand, ranges, lengths in _BRANDS:
        for first, last in ranges:
            if first <= int(digits[: len(str(first))]) <= last:
                return brand, lengths
    return None


class CardNumber:
    """A primary account number. Every text form is masked. It can't be pickled, copied into JSON or compared.

    It gives out only its brand, the first six digits, the last four, and a keyed fingerprint (PCI DSS 3.4 and 3.5).
    """

    __slots__ = ("_digits",)

    def __init__(self, digits: str) -> None:
        """``digits``: 12 to 19 ASCII digits. Otherwise raises ``ValueError``, which does not quote the value."""
        if not (12 <= len(digits) <= 19 and digits.isascii() and digits.isdigit()):
            raise ValueError("a card number has 12 to 19 digits")
        self._digits = digits

    def __str__(self) -> str:
        return f"****{self.last4}"

    def __repr__(self) -> str:
        return f"CardNumber({self})"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __reduce__(self) -> str:
        raise TypeError("a card number is never serialised")

    @property
    def brand(self) -> str | None:
        """``visa``, ``mastercard``, … by issuer range; ``None`` for an unknown range."""
        found = _brand_of(self._digits)
        return found[0] if found else None

    @property
    def bin(self) -> str:
        """The issuer identification number, its first six digits."""
        return self._digits[:6]

    @property
    def last4(self) -> str:
        return self._digits[-4:]

    def faults(self) -> tuple[str, ...]:
        """Reason codes why this is no valid card number; empty for a valid one."""
        found = _brand_of(self._digits)
        if found is None:
            return ("card_brand_unknown",)
        if len(self._digits) not in found[1]:
            return ("card_length_wrong",)
        return () if passes_luhn(self._digits) else ("card_check_digit_wrong",)

    def appears_in(self, text: str) -> bool:
        """Whether ``text`` contains the number, with any characters between its digits."""
        return self._digits in _NO_DIGIT.sub("", text)

    def fingerprint(self, key: bytes) -> str:
        """HMAC-SHA-256 of the number, hex. The same card gives the same value. Without ``key``, the value can't be
        computed from a number."""
        return hmac.digest(key, self._digits.encode(), "sha256").hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The card data that is stored."""

    brand: str | None
    bin: str
    last4: str
    fingerprint: str

    @classmethod
    def of(cls, number: CardNumber, key: bytes) -> "Card":
        return cls(brand=number.brand, bin=number.bin, last4=number.last4, fingerprint=number.fingerprint(key))
