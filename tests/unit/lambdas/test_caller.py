"""The caller of a payment behind the load balancer: API Gateway names it, never the client."""

import pytest

from lambdas.api.requests import Request


@pytest.mark.parametrize(
    ("headers", "caller"),
    [
        ({"x-caller": ["AROA:verified"]}, "AROA:verified"),
        ({"x-caller": ["forged", "AROA:verified"]}, None),
        ({"X-Caller": ["forged"], "x-caller": ["AROA:verified"]}, None),
        ({}, None),
    ],
    ids=["from API Gateway", "beside the client's own", "in another case", "missing"],
)
def test_a_caller_is_known_only_by_exactly_one_header(headers: dict[str, list[str]], caller: str | None) -> None:
    event = {"requestContext": {"elb": {}}, "httpMethod": "POST", "path": "/process", "multiValueHeaders": headers}
    assert Request.of(event, "id").caller == caller
