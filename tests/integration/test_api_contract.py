"""Generated requests against the running API: every answer follows the contract, and none is a server error."""

import json
import uuid
from typing import Any

import jsonschema
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings, strategies
from schemathesis import GenerationMode

from lambdas.api.contract import OPENAPI, schema
from lambdas.payments.card_text import holds_card_number
from names import Function, Route
from tests.integration.conftest import Platform
from tests.integration.merchant import Merchant, Reply

CONTRACT = schemathesis.openapi.from_path(str(OPENAPI))
DOCUMENT = json.loads(OPENAPI.read_text())
VALIDATOR = jsonschema.Draft202012Validator(schema("PaymentRequest"))
ROUTES = ("/validate", "/fraud-check", "/process")
OTHERS = [route for function in Function for route in function.routes if route.path not in ROUTES]


@pytest.fixture(scope="module")
def candidate(platform: Platform) -> Merchant:
    return platform.candidate_api()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
@pytest.mark.parametrize("route", ROUTES)
def test_every_answer_to_generated_requests_follows_the_contract(
    route: str, mode: GenerationMode, candidate: Merchant
) -> None:
    operation = CONTRACT[route]["POST"]
    documented = DOCUMENT["paths"][route]["post"]["responses"]

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode), accepted=strategies.booleans())
    def check(case: schemathesis.Case, accepted: bool) -> None:
        payment = mode is GenerationMode.POSITIVE and accepted
        if payment:  # three letters at random are hardly ever a currency, and digits at random may be a card number
            case.body |= {"currency": "USD", "amount": "12.50", "card_number": "4111111111111111"}
            case.body |= {name: name for name in FREE_TEXT if holds_card_number(case.body.get(name, ""))}
            case.body.pop("client_ip", None)
            case.headers["Idempotency-Key"] = str(uuid.uuid4())
        request = requests.Request(**case.as_transport_kwargs(base_url="https://api.invalid")).prepare()
        headers = {name: value for name, value in request.headers.items() if name.lower() in SENT}
        reply = candidate.send("POST", route, headers, _bytes(request.body))
        assert reply.status < 500, reply.text
        assert str(reply.status) in documented, reply.text
        operation.validate_response(_as_response(request, reply))
        if payment:
            assert reply.status < 300, reply.text
        if not VALIDATOR.is_valid(case.body):
            assert 400 <= reply.status < 500

    check()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
@pytest.mark.parametrize("route", OTHERS, ids=" ".join)
def test_every_answer_of_the_transactions_follows_the_contract(
    route: Route, mode: GenerationMode, candidate: Merchant
) -> None:
    operation = CONTRACT[route.path][route.method]
    documented = DOCUMENT["paths"][route.path][route.method.lower()]["responses"]

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        request = requests.Request(**case.as_transport_kwargs(base_url="https://api.invalid")).prepare()
        headers = {name: value for name, value in request.headers.items() if name.lower() in SENT}
        reply = candidate.send(route.method, str(request.path_url), headers, _bytes(request.body))
        assert reply.status < 500, reply.text
        assert str(reply.status) in documented, reply.text
        operation.validate_response(_as_response(request, reply))

    check()


FREE_TEXT = ("customer_id", "merchant_reference")
SENT = ("content-type", "idempotency-key")


def _bytes(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else body or b""


def _as_response(request: requests.PreparedRequest, reply: Reply) -> schemathesis.Response:
    headers = {name: [value] for name, value in reply.headers.items()}
    return schemathesis.Response(reply.status, headers, reply.text.encode(), request, elapsed=0.0, verify=True)


@pytest.mark.parametrize("route", ROUTES)
def test_an_answer_of_each_kind_follows_the_contract(route: str, candidate: Merchant) -> None:
    """Cases that generated requests rarely reach: a known customer, and a repeated key."""
    body = {"customer_id": "load-00020", "amount": "5.00", "currency": "USD", "card_number": "4242420000000208"}
    key = str(uuid.uuid4())
    for sent in (body, body, body | {"amount": "6.00"}):
        request = requests.Request("POST", f"https://api.invalid{route}", json=sent).prepare()
        reply = candidate.post(route, sent, key=key)
        assert reply.status < 500, reply.text
        CONTRACT[route]["POST"].validate_response(_as_response(request, reply))
