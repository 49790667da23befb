"""The handler of a function: every answer follows the contract, and none shows the card number."""

import base64
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lambdas
from lambdas.api import closed
from lambdas.api.endpoint import endpoint, logger
from lambdas.api.idempotency_key import idempotency_key
from lambdas.api.problems import Problem
from lambdas.api.requests import Answer, Request
from lambdas.payments.callers import Caller
from lambdas.payments.errors import CallerRefused, Unavailable
from lambdas.payments.payment import Payment
from loadtest.access import CLOSED
from loadtest.client import processor_seconds
from names import CANDIDATE_RELEASE, RELEASE_HEADER, STABLE_RELEASE

CARD = "4111111111111111"
ARN = "arn:aws:iam::111111111111:user/shop"
BODY = {"customer_id": "cust-12345", "amount": 99.99, "currency": "USD", "card_number": CARD}
CONTEXT = SimpleNamespace(
    aws_request_id="00000000-0000-0000-0000-000000000001",
    function_name="payment-validation-dev",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:us-east-1:111111111111:function:payment-validation-dev",
)


@endpoint("validate")
def echo(request: Request, payment: Payment, caller: Caller, context: Any) -> Answer:
    return Answer(status=200, body={"amount": str(payment.money), "caller": caller.id})


def event(body: Any = BODY, **changes: Any) -> dict[str, Any]:
    text = body if isinstance(body, str) or body is None else json.dumps(body)
    return {
        "requestContext": {"requestId": "request-1", "identity": {"caller": "AIDA", "userArn": ARN}},
        "httpMethod": "POST",
        "path": "/validate",
        "headers": {"Content-Type": "application/json"},
        "multiValueHeaders": {"Content-Type": ["application/json"]},
        "body": text,
        "isBase64Encoded": False,
    } | changes


def call(sent: dict[str, Any]) -> tuple[int, dict[str, Any], dict[str, str]]:
    answer = echo(sent, CONTEXT)
    headers = {name: values[0] for name, values in answer["multiValueHeaders"].items()}
    return answer["statusCode"], json.loads(answer["body"]), headers


def test_an_answer_names_the_version_of_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_VERSION", "42")
    status, body, headers = call(event())
    assert (status, body) == (200, {"amount": "99.99", "caller": "AIDA"})
    assert headers["X-Function-Version"] == "42"
    assert headers["X-Request-Id"] == "request-1"


@pytest.mark.parametrize("path", ["/validate", "/dev/validate", "/candidate/validate/"])
def test_the_path_may_hold_the_stage(path: str) -> None:
    assert call(event(path=path))[0] == 200


def test_behind_the_load_balancer_caller_and_id_come_from_the_api_s_headers() -> None:
    headers = {
        "content-type": ["application/json"], "x-caller": ["AIDA"], "x-caller-arn": [ARN],
        "x-request-id": ["abcdef-123456"],
    }  # fmt: skip
    status, body, answered = call(event(requestContext={"elb": {}}, multiValueHeaders=headers))
    assert (status, body["caller"], answered["X-Request-Id"]) == (200, "AIDA", "abcdef-123456")


def test_the_api_s_caller_is_not_taken_from_a_header() -> None:
    headers = {"content-type": ["application/json"], "X-Caller": ["somebody else"]}
    assert call(event(multiValueHeaders=headers))[1]["caller"] == "AIDA"


def test_a_request_that_names_no_caller_is_refused() -> None:
    unsigned = {"requestContext": {"requestId": "request-1", "identity": {}}}
    status, document, _ = call(event(**unsigned))
    assert (status, document["type"]) == (403, "urn:problem-type:payments:caller-unknown")


@pytest.mark.parametrize("code", ["caller_unknown", "merchant_not_active"])
def test_a_caller_that_may_not_pay_gets_a_problem(code: str) -> None:
    @endpoint("validate")
    def refusing(request: Request, payment: Payment, caller: Caller, context: Any) -> Answer:
        raise CallerRefused(code)

    answer = refusing(event(), CONTEXT)
    assert (answer["statusCode"], json.loads(answer["body"])["type"].rpartition(":")[2]) == (
        403,
        code.replace("_", "-"),
    )


def test_a_body_may_come_in_base64() -> None:
    encoded = base64.b64encode(json.dumps(BODY).encode()).decode()
    assert call(event(encoded, isBase64Encoded=True))[0] == 200


def body_with(**changes: Any) -> str:
    return json.dumps({key: value for key, value in (BODY | changes).items() if value is not ...})


def raw(amount: str) -> str:
    return body_with(amount="@").replace('"@"', amount)


@pytest.mark.parametrize(
    ("body", "status", "problem", "field"),
    [
        (None, 400, "body-missing", None),
        ("", 400, "body-missing", None),
        ("{", 400, "body-not-json", None),
        ("\ufeff{}", 400, "body-not-json", None),
        ("[" * 5000, 400, "body-not-json", None),
        ('{"a":' * 1500, 400, "body-not-json", None),
        (raw("NaN"), 400, "body-not-json", None),
        (raw("-Infinity"), 400, "body-not-json", None),
        (raw("01"), 400, "body-not-json", None),
        (raw("1e99999999999999999999"), 400, "body-not-json", None),
        (raw("1e-99999999999999999999"), 400, "body-not-json", None),
        (raw("0e-99999999999999999999"), 400, "body-not-json", None),
        (raw("1" * 5000), 400, "body-not-json", None),
        ('{"amount": 1, "amount": 2}', 400, "body-not-json", None),
        ("null", 400, "body-shape", ""),
        ("[]", 400, "body-shape", ""),
        (body_with(customer_id=...), 400, "body-shape", "/customer_id"),
        (body_with(customer_id=None), 400, "body-shape", "/customer_id"),
        (body_with(customer_id="x" * 65), 400, "body-shape", "/customer_id"),
        (body_with(customer_id="\ud800"), 400, "body-shape", "/customer_id"),
        (body_with(customer_id="a\n"), 400, "body-shape", "/customer_id"),
        (body_with(cvv="123"), 400, "body-shape", ""),
        (body_with(card_number=4111111111111111), 400, "body-shape", "/card_number"),
        (body_with(card_number=CARD + "\n"), 400, "body-shape", "/card_number"),
        (body_with(currency="usd"), 400, "body-shape", "/currency"),
        (body_with(amount=True), 400, "body-shape", "/amount"),
        (body_with(amount=[1]), 400, "body-shape", "/amount"),
        (body_with(card_expiry="2030-13"), 400, "body-shape", "/card_expiry"),
        (raw("1E+400"), 422, "amount-malformed", "/amount"),
        (raw("1" * 30), 422, "amount-malformed", "/amount"),
        (raw("0." + "1" * 5000), 422, "amount-malformed", "/amount"),
        (raw(CARD), 422, "amount-malformed", "/amount"),
        (body_with(amount=CARD), 422, "amount-malformed", "/amount"),
        (body_with(amount="100000000"), 422, "amount-malformed", "/amount"),
        (body_with(amount="1,5"), 422, "amount-malformed", "/amount"),
        (body_with(amount="0"), 422, "amount-not-positive", "/amount"),
        (raw("-0.0"), 422, "amount-not-positive", "/amount"),
        (raw("-1e-1000100"), 422, "amount-not-positive", "/amount"),
        (body_with(amount=-5), 422, "amount-not-positive", "/amount"),
        (body_with(amount="-5"), 422, "amount-not-positive", "/amount"),
        (body_with(amount=1.005), 422, "amount-too-precise", "/amount"),
        (body_with(amount="1.5", currency="JPY"), 422, "amount-too-precise", "/amount"),
        (body_with(amount="0.00001"), 422, "amount-too-precise", "/amount"),
        (raw("1e-999999"), 422, "amount-too-precise", "/amount"),
        (raw("1e-1000100"), 422, "amount-too-precise", "/amount"),
        (body_with(currency="XXX"), 422, "currency-unknown", "/currency"),
        (body_with(currency="IRR"), 422, "currency-not-accepted", "/currency"),
        (body_with(customer_id=CARD), 422, "card-number-misplaced", "/customer_id"),
        (body_with(merchant_reference=f"order:{CARD}"), 422, "card-number-misplaced", "/merchant_reference"),
        (body_with(customer_id="4111-1111_11111111"), 422, "card-number-misplaced", "/customer_id"),
        (body_with(client_ip=CARD), 422, "card-number-misplaced", "/client_ip"),
        (body_with(client_ip="4111:1111:1111:1111"), 422, "card-number-misplaced", "/client_ip"),
        (body_with(client_ip="999.999.999.999"), 400, "body-shape", "/client_ip"),
        (body_with(client_ip="::::"), 422, "client-ip-malformed", "/client_ip"),
        (body_with(country="ZZ"), 400, "body-shape", "/country"),
        (body_with(merchant_reference="x" * 9000), 413, "body-too-large", None),
    ],
)
def test_each_fault_has_its_own_problem(body: str | None, status: int, problem: str, field: str | None) -> None:
    answered, document, headers = call(event(body))
    assert (answered, document["type"]) == (status, f"urn:problem-type:payments:{problem}")
    assert headers["Content-Type"] == "application/problem+json"
    assert document["request_id"] == "request-1"
    assert [error["field"] for error in document.get("errors", [])] == ([] if field is None else [field])


GIVEAWAYS = [
    "4111-1111-1111-1111",
    "4111.1111.1111.1111",
    "4111_1111_1111_1111",
    "4111:1111:1111:1111",
    "4-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1",
    "411111--1111111111",
    "order-4111-1111-1111-1111-paid",
    "4111a1111b1111c1111",
    "2026-4111-1111-1111-1111-07",
]
"""Forms of the card number in a reference or a key."""


@pytest.mark.parametrize("reference", [*GIVEAWAYS, "4111/1111/1111/1111", "4111#1111#1111#1111"])
def test_a_reference_with_the_card_number_is_refused_with_any_separators(reference: str) -> None:
    status, document, _ = call(event(body_with(merchant_reference=reference)))
    assert (status, document["errors"][0]["field"]) == (422, "/merchant_reference")
    assert document["type"].endswith("card-number-misplaced")


OTHER_CARDS = [
    "5555555555554444",
    "5555-5555-5555-4444",
    "5555:5555:5555:4444",
    "order-5555.5555.5555.4444-paid",
    "3782-822463-10005",
    "6522-0000-0000-0006",
    "5-5-5-5-5-5-5-5-5-5-5-5-4-4-4-4",
]
"""Numbers of cards with which nobody pays here, among them one of a brand that is not in the table."""


@pytest.mark.parametrize("number", OTHER_CARDS)
def test_the_number_of_another_card_is_refused_wherever_it_would_be_stored(number: str) -> None:
    assert call(event(body_with(merchant_reference=number)))[1]["type"].endswith("card-number-misplaced")
    with pytest.raises(Problem) as refused:
        key_of(number)
    assert refused.value.code == "card_number_misplaced"


@pytest.mark.parametrize(
    "reference",
    [
        "8e03978e-40d5-43dd-bc93-6894a57f9324",
        "2026-11-23/000411111",
        "4111-1111-1111-1112",
        "4111-1111-1111",
        "1111-1111-1111-4112",
        "20261128-123011",
        "order-2026-11-28:12:30:11",
        "d41d8cd98f00b204e9800998ecf8427e",
    ],
)
def test_a_reference_with_other_digits_is_accepted(reference: str) -> None:
    assert call(event(body_with(merchant_reference=reference)))[0] == 200
    assert key_of(reference.replace("/", ".")) == reference.replace("/", ".")


@pytest.mark.parametrize("media_type", [[], ["text/plain"], ["application/json; charset=latin-1"], ["a", "b"]])
def test_another_media_type_is_refused(media_type: list[str]) -> None:
    assert call(event(multiValueHeaders={"content-type": media_type} if media_type else {}))[0] == 415


@pytest.mark.parametrize(("changes", "status"), [({"path": "/process"}, 404), ({"httpMethod": "GET"}, 405)])
def test_another_route_or_method_is_refused(changes: dict[str, str], status: int) -> None:
    assert call(event(**changes))[0] == status


@pytest.mark.parametrize(
    "content", [b"\xff\xfe{}", json.dumps(BODY).encode("utf-16"), json.dumps(BODY).encode("utf-32")]
)
def test_another_encoding_is_refused(content: bytes) -> None:
    encoded = base64.b64encode(content).decode()
    assert call(event(encoded, isBase64Encoded=True))[1]["type"].endswith("body-not-json")


def test_broken_base64_is_refused() -> None:
    assert call(event("*", isBase64Encoded=True))[0] == 400


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([*BODY, "card_expiry", "country", "client_ip", "unknown"]), json_values)
def test_no_value_of_any_field_breaks_the_function_or_is_quoted(field: str, value: Any) -> None:
    status, document, _ = call(event(BODY | {field: value}))
    assert status in (200, 400, 413, 422)
    assert CARD not in json.dumps(document)


@given(st.text() | st.binary().map(lambda content: base64.b64encode(content).decode()), st.booleans())
def test_no_body_breaks_the_function(content: str, is_base64: bool) -> None:
    assert call(event(content, isBase64Encoded=is_base64))[0] in (400, 413)


@pytest.mark.parametrize(
    ("failure", "status"), [(Unavailable("customer database"), 503), (RuntimeError(f"no place for {CARD}"), 500)]
)
def test_a_failure_is_logged_without_the_card_and_answered_without_details(
    failure: Exception, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = io.StringIO()
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_VERSION", "7")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Payments")
    monkeypatch.setattr(logger.handlers[0], "stream", log)

    @endpoint("validate")
    def failing(request: Request, payment: Payment, caller: Caller, context: Any) -> Answer:
        raise failure

    answer = failing(event(), CONTEXT)
    assert answer["statusCode"] == status
    assert ("Retry-After" in answer["multiValueHeaders"]) == (status == 503)
    assert CARD not in answer["body"] + log.getvalue()
    assert "request-1" in log.getvalue()
    counted = json.loads(capsys.readouterr().out)
    assert counted["ServerErrors"] == [1.0]
    assert counted["FunctionVersion"] == "7"


def test_a_refused_request_is_counted_under_the_version_but_not_as_a_servers_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_VERSION", "7")

    @endpoint("validate")
    def refusing(request: Request, payment: Payment, caller: Caller, context: Any) -> Answer:
        raise Problem("idempotency_key_reused")

    assert 400 <= refusing(event(), CONTEXT)["statusCode"] < 500
    counted = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "ClientErrors" in line]
    assert [(each["ClientErrors"], each["FunctionVersion"]) for each in counted] == [([1.0], "7")]


def key_of(*values: str) -> str:
    headers = {"Idempotency-Key": list(values)} if values else {}
    return idempotency_key(
        Request.of(event(multiValueHeaders=headers), "id"), Payment.parse(BODY | {"amount": "99.99"})
    )


@pytest.mark.parametrize("sent", ["8e03978e-40d5-43dd-bc93-6894a57f9324", '"8e03978e-40d5-43dd-bc93-6894a57f9324"'])
def test_the_idempotency_key_may_be_quoted(sent: str) -> None:
    assert key_of(sent) == "8e03978e-40d5-43dd-bc93-6894a57f9324"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ([], "idempotency_key_missing"),
        ([""], "idempotency_key_malformed"),
        (["a" * 129], "idempotency_key_malformed"),
        (['"a'], "idempotency_key_malformed"),
        (["a b"], "idempotency_key_malformed"),
        (["a", "b"], "idempotency_key_malformed"),
    ],
)
def test_a_missing_or_malformed_key_is_refused(sent: list[str], code: str) -> None:
    with pytest.raises(Problem) as refused:
        key_of(*sent)
    assert (refused.value.code, refused.value.status) == (code, 400)


@pytest.mark.parametrize("sent", [CARD, *GIVEAWAYS, f'"{GIVEAWAYS[0]}"'])
def test_a_key_with_the_card_number_is_refused_with_any_separators(sent: str) -> None:
    with pytest.raises(Problem) as refused:
        key_of(sent)
    assert refused.value.code == "card_number_misplaced"


@pytest.mark.parametrize(
    "through_the_candidate",
    [
        {"requestContext": {"requestId": "request-1", "stage": CANDIDATE_RELEASE, "identity": {"caller": "AIDA"}}},
        {
            "requestContext": {"elb": {}},
            "multiValueHeaders": {"content-type": ["application/json"], RELEASE_HEADER.lower(): [CANDIDATE_RELEASE]},
        },
    ],
)
def test_the_load_gate_is_told_the_processor_time(through_the_candidate: dict[str, Any]) -> None:
    _, _, headers = call(event(**through_the_candidate))

    assert 0 <= (processor_seconds(headers["Server-Timing"]) or -1) < 1


@pytest.mark.parametrize(
    "through_the_stable_stage",
    [
        {"requestContext": {"requestId": "request-1", "stage": "prod", "identity": {"caller": "AIDA"}}},
        {
            "requestContext": {"elb": {}},
            "multiValueHeaders": {"content-type": ["application/json"], RELEASE_HEADER.lower(): [STABLE_RELEASE]},
        },
    ],
)
def test_a_merchant_is_not(through_the_stable_stage: dict[str, Any]) -> None:
    assert "Server-Timing" not in call(event(**through_the_stable_stage))[2]


def test_all_functions_log_by_the_logger_that_masks() -> None:
    folder = Path(lambdas.__file__).parent
    assert [file.name for file in folder.rglob("*.py") if "Logger(" in file.read_text()] == ["endpoint.py"]


@pytest.mark.parametrize("body", [BODY, None, "no JSON"])
@pytest.mark.parametrize(
    "through", [{}, {"requestContext": {"elb": {}}, "path": "/process", "multiValueHeaders": {}}, {"httpMethod": "GET"}]
)
def test_before_the_first_release_every_request_is_told_that_the_service_is_closed(
    body: Any, through: dict[str, Any]
) -> None:
    answer = closed.handler(event(body, **through), CONTEXT)

    document = json.loads(answer["body"])
    assert (answer["statusCode"], document["status"]) == (503, 503)
    assert answer["multiValueHeaders"]["Content-Type"] == ["application/problem+json"]
    # And the load test knows that problem
    assert f'"{document["type"]}"' == CLOSED
    assert "not open yet" in document["title"]
