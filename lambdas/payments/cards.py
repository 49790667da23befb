"""Card numbers that can't be shown by accident, and the card data that may be stored without the number."""

import hmac
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from lambdas.payments.card_keys import Version
from lambdas.payments.luhn import passes_luhn


class Brand(NamedTuple):
    """A card brand's numbers."""

    name: str
    accepted: bool
    """Whether this platform takes payments with it."""
    ranges: tuple[tuple[str, str], ...]
    """First and last of the leading digits, as many in both."""
    lengths: frozenset[int]
    has_check_digit: bool


def _brands() -> tuple[Brand, ...]:
    table = json.loads(Path(__file__).with_name("brands.json").read_bytes())["brands"]
    return tuple(
        Brand(
            each["name"],
            each["accepted"],
            tuple((str(first), str(last)) for first, last in each["ranges"]),
            frozenset(each["lengths"]),
            each.get("check_digit", True),
        )
        for each in table
    )


BRANDS: Final = _brands()
"""From ``brands.json``, which is part of the functions' version. Narrow ranges come before wide ones."""

_NO_DIGIT: Final = re.compile(r"[^0-9]")


def _brand_of(digits: str) -> Brand | None:
    for brand in BRANDS:
        for first, last in brand.ranges:
            if first <= digits[: len(first)] <= last:
                return brand
    return None


class CardNumber:
    """A primary account number. Every text form is masked. It can't be pickled, copied into JSON or compared.

    It gives out only its brand, the last four digits, and keyed digests (PCI DSS 3.4 and 3.5).
    """

    __slots__ = ("_brand", "_digits")

    def __init__(self, digits: str) -> None:
        """``digits``: 12 to 19 ASCII digits. Otherwise raises ``ValueError``, which does not quote the value."""
        if not (12 <= len(digits) <= 19 and digits.isascii() and digits.isdigit()):
            raise ValueError("a card number has 12 to 19 digits")
        self._digits = digits
        self._brand = _brand_of(digits)

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
        return self._brand.name if self._brand else None

    @property
    def last4(self) -> str:
        return self._digits[-4:]

    def faults(self) -> tuple[str, ...]:
        """Reason codes why this is no valid card number; empty for a valid one."""
        brand = self._brand
        if brand is None:
            return ("card_brand_unknown",)
        if len(self._digits) not in brand.lengths:
            return ("card_length_wrong",)
        if brand.has_check_digit and not passes_luhn(self._digits):
            return ("card_check_digit_wrong",)
        return () if brand.accepted else ("card_brand_not_accepted",)

    def appears_in(self, text: str) -> bool:
        """Whether ``text`` contains the number, with any characters between its digits."""
        return self._digits in _NO_DIGIT.sub("", text)

    def fingerprint(self, key: bytes) -> str:
        """HMAC-SHA-256 of the number, hex. The same card gives the same value. Without ``key``, the value can't be
        computed from a number."""
        return hmac.digest(key, self._digits.encode(), "sha256").hex()

    def issuer_fingerprint(self, key: bytes) -> str:
        """The same of the first six digits, which name the issuer. They are stored nowhere: beside fingerprint and last
        four digits they would leave 100,000 cards to try for who has the key (PCI DSS 3.5.1)."""
        return hmac.digest(key, f"issuer {self._digits[:6]}".encode(), "sha256").hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The card data that is stored."""

    brand: str | None
    last4: str
    fingerprint: str
    key_version: int = 1
    """Of the key of this fingerprint, and of the payment's. Missing in transactions from before keys had versions."""

    @classmethod
    def of(cls, number: CardNumber, version: Version) -> "Card":
        fingerprint = number.fingerprint(version.key)
        return cls(brand=number.brand, last4=number.last4, fingerprint=fingerprint, key_version=version.number)
