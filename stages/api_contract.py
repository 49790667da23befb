"""The API's contract as far as API Gateway enforces it: read from the OpenAPI document that the functions use."""

import json
from pathlib import Path
from typing import Any

CONTRACT = Path(__file__).resolve().parent.parent / "lambdas" / "api" / "openapi.json"


def payment_model() -> dict[str, Any]:
    """The contract's ``PaymentRequest`` as a model of API Gateway (JSON Schema draft 4): required fields and types.

    The rest is left to the functions on purpose: API Gateway's messages about patterns and lengths quote the value
    that did not match, and that may be a card number.
    """
    schema = json.loads(CONTRACT.read_bytes())["components"]["schemas"]["PaymentRequest"]
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "title": "Payment",
        "type": schema["type"],
        "required": schema["required"],
        "properties": {name: {"type": field["type"]} for name, field in schema["properties"].items()},
    }
