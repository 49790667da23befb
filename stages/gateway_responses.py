"""API Gateway's own refusals, as problem details (RFC 9457) like those of the functions."""

import json
from pathlib import Path

from aws_cdk import aws_apigateway as apigateway

_FILE = json.loads((Path(__file__).resolve().parent.parent / "lambdas" / "api" / "problems.json").read_bytes())
"""The problems of the API, which the functions answer with too."""
_PROBLEMS = _FILE["functions"] | _FILE["gateway"]
_REFUSALS = {
    "body-shape": apigateway.ResponseType.BAD_REQUEST_BODY,
    # The only parameter that a route requires.
    "idempotency-key-missing": apigateway.ResponseType.BAD_REQUEST_PARAMETERS,
    "not-allowed": apigateway.ResponseType.ACCESS_DENIED,
    "not-signed": apigateway.ResponseType.MISSING_AUTHENTICATION_TOKEN,
    "blocked": apigateway.ResponseType.WAF_FILTERED,
    "body-too-large": apigateway.ResponseType.REQUEST_TOO_LARGE,
    "too-many-requests": apigateway.ResponseType.THROTTLED,
    "unavailable": apigateway.ResponseType.INTEGRATION_FAILURE,
    "timed-out": apigateway.ResponseType.INTEGRATION_TIMEOUT,
}
"""API Gateway's own refusals, by the code of the problem. None contains a value that the client sent."""
_GATEWAYS_OWN_STATUS = {"unavailable": 504}
"""Where the gateway's status is not the functions'."""

_OTHER_REFUSALS = {
    "refused": apigateway.ResponseType.DEFAULT_4_XX,
    "internal": apigateway.ResponseType.DEFAULT_5_XX,
}


def refuse_with_problems(api: apigateway.RestApi) -> None:
    """Let every refusal of ``api`` be a document ``application/problem+json``."""
    request_id = "$context.requestId"
    for code, type_ in _REFUSALS.items():
        status = _GATEWAYS_OWN_STATUS.get(code, _PROBLEMS[code]["status"])
        title = _PROBLEMS[code]["title"]
        problem = {"type": _FILE["type_prefix"] + code, "title": title, "status": status, "request_id": request_id}
        _answer(api, code, type_, json.dumps(problem))
    for code, type_ in _OTHER_REFUSALS.items():
        # API Gateway puts its message in quotes by itself.
        head = f'{{"type": "{_FILE["type_prefix"] + code}", "title": $context.error.messageString'
        _answer(api, code, type_, head + f', "request_id": "{request_id}"}}')


def _answer(api: apigateway.RestApi, code: str, type_: apigateway.ResponseType, problem: str) -> None:
    api.add_gateway_response(
        code,
        type=type_,
        response_headers={"Content-Type": "'application/problem+json'"},
        templates={"application/json": problem},
    )
