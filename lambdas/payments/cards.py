"""Card numbers that can't be shown by accident, and what may be known of a card without its number."""

import hmac
import re
from dataclasses import dataclass
from typing import Final

# Brand, issuer ranges as (first, last) of the leading digits, allowed lengths. Narrow ranges stand before wide ones.
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
# A run of digits; or 4-4-4-4, 4-6-5 or 4-6-4 with one and the same separator, as on a card. Other groups are left
# alone, or the region and account of an ARN and the groups of a UUID would be taken for cards.
_CARD_IN_TEXT: Final = re.compile(
    r"(?<![0-9])[0-9]{12,19}(?![0-9])"
    r"|(?<![0-9A-Fa-f])[0-9]{4}([ ._:/#-])([0-9]{4}\1[0-9]{4}\1[0-9]{4}|[0-9]{6}\1[0-9]{4,5})(?![0-9A-Fa-f])"
)


def passes_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = ord(digit) - 48
        total += _DOUBLED[value] if position % 2 else value
    return total % 10 == 0


def mask_card_numbers(text: str) -> str:
    """``text`` with each run or groups of digits that could be a card number reduced to the last four."""
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
    """A primary account number. Every text form of it is masked; it can't be pickled, copied into JSON or compared.

    What may leave it: brand, the first six digits, the last four, and a keyed fingerprint (PCI DSS 3.4 and 3.5).
    """

    __slots__ = ("_digits",)

    def __init__(self, digits: str) -> None:
        """``digits``: 12 to 19 ASCII digits. Raises ``ValueError`` otherwise, without the value."""
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
        """``visa``, ``mastercard``, … by issuer range, or ``None`` for a range of no known brand."""
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
        """Reason codes of what makes this no payable card number; empty when nothing does."""
        found = _brand_of(self._digits)
        if found is None:
            return ("card_brand_unknown",)
        if len(self._digits) not in found[1]:
            return ("card_length_wrong",)
        return () if passes_luhn(self._digits) else ("card_check_digit_wrong",)

    def appears_in(self, text: str) -> bool:
        """Whether ``text`` gives the number away, whatever stands between its digits."""
        return self._digits in _NO_DIGIT.sub("", text)

    def fingerprint(self, key: bytes) -> str:
        """HMAC-SHA-256 of the number, hex: the same card gives the same value, and only ``key`` leads from one to the
        other."""
        return hmac.digest(key, self._digits.encode(), "sha256").hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is kept of a card."""

    brand: str | None
    bin: str
    last4: str
    fingerprint: str

    @classmethod
    def of(cls, number: CardNumber, key: bytes) -> "Card":
        return cls(brand=number.brand, bin=number.bin, last4=number.last4, fingerprint=number.fingerprint(key))
