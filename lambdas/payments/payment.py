"""What a client asks for: one payment, read from a request body that already has the contract's shape."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lambdas.payments.cards import CardNumber
from lambdas.payments.errors import InvalidField
from lambdas.payments.money import Currency, Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment that somebody wants to make. The card number in it is masked in every text form."""

    customer_id: str
    money: Money
    card_number: CardNumber
    card_expiry: str | None = None
    """``YYYY-MM``, the last month in which the card is good: an expired card is refused before it costs a fee."""
    merchant_reference: str | None = None
    """The merchant's own order number: what reconciliation and disputes refer to."""
    client_ip: str | None = None
    """The payer's address: evidence in a dispute."""
    country: str | None = None
    """ISO 3166-1 alpha-2, where the payer is: compared with the customer's home country."""

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> "Payment":
        """Read ``body``, valid by the schema ``PaymentRequest``. Raises ``InvalidField`` for impossible values, and for
        a card number that was put in another field, where it would be stored."""
        currency = Currency.of(body["currency"])
        card_number = CardNumber(body["card_number"])
        for field in ("customer_id", "merchant_reference", "client_ip"):
            if card_number.appears_in(body.get(field, "")):
                raise InvalidField(field, "card_number_misplaced", "The card number belongs in card_number only.")
        return cls(
            customer_id=body["customer_id"],
            money=Money.parse(body["amount"], currency),
            card_number=card_number,
            card_expiry=body.get("card_expiry"),
            merchant_reference=body.get("merchant_reference"),
            client_ip=body.get("client_ip"),
            country=body.get("country"),
        )

    def fingerprint(self, key: bytes) -> str:
        """A keyed digest of everything in the request: equal payments give equal values, and nothing leads back."""
        facts = (
            self.customer_id, str(self.money.minor), self.money.currency.code, self.card_number.fingerprint(key),
            self.card_expiry, self.merchant_reference, self.client_ip, self.country,
        )  # fmt: skip
        return hmac.digest(key, repr(facts).encode(), "sha256").hex()
