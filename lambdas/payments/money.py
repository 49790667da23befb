"""Exact money: ISO 4217 currencies, and amounts in integer minor units. No float holds an amount."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from lambdas.payments.errors import InvalidField


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


# ISO 4217 (list one, active tender) by the decimals of the minor unit.
_NO_DECIMALS = _codes("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF")
_THREE_DECIMALS = _codes("BHD IQD JOD KWD LYD OMR TND")
_TWO_DECIMALS = _codes(
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC "
    "CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD "
    "KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO "
    "NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL "
    "THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
)

# The largest single payment per accepted currency, in major units. Other currencies are not accepted.
_LARGEST_PAYMENT: Final = {
    "USD": 10_000, "EUR": 10_000, "GBP": 8_000, "CHF": 9_000, "CAD": 13_000, "AUD": 15_000, "NZD": 16_000,
    "SEK": 100_000, "NOK": 100_000, "DKK": 70_000, "PLN": 40_000, "CZK": 230_000, "JPY": 1_500_000,
    "KRW": 13_000_000, "SGD": 13_000, "HKD": 78_000, "KWD": 3_000, "BHD": 3_700, "JOD": 7_000, "TND": 30_000,
}  # fmt: skip

_AMOUNT_END: Final = 100_000_000
"""Amounts are under this, as the contract says: far over the largest payment of any accepted currency, and with all
decimals too short for a card number."""
_LONGEST_AMOUNT: Final = 24
"""The most characters of an amount. Longer ones are refused before any arithmetic, which would only cost time."""
_DECIMAL: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Currency:
    """An ISO 4217 currency that this platform accepts."""

    code: str
    decimals: int
    """Digits of the minor unit: 0 (JPY), 2 (USD) or 3 (KWD)."""
    limit: int
    """The largest single payment, in minor units."""

    @classmethod
    def of(cls, code: str) -> "Currency":
        """The currency ``code``. Raises ``InvalidField`` when ISO 4217 lacks it or this platform does not accept it."""
        try:
            return CURRENCIES[code]
        except KeyError:
            if code in _TWO_DECIMALS or code in _NO_DECIMALS or code in _THREE_DECIMALS:
                raise InvalidField("currency", "currency_not_accepted", "This currency is not accepted.") from None
            raise InvalidField("currency", "currency_unknown", "Not an ISO 4217 currency code.") from None


def _decimals(code: str) -> int:
    return 0 if code in _NO_DECIMALS else 3 if code in _THREE_DECIMALS else 2


CURRENCIES: Final[dict[str, Currency]] = {
    code: Currency(code, _decimals(code), largest * 10 ** _decimals(code)) for code, largest in _LARGEST_PAYMENT.items()
}
"""The accepted currencies by code."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of one currency, in its minor unit (cents, yen, fils)."""

    minor: int
    currency: Currency

    @classmethod
    def parse(cls, amount: "Decimal | int | str", currency: Currency) -> "Money":
        """Read a decimal amount in major units, exactly.

        Raises ``InvalidField`` for anything that is not a positive number with at most the currency's decimals.
        """
        if len(str(amount)) > _LONGEST_AMOUNT:
            raise InvalidField("amount", "amount_malformed", "The amount has too many digits.")
        if isinstance(amount, str) and not _DECIMAL.fullmatch(amount):
            raise InvalidField("amount", "amount_malformed", "Not a decimal number.")
        value = Decimal(amount)
        if not value.is_finite() or value.adjusted() > _LONGEST_AMOUNT:
            raise InvalidField("amount", "amount_malformed", "The amount is out of range.")
        if value >= _AMOUNT_END:
            raise InvalidField("amount", "amount_malformed", f"The amount must be less than {_AMOUNT_END}.")
        if value <= 0:
            raise InvalidField("amount", "amount_not_positive", "The amount must be greater than zero.")
        minor = value.scaleb(currency.decimals)
        # The value itself is checked too: scaled, the smallest values underflow to zero, which is a whole number.
        if value.adjusted() < -currency.decimals or minor != minor.to_integral_value():
            raise InvalidField(
                "amount", "amount_too_precise", f"{currency.code} has {currency.decimals} decimals at most."
            )
        return cls(int(minor), currency)

    def __str__(self) -> str:
        """The amount in major units with the currency's decimals, such as ``99.99``, ``1500`` or ``0.250``."""
        return str(Decimal(self.minor).scaleb(-self.currency.decimals))
