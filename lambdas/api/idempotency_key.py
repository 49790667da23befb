"""The ``Idempotency-Key`` header (draft-ietf-httpapi-idempotency-key-header)."""

import re

from lambdas.api.problems import Fault, Problem
from lambdas.api.requests import Request
from lambdas.payments.card_text import holds_card_number
from lambdas.payments.payment import Payment

_HEADER = "Idempotency-Key"
_KEY = re.compile(r'("?)([A-Za-z0-9._:-]{1,128})\1')


def idempotency_key(request: Request, payment: Payment | None = None) -> str:
    """The request's key, without the quotes of the draft's string form. Raises ``Problem``, also when the key holds a
    card number, that of ``payment`` or another."""
    values = request.headers.get(_HEADER.lower(), ())
    if not values:
        raise Problem("idempotency_key_missing", Fault(_HEADER, "required", "Send a key of your own for each request."))
    match = _KEY.fullmatch(values[0].strip()) if len(values) == 1 else None
    if match is None:
        raise Problem(
            "idempotency_key_malformed",
            Fault(_HEADER, "pattern", "Send one key: 1 to 128 letters, digits or any of . _ : -"),
        )
    own = payment is not None and payment.card_number.appears_in(match[2])
    if own or holds_card_number(match[2]):
        raise Problem("card_number_misplaced", Fault(_HEADER, "card_number_misplaced", "Send a key without one."))
    return match[2]
