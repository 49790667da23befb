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
    401: [apigateway.ResponseType.UNAUTHORIZED],
    403: [
        # What is left is a signature of credentials that do not exist.
        apigateway.ResponseType.DEFAULT_4_XX,
        apigateway.ResponseType.EXPIRED_TOKEN,
        apigateway.ResponseType.INVALID_API_KEY,
        apigateway.ResponseType.INVALID_SIGNATURE,
    ],
    404: [apigateway.ResponseType.RESOURCE_NOT_FOUND],
    415: [apigateway.ResponseType.UNSUPPORTED_MEDIA_TYPE],
    429: [apigateway.ResponseType.QUOTA_EXCEEDED],
    500: [
        apigateway.ResponseType.API_CONFIGURATION_ERROR,
        apigateway.ResponseType.AUTHORIZER_CONFIGURATION_ERROR,
        apigateway.ResponseType.AUTHORIZER_FAILURE,
    ],
    # What is left is a function that died, or whose answer API Gateway could not read.
    502: [apigateway.ResponseType.DEFAULT_5_XX],
}
"""The types without a problem of their own, by status (API Gateway Developer Guide, "Gateway response types").

Each is named, because a template can't read the status of its own answer, and a problem document has one.
"""


def refuse_with_problems(api: apigateway.RestApi) -> None:
    """Let every refusal of ``api`` be a document ``application/problem+json``."""
    request_id = "$context.requestId"
    for code, type_ in _REFUSALS.items():
        status = _GATEWAYS_OWN_STATUS.get(code, _PROBLEMS[code]["status"])
        title = _PROBLEMS[code]["title"]
        problem = {"type": _FILE["type_prefix"] + code, "title": title, "status": status, "request_id": request_id}
        _answer(api, code, type_, json.dumps(problem))
    for status, types in _OTHER_REFUSALS.items():
        code = "refused" if status < 500 else "internal"
        # API Gateway puts its message in quotes by itself.
        document = f'{{"type": "{_FILE["type_prefix"] + code}", "title": $context.error.messageString'
        document += f', "status": {status}, "request_id": "{request_id}"}}'
        for type_ in types:
            is_default = type_.response_type.startswith("DEFAULT")
            _answer(api, code if is_default else type_.response_type, type_, document, status=str(status))


def _answer(
    api: apigateway.RestApi, id: str, type_: apigateway.ResponseType, problem: str, status: str | None = None
) -> None:
    api.add_gateway_response(
        id,
        type=type_,
        status_code=status,
        response_headers={"Content-Type": "'application/problem+json'"},
        templates={"application/json": problem},
    )
