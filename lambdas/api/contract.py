"""The contract of the API, ``openapi.json``. Functions validate requests by it; API Gateway's model comes from it."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import fastjsonschema

from lambdas.api.problems import Fault, Problem
from lambdas.payments.errors import InvalidField
from lambdas.payments.money import CURRENCIES, Money

OPENAPI = Path(__file__).with_name("openapi.json")

_ADVICE: Mapping[str, str] = {
    "required": "This field is required.",
    "additionalProperties": "The contract has no such field.",
    "type": "The value has the wrong type.",
    "enum": "The contract does not list this value.",
    "pattern": "The value doesn't have the form that the contract asks for.",
}


def schema(name: str) -> dict[str, Any]:
    """The schema ``name`` in the contract's components."""
    found: dict[str, Any] = json.loads(OPENAPI.read_bytes())["components"]["schemas"][name]
    return found


PAYMENT = "PaymentRequest"


@cache
def compile_schema(name: str = PAYMENT) -> Callable[[Any], Any]:
    """The validator of the schema ``name``."""
    compiled: Callable[[Any], Any] = fastjsonschema.compile(schema(name), use_default=False)
    return compiled


def check(body: Any, name: str = PAYMENT) -> Mapping[str, Any]:
    """Validate ``body`` by the contract's schema ``name``. Raises ``Problem`` that names the faulty field, or
    each missing one."""
    try:
        checked: Mapping[str, Any] = compile_schema(name)(body)
    except fastjsonschema.JsonSchemaValueException as violation:
        raise _problem(body, violation) from None
    return checked


def _problem(body: Any, violation: fastjsonschema.JsonSchemaValueException) -> Problem:
    rule = str(violation.rule)
    field = str(violation.path[1]) if len(violation.path) > 1 else ""
    if rule == "required":
        missing = [f"/{name}" for name in violation.rule_definition if name not in body]
        return Problem("body_shape", *(Fault(name, rule, _ADVICE[rule]) for name in missing))
    if field == "amount" and rule in ("pattern", "exclusiveMinimum", "exclusiveMaximum"):
        return _amount_problem(body["amount"])
    return Problem("body_shape", Fault(f"/{field}" if field else "", rule, _ADVICE.get(rule, "The value is wrong.")))


def _amount_problem(amount: Decimal | int | str) -> Problem:
    """The reason why ``amount`` is not valid in any currency."""
    try:
        Money.parse(amount, max(CURRENCIES.values(), key=lambda currency: currency.decimals))
    except InvalidField as invalid:
        return invalid_field(invalid)
    return Problem(
        "amount_malformed", Fault("/amount", "amount_malformed", "Not a decimal number of the allowed size.")
    )


def invalid_field(invalid: InvalidField) -> Problem:
    """The problem of a field that the domain refused."""
    return Problem(invalid.code, Fault(f"/{invalid.field}", invalid.code, invalid.detail))
