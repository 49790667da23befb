"""The API's contract as far as API Gateway enforces it: routes and the JSON schemas of their bodies."""

from typing import Any

PAYMENT_SCHEMA: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-04/schema#",
    "title": "Payment",
    "type": "object",
    "required": ["customer_id", "amount", "currency", "card_number"],
    "properties": {
        "customer_id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
        "amount": {
            "oneOf": [
                {"type": "number", "minimum": 0, "exclusiveMinimum": True},
                {"type": "string", "pattern": "^[0-9]{1,12}(\\.[0-9]{1,4})?$"},
            ]
        },
        "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
        "card_number": {"type": "string", "pattern": "^[0-9 -]{12,26}$"},
    },
}
