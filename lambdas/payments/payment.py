"""A requested payment, read from a request body that the contract has validated."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lambdas.payments.card_text import holds_card_number
from lambdas.payments.cards import CardNumber
from lambdas.payments.errors import InvalidField
from lambdas.payments.money import Currency, Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A requested payment. Its card number is masked in every text form."""

    customer_id: str
    money: Money
    card_number: CardNumber
    card_expiry: str | None = None
    """``YYYY-MM``, the last month in which the card is valid. An expired card is refused before it costs a fee."""
    merchant_reference: str | None = None
    """The merchant's order number, for reconciliation and disputes."""
    client_ip: str | None = None
    """The payer's IP address, as evidence in a dispute."""
    country: str | None = None
    """ISO 3166-1 alpha-2 of the payer's location. The fraud rules compare it with the customer's home country."""

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> "Payment":
        """Read ``body``, which is valid by the schema ``PaymentRequest``. Raises ``InvalidField`` for an impossible
        value, and for a card number in another field, because that field would be stored."""
        currency = Currency.of(body["currency"])
        card_number = CardNumber(body["card_number"])
        for field in ("customer_id", "merchant_reference", "client_ip"):
            _refuse_card_number(field, body.get(field, ""), card_number)
        return cls(
            customer_id=body["customer_id"],
            money=Money.parse(body["amount"], currency),
            card_number=card_number,
            card_expiry=body.get("card_expiry"),
            merchant_reference=body.get("merchant_reference"),
            client_ip=_address(body.get("client_ip")),
            country=body.get("country"),
        )

    def fingerprint(self, key: bytes) -> str:
        """A keyed digest of the whole request. Equal payments give equal values. It cannot be reversed."""
        facts = (
            self.customer_id, str(self.money.minor), self.money.currency.code, self.card_number.fingerprint(key),
            self.card_expiry, self.merchant_reference, self.client_ip, self.country,
        )  # fmt: skip
        return hmac.digest(key, repr(facts).encode(), "sha256").hex()


def _refuse_card_number(field: str, text: str, card_number: CardNumber) -> None:
    """Raises ``InvalidField`` when ``text``, which will be stored, holds the payment's card number or what may be
    another one. Four groups of an IPv6 address may look like one by chance: there only the payment's own counts."""
    if card_number.appears_in(text) or (field != "client_ip" and holds_card_number(text)):
        raise InvalidField(field, "card_number_misplaced", "Card numbers belong in card_number only.")


def _address(text: str | None) -> str | None:
    """Raises ``InvalidField`` for an address that cannot exist."""
    if text is not None:
        from ipaddress import ip_address

        try:
            ip_address(text)
        except ValueError:
            raise InvalidField("client_ip", "client_ip_malformed", "Not an IPv4 or IPv6 address.") from None
    return text
