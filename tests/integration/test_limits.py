"""Limits, merchants and card testing on the real stores, through the API."""

import json
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.credentials import Credentials

from lambdas.adapters import database
from lambdas.schema import handler
from loadtest.scenario import card_number, client_address
from tests.integration.conftest import Platform
from tests.integration.merchant import Merchant, Reply

AT_ONCE = 32
ROUTES = ("/validate", "/fraud-check", "/process")


@pytest.fixture(scope="module")
def api(platform: Platform) -> Merchant:
    return platform.api()


def payment(number: int, amount: str, **changes: Any) -> dict[str, Any]:
    """A payment of a synthetic customer that no other test uses."""
    return {
        "customer_id": f"load-{number:05}",
        "amount": amount,
        "currency": "USD",
        "card_number": card_number(number),
        "client_ip": client_address(number),
    } | changes


def pay_all(api: Merchant, bodies: Sequence[dict[str, Any]]) -> list[Reply]:
    """All at once. A payment that did not get its turn is repeated under its key, as clients do."""

    def pay(body: dict[str, Any]) -> Reply:
        key = str(uuid.uuid4())
        for _ in range(20):
            reply = api.post("/process", body, key=key)
            if reply.status == 201:
                break
            assert reply.status in (409, 503), reply.text
        return reply

    with ThreadPoolExecutor(AT_ONCE) as clients:
        return list(clients.map(pay, bodies))


def test_two_hundred_payments_at_once_pass_no_limit(api: Merchant, platform: Platform) -> None:
    # Given a customer and a card that may pay 40,000.00 an hour
    # When 200 payments arrive at once, through as many functions as the platform starts
    replies = pay_all(api, [payment(1901, "4450.00") for _ in range(200)])
    # Then all are answered, and no limit is passed
    assert {reply.status for reply in replies} == {201}
    outcomes = [reply.body["status"] for reply in replies]
    assert outcomes.count("approved") == 8
    assert outcomes.count("declined") == 192  # two rules fire, that of the customer and that of the card
    # And the ledger says the same
    stored = [item["status"]["S"] for item in platform.transactions("load-01901")]
    assert sorted(stored) == sorted(outcomes)


def test_payments_of_a_cent_do_not_flush_the_window(api: Merchant) -> None:
    first = pay_all(api, [payment(1902, "9000.00")] * 2 + [payment(1902, "8900.00")] * 2)
    pay_all(api, [payment(1902, "0.01") for _ in range(60)])
    last = api.post("/process", payment(1902, "8900.00"), key=str(uuid.uuid4())).body
    assert [reply.body["status"] for reply in first].count("declined") == 0
    assert "customer_velocity_amount" in last["reasons"]
    assert last["status"] != "approved"


def test_three_hundred_cards_from_one_address_are_stopped_on_every_route(api: Merchant) -> None:
    # Given 300 cards over 300 customers from one address
    bodies = [payment(1500 + n, "25.00", client_ip="203.0.113.9") for n in range(1, 301)]
    replies = pay_all(api, bodies)
    # Then the first ten are approved, and the free routes say no more than that it was noticed
    assert [reply.body["status"] for reply in replies].count("approved") <= 10
    another = payment(1499, "25.00", client_ip="203.0.113.9")
    assert api.post("/validate", another).body["reasons"] == ["many_cards_from_address"]
    assert api.post("/fraud-check", another).body["decision"] == "decline"
    # And cards that were only validated count too
    for n in range(1, 12):
        api.post("/validate", payment(1450 + n, "25.00", client_ip="203.0.113.10"))
    tried = api.post("/process", payment(1449, "25.00", client_ip="203.0.113.10"), key=str(uuid.uuid4()))
    assert tried.body["status"] == "declined"


def test_a_caller_is_its_merchant(platform: Platform) -> None:
    # Given a shop with customers of its own, and a suspended one
    shop, suspended = (_user(platform, name) for name in ("own-shop", "suspended-shop"))
    with _administrator(platform) as connection:
        for name, status in (("own-shop", "active"), ("suspended-shop", "suspended")):
            connection.run(
                "INSERT INTO merchants (merchant_id, status, allowed_currencies, required_fields, limits, takes)"
                " VALUES (:name, :status, '{USD}', '{client_ip}', CAST(:limits AS jsonb), 'any')",
                name=name, status=status, limits=json.dumps({"payment": 100_00, "day": 150_00}),
            )  # fmt: skip
            arn = f"arn:aws:iam::{platform.cloud.account}:user/{name}"
            connection.run("INSERT INTO merchant_principals VALUES (:arn, :name)", arn=arn, name=name)
        connection.run("INSERT INTO merchant_customers VALUES ('own-shop', 'load-01903')")
    # Then the suspended one is refused, with a problem
    for route in ROUTES:
        refused = suspended.post(route, payment(1903, "10.00"), key=str(uuid.uuid4()))
        assert (refused.status, refused.body["type"]) == (403, "urn:problem-type:payments:merchant-not-active")
    # And the shop is held to its customers, currency, fields and limits
    own = payment(1903, "100.00")
    without_address = {name: value for name, value in own.items() if name != "client_ip"}
    for body, reason in (
        (payment(1904, "10.00"), "customer_unknown"),
        (own | {"currency": "EUR", "amount": "50.00"}, "currency_not_allowed_for_merchant"),
        (without_address, "client_ip_missing"),
        (own | {"amount": "100.01"}, "amount_over_merchant_limit"),
    ):
        assert shop.post("/validate", body).body["reasons"] == [reason]
        made = shop.post("/process", body, key=str(uuid.uuid4())).body
        assert (made["status"], reason in made["reasons"]) == ("declined", True)
    # And what it declined does not count against the customer at another merchant
    assert platform.api().post("/fraud-check", payment(1903, "10.00")).body["decision"] == "approve"


@pytest.fixture
def shops_of_a_test(platform: Platform) -> Iterator[None]:
    """Takes merchants away again. An old system that moves here does not know them, and verify would name them."""
    yield
    with _administrator(platform) as connection:
        for table in ("merchant_principals", "merchants"):
            connection.run(f"DELETE FROM {table} WHERE merchant_id IN ('real-shop', 'synthetic-shop')")


@pytest.mark.usefixtures("shops_of_a_test")
def test_synthetic_customers_and_real_merchants_keep_apart(platform: Platform) -> None:
    # Given a merchant of real customers and one of synthetic ones, both open for every customer
    callers = {name: _user(platform, f"{name}-shop") for name in ("real", "synthetic")}
    with _administrator(platform) as connection:
        for name in callers:
            connection.run(
                "INSERT INTO merchants (merchant_id, status, allowed_currencies, required_fields, platform_wide, takes)"
                " VALUES (:name || '-shop', 'active', '{USD}', '{}', true, :name)",
                name=name,
            )
            connection.run(
                "INSERT INTO merchant_principals VALUES (:arn, :name || '-shop')",
                arn=f"arn:aws:iam::{platform.cloud.account}:user/{name}-shop", name=name,
            )  # fmt: skip
    payers = {"real": payment(1905, "10.00", customer_id="cust-10002"), "synthetic": payment(1906, "10.00")}
    # Then neither can be paid by the other's customers
    for merchant, caller in callers.items():
        for payer, body in payers.items():
            reasons = [] if payer == merchant else ["customer_unknown"]
            assert caller.post("/validate", body).body["reasons"] == reasons
            made = caller.post("/process", body, key=str(uuid.uuid4())).body
            assert made["status"] == ("approved" if payer == merchant else "declined")
            # And each payment is marked, in the ledger and in its record
            stored = _stored(platform, made["transaction_id"])
            assert stored["synthetic"] == {"BOOL": merchant == "synthetic"}
            record = platform.client("s3").get_object(
                Bucket=platform.outputs["AuditLogBucket"], Key=stored["audit_key"]["S"]
            )
            assert json.loads(record["Body"].read())["synthetic"] is (merchant == "synthetic")


def test_a_synthetic_customer_keeps_a_status_that_was_set_when_the_schema_is_seeded_again(platform: Platform) -> None:
    # Given a synthetic customer that somebody blocked, and another that lost its mark
    with _administrator(platform) as connection:
        connection.run("UPDATE customers SET status = 'blocked' WHERE customer_id = 'load-01907'")
        connection.run("UPDATE customers SET synthetic = false WHERE customer_id = 'load-01908'")
        # When the next release seeds
        handler._seed(connection, {"DemoCustomers": "true", "SyntheticPrincipals": [], "DemoPrincipals": []})
        found = connection.run(
            "SELECT customer_id, status, synthetic FROM customers WHERE customer_id IN"
            " ('load-01906', 'load-01907', 'load-01908', 'cust-10001') ORDER BY 1"
        )
    # Then the status stays, and all synthetic customers are marked
    assert found == [
        ["cust-10001", "active", False],
        ["load-01906", "active", True],
        ["load-01907", "blocked", True],
        ["load-01908", "active", True],
    ]


def _stored(platform: Platform, transaction_id: str) -> dict[str, Any]:
    found: dict[str, Any] = platform.client("dynamodb").get_item(
        TableName=platform.outputs["TransactionTableName"], Key={"transaction_id": {"S": transaction_id}}
    )["Item"]
    return found


def _user(platform: Platform, name: str) -> Merchant:
    iam: Any = platform.client("iam")
    iam.create_user(UserName=name)
    allowed = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}
    iam.put_user_policy(
        UserName=name,
        PolicyName="pay",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}),
    )
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return platform.api(Credentials(key["AccessKeyId"], key["SecretAccessKey"]))


@contextmanager
def _administrator(platform: Platform) -> Iterator[Any]:
    [cluster] = platform.client("rds").describe_db_clusters()["DBClusters"]
    secret = platform.client("secretsmanager").get_secret_value(SecretId=cluster["MasterUserSecret"]["SecretArn"])
    name = f"payment-validation-{platform.cloud.name}"
    variables = platform.client("lambda").get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    place = variables | {"DATABASE_CA_BUNDLE": platform.cloud.environ()["AWS_CA_BUNDLE"]}
    connection = database.connect(json.loads(secret["SecretString"]), place)
    try:
        yield connection
    finally:
        connection.close()
