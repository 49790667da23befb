"""How API Gateway words what it refuses by itself: as the functions do, in problem details (RFC 9457)."""

import json

from aws_cdk import aws_apigateway as apigateway

_PROBLEM = "urn:problem-type:payments:"
_REFUSALS = {
    "body-shape": (apigateway.ResponseType.BAD_REQUEST_BODY, 400, "The body is not what the contract says"),
    # The only parameter that a route asks for.
    "idempotency-key-missing": (
        apigateway.ResponseType.BAD_REQUEST_PARAMETERS,
        400,
        "The Idempotency-Key header is missing",
    ),
    "not-allowed": (apigateway.ResponseType.ACCESS_DENIED, 403, "The caller may not do this"),
    "not-signed": (
        apigateway.ResponseType.MISSING_AUTHENTICATION_TOKEN,
        403,
        "The request is not signed, or there is no such route",
    ),
    "blocked": (apigateway.ResponseType.WAF_FILTERED, 403, "The firewall blocked the request"),
    "body-too-large": (apigateway.ResponseType.REQUEST_TOO_LARGE, 413, "The body is too large"),
    "too-many-requests": (apigateway.ResponseType.THROTTLED, 429, "Too many requests"),
    "unavailable": (apigateway.ResponseType.INTEGRATION_FAILURE, 504, "The service can't answer now"),
    "timed-out": (apigateway.ResponseType.INTEGRATION_TIMEOUT, 504, "The service did not answer in time"),
}
"""What API Gateway refuses by itself, by the code of the problem: never with a value that the client sent."""

_OTHER_REFUSALS = {
    "refused": apigateway.ResponseType.DEFAULT_4_XX,
    "internal": apigateway.ResponseType.DEFAULT_5_XX,
}


def refuse_with_problems(api: apigateway.RestApi) -> None:
    """Let every refusal of ``api`` be a document ``application/problem+json``."""
    request_id = "$context.requestId"
    for code, (type_, status, title) in _REFUSALS.items():
        problem = {"type": _PROBLEM + code, "title": title, "status": status, "request_id": request_id}
        _answer(api, code, type_, json.dumps(problem))
    for code, type_ in _OTHER_REFUSALS.items():
        # API Gateway puts its message in quotes by itself.
        head = f'{{"type": "{_PROBLEM + code}", "title": $context.error.messageString'
        _answer(api, code, type_, head + f', "request_id": "{request_id}"}}')


def _answer(api: apigateway.RestApi, code: str, type_: apigateway.ResponseType, problem: str) -> None:
    api.add_gateway_response(
        code,
        type=type_,
        response_headers={"Content-Type": "'application/problem+json'"},
        templates={"application/json": problem},
    )
