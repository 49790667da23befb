"""The caller of a payment: API Gateway names it, never the client. Its principal is the same in every session."""

import pytest

from lambdas.api.requests import Request
from lambdas.payments.callers import Caller

ARN = "arn:aws:sts::111111111111:assumed-role/shop/one"


@pytest.mark.parametrize(
    ("headers", "known"),
    [
        ({"x-caller": ["AROA:verified"], "x-caller-arn": [ARN]}, True),
        ({"x-caller": ["forged", "AROA:verified"], "x-caller-arn": [ARN]}, False),
        ({"X-Caller": ["forged"], "x-caller": ["AROA:verified"], "x-caller-arn": [ARN]}, False),
        ({"x-caller": ["AROA:verified"], "x-caller-arn": ["forged", ARN]}, False),
        ({"x-caller": ["AROA:verified"]}, False),
        ({}, False),
    ],
    ids=["from API Gateway", "beside the client's own", "in another case", "another's ARN", "no ARN", "missing"],
)
def test_a_caller_is_known_only_by_exactly_one_of_each_header(headers: dict[str, list[str]], known: bool) -> None:
    event = {"requestContext": {"elb": {}}, "httpMethod": "POST", "path": "/process", "multiValueHeaders": headers}
    assert Request.of(event, "id").caller == (Caller("AROA:verified", ARN) if known else None)


@pytest.mark.parametrize(
    ("arn", "principal"),
    [
        (ARN, "arn:aws:iam::111111111111:role/shop"),
        ("arn:aws:iam::111111111111:user/shops/one", "arn:aws:iam::111111111111:user/shops/one"),
        ("arn:aws:iam::111111111111:root", "arn:aws:iam::111111111111:root"),
        ("arn:aws-cn:sts::111111111111:assumed-role/shop/a/b", "arn:aws-cn:iam::111111111111:role/shop"),
    ],
)
def test_a_session_belongs_to_its_role(arn: str, principal: str) -> None:
    caller = Caller("AROA:one", arn)
    assert (caller.principal_arn, caller.account, caller.principal) == (principal, "111111111111", "AROA")
