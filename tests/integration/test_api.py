"""The API on the local cloud, from outside: routes, refusals, idempotency, secrecy, rotation, the audit log."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.credentials import Credentials
from pg8000.exceptions import DatabaseError

from lambdas.adapters import database
from lambdas.payments.card_keys import CardKeys
from loadtest.scenario import card_number, client_address
from tests.integration.conftest import Platform
from tests.integration.merchant import Merchant

ROOT = Path(__file__).parents[2]

PAYMENT = {"customer_id": "cust-10001", "amount": 99.99, "currency": "USD", "card_number": "4242424242424242"}


@pytest.fixture(scope="module")
def api(platform: Platform) -> Merchant:
    return platform.api()


@pytest.fixture(scope="module")
def candidate(platform: Platform) -> Merchant:
    return platform.candidate_api()


def new_key() -> str:
    return str(uuid.uuid4())


def customer(number: int) -> dict[str, Any]:
    """An ordinary payment of a synthetic customer with a card of its own."""
    own = {"card_number": card_number(number), "client_ip": client_address(number)}
    return PAYMENT | own | {"customer_id": f"load-{number:05}"}


@pytest.mark.parametrize("stage", ["api", "candidate"])
def test_each_route_answers_on_both_stages(stage: str, request: pytest.FixtureRequest) -> None:
    client: Merchant = request.getfixturevalue(stage)
    valid, fraud = client.post("/validate", customer(1)), client.post("/fraud-check", customer(1))
    made = client.post("/process", customer(1), key=new_key())
    assert (valid.status, valid.body["valid"], valid.body["reasons"]) == (200, True, [])
    assert (fraud.status, fraud.body["decision"], fraud.body["score"]) == (200, "approve", 0)
    assert (made.status, made.body["status"], made.body["amount"]) == (201, "approved", "99.99")
    assert all(reply.headers["x-function-version"].isdigit() for reply in (valid, fraud, made))
    # And only the candidate's stage tells the processor time
    assert all(("server-timing" in reply.headers) is (stage == "candidate") for reply in (valid, fraud, made))


@pytest.mark.parametrize(
    ("customer_id", "reason"),
    [("cust-10049", "customer_not_active"), ("cust-00000", "customer_unknown"), ("cust-10048", "amount_over_limit")],
)
def test_the_customer_database_decides(customer_id: str, reason: str, api: Merchant) -> None:
    payment = PAYMENT | {"customer_id": customer_id}
    assert api.post("/validate", payment).body["reasons"] == [reason]
    made = api.post("/process", payment, key=new_key())
    assert (made.status, made.body["status"]) == (201, "declined")
    assert reason in made.body["reasons"]


def test_an_unsigned_request_is_refused(api: Merchant) -> None:
    assert api.post("/validate", PAYMENT, signed=False).status == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{", 400),
        ({"customer_id": "cust-10001"}, 400),
        (PAYMENT | {"cvv": "123"}, 400),
        (PAYMENT | {"amount": -1}, 422),
        (PAYMENT | {"currency": "XXX"}, 422),
    ],
)
@pytest.mark.parametrize("route", ["/validate", "/fraud-check", "/process"])
def test_a_faulty_request_is_a_problem_and_changes_nothing(
    route: str, body: Any, status: int, api: Merchant, platform: Platform
) -> None:
    before = _count(platform)
    reply = api.post(route, body, key=new_key())
    assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json")
    assert {"type", "title", "status", "request_id"} <= reply.body.keys()
    assert _count(platform) == before


@pytest.mark.parametrize("route", ["/validate", "/fraud-check", "/process"])
@pytest.mark.parametrize(
    ("method", "body", "status", "code"),
    [
        ("POST", b"{", 400, "body-shape"),
        ("POST", b"", 400, "body-shape"),
        ("POST", b"{}", 400, "body-shape"),
        ("POST", json.dumps(PAYMENT | {"merchant_reference": "x" * 9 * 1024}).encode(), 413, "body-too-large"),
        ("GET", b"", 403, "not-signed"),
    ],
    ids=["broken", "empty", "no fields", "9 KB", "GET"],
)
def test_what_a_newcomer_sends_is_answered_as_documented(
    route: str, method: str, body: bytes, status: int, code: str, api: Merchant
) -> None:
    reply = api.send(method, route, {"Content-Type": "application/json", "Idempotency-Key": new_key()}, body)
    assert (reply.status, reply.body["type"]) == (status, f"urn:problem-type:payments:{code}")
    if body == b"{}":
        missing = {each["field"] for each in reply.body["errors"]}
        assert missing == {"/customer_id", "/amount", "/currency", "/card_number"}


def test_an_unknown_route_is_answered_as_documented(api: Merchant) -> None:
    reply = api.post("/unknown", PAYMENT)
    assert (reply.status, reply.body["type"]) == (403, "urn:problem-type:payments:not-signed")


@pytest.mark.skipif(shutil.which("curl") is None, reason="this machine has no curl")
def test_the_block_of_the_readme_runs_as_printed_in_a_fresh_shell(platform: Platform, tmp_path: Path) -> None:
    # Given a checkout whose dev runs
    block = (ROOT / "README.md").read_text().partition("## The API")[2].partition("```console\n")[2].partition("```")[0]
    lines = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith(("$ ", "  "))]
    code = {each.name: each for each in ROOT.iterdir() if not each.name.startswith(".")}
    for name, target in {**code, ".venv": Path(sys.prefix), ".pipeline/clouds": platform.cloud.folder.parent}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(target)
    # When a person pastes the block
    shell = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(["bash", "-ec", "\n".join(lines)], cwd=tmp_path, env=shell, capture_output=True, text=True)
    # Then the answer is the one that is printed
    printed = json.loads(block.splitlines()[-1].replace("…", ""))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) | {"request_id": ""} == printed | {"request_id": ""}, done.stdout


def test_the_first_answer_is_replayed_to_the_same_payment_and_refused_to_another(api: Merchant) -> None:
    key = new_key()
    first, again = api.post("/process", customer(2), key=key), api.post("/process", customer(2), key=key)
    assert (first.status, first.text) == (again.status, again.text)
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert api.post("/process", customer(2) | {"amount": 1}, key=key).status == 422
    assert api.post("/process", customer(2)).status == 400


def test_callers_do_not_share_keys(api: Merchant, platform: Platform, other_caller: Merchant) -> None:
    key = new_key()
    mine, theirs = api.post("/process", customer(3), key=key), other_caller.post("/process", customer(4), key=key)
    assert (mine.status, theirs.status) == (201, 201)
    assert mine.body["transaction_id"] != theirs.body["transaction_id"]


@pytest.fixture(scope="module")
def other_caller(platform: Platform) -> Merchant:
    iam: Any = platform.client("iam")
    iam.create_user(UserName="another-merchant")
    allowed = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}
    iam.put_user_policy(
        UserName="another-merchant",
        PolicyName="pay",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}),
    )
    key = iam.create_access_key(UserName="another-merchant")["AccessKey"]
    return platform.api(Credentials(key["AccessKeyId"], key["SecretAccessKey"]))


def test_a_retry_by_another_session_of_the_same_role_makes_no_second_payment(platform: Platform) -> None:
    # Given a merchant's server that is started again after each request, under a new session of its role
    before, key, replies = _count(platform), new_key(), []
    for session in ("before-the-crash", "after-it"):
        role = platform.outputs["LoadTestRoleArn"]
        granted = platform.client("sts").assume_role(RoleArn=role, RoleSessionName=session)["Credentials"]
        credentials = Credentials(granted["AccessKeyId"], granted["SecretAccessKey"], granted["SessionToken"])
        # When it sends the same payment with the same key
        replies.append(platform.api(credentials).post("/process", customer(9), key=key))
    # Then it gets the same answer, and there is one payment
    assert [reply.status for reply in replies] == [201, 201], replies
    assert replies[0].text == replies[1].text
    assert _count(platform) == (before[0] + 1, before[1] + 1)


def test_simultaneous_duplicates_make_one_payment(api: Merchant, platform: Platform) -> None:
    before, key = _count(platform), new_key()
    with ThreadPoolExecutor(8) as clients:
        replies = list(clients.map(lambda _: api.post("/process", customer(5), key=key), range(24)))
    assert {reply.status for reply in replies} <= {201, 409}
    assert len({reply.text for reply in replies if reply.status == 201}) == 1
    assert all("retry-after" in reply.headers for reply in replies if reply.status == 409)
    assert _count(platform) == (before[0] + 1, before[1] + 1)


def _count(platform: Platform) -> tuple[int, int]:
    """The numbers of transactions and of audit records."""
    return len(list(_transactions(platform))), len(list(_audit_objects(platform)))


def _transactions(platform: Platform) -> Iterator[dict[str, Any]]:
    dynamodb: Any = platform.client("dynamodb")
    for page in dynamodb.get_paginator("scan").paginate(TableName=platform.outputs["TransactionTableName"]):
        yield from page["Items"]


def _audit_objects(platform: Platform) -> Iterator[str]:
    s3: Any = platform.client("s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=platform.outputs["AuditLogBucket"]):
        yield from (found["Key"] for found in page.get("Contents", []))


def test_no_card_number_is_stored_anywhere(api: Merchant, platform: Platform) -> None:
    # Given payments of all outcomes with a card of their own
    card = card_number(random.randrange(10**6, 10**9))
    payments = [PAYMENT | {"card_number": card}, PAYMENT | {"card_number": card, "customer_id": card}]
    payments += [PAYMENT | {"card_number": card, "amount": 1e9}, PAYMENT | {"card_number": card, card: card}]
    payments += [PAYMENT | {"card_number": card, "merchant_reference": card}]
    replies = [api.post(route, body, key=new_key()) for body in payments for route in ROUTES]
    replies += [api.post("/process", payments[0], key=card)]
    assert {reply.status for reply in replies} == {200, 201, 400, 422}
    # Then it is in no answer, log line, table, audit record or metric
    dynamodb: Any = platform.client("dynamodb")
    s3: Any = platform.client("s3")
    cloudwatch: Any = platform.client("cloudwatch")
    places = {"answers": "".join(reply.text for reply in replies)}
    for table in dynamodb.list_tables()["TableNames"]:
        places[table] = json.dumps(dynamodb.scan(TableName=table)["Items"], default=str)
    for key in _audit_objects(platform):
        places[key] = s3.get_object(Bucket=platform.outputs["AuditLogBucket"], Key=key)["Body"].read().decode()
    places["metrics"] = json.dumps(list(cloudwatch.get_paginator("list_metrics").paginate()), default=str)
    for file in Path(platform.cloud.folder).rglob("*.log*"):
        places[str(file)] = file.read_text(errors="replace")
    assert [place for place, text in places.items() if card in text] == []
    # And the permitted card data was found in the same places
    assert any(card[-4:] in text for text in places.values())
    assert any(place.endswith(f"payment-processing-{platform.cloud.name}.log") for place in places)


ROUTES = ("/validate", "/fraud-check", "/process")


def test_a_rotated_password_and_lost_connections_fail_no_request(api: Merchant, platform: Platform) -> None:
    # Given functions with open connections and a cached password
    assert api.post("/validate", customer(6)).status == 200
    # When the application's password is rotated
    secret = f"payment/database-app-{platform.cloud.name}"
    secrets: Any = platform.client("secretsmanager")
    former = json.loads(secrets.get_secret_value(SecretId=secret)["SecretString"])
    login, token = former | {"password": uuid.uuid4().hex}, str(uuid.uuid4())
    secrets.put_secret_value(
        SecretId=secret, ClientRequestToken=token, SecretString=json.dumps(login), VersionStages=["AWSPENDING"]
    )
    functions: Any = platform.client("lambda")
    for step in ("createSecret", "setSecret", "testSecret", "finishSecret", "finishSecret"):
        event = {"SecretId": secret, "ClientRequestToken": token, "Step": step}
        answer = functions.invoke(
            FunctionName=f"payment-rotation-{platform.cloud.name}", Payload=json.dumps(event).encode()
        )
        assert "FunctionError" not in answer, answer["Payload"].read()
    assert json.loads(secrets.get_secret_value(SecretId=secret)["SecretString"]) == login
    with pytest.raises(DatabaseError) as refused:
        connect(former, platform)
    assert database.sqlstate(refused.value) == WRONG_PASSWORD
    # Then every request is still answered
    assert {api.post("/validate", customer(6)).status for _ in range(5)} == {200}
    # And when all connections are lost too, as in a failover
    [cluster] = platform.client("rds").describe_db_clusters()["DBClusters"]
    connection = connect(login_in(cluster["MasterUserSecret"]["SecretArn"], platform), platform)
    try:
        lost = connection.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'payments_app'")
    finally:
        connection.close()
    # Then every request is answered: each function reads the password again and reconnects
    assert lost
    assert all(terminated for [terminated] in lost)
    assert {api.post("/validate", customer(6)).status for _ in range(5)} == {200}
    assert {api.post("/process", customer(6), key=new_key()).status for _ in range(3)} == {201}


def test_rotated_card_keys_change_no_answer(api: Merchant, platform: Platform) -> None:
    # Given payments, and card keys that are rotated twice after them
    keys = [new_key() for _ in range(12)]
    before = [api.post("/process", customer(20 + n), key=key) for n, key in enumerate(keys[:4])]
    secret, secrets = f"payment/card-fingerprint-{platform.cloud.name}", platform.client("secretsmanager")
    functions: Any = platform.client("lambda")
    for _ in range(2):
        token = str(uuid.uuid4())
        for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
            if step == "createSecret":  # Secrets Manager makes the version pending, here its first value does
                current = secrets.get_secret_value(SecretId=secret)["SecretString"]
                rotated = CardKeys.parse(current).rotated(uuid.uuid4().hex * 2, int(time.time())).to_json()
                secrets.put_secret_value(
                    SecretId=secret, ClientRequestToken=token, SecretString=rotated, VersionStages=["AWSPENDING"]
                )
            event = {"SecretId": secret, "ClientRequestToken": token, "Step": step}
            answer = functions.invoke(
                FunctionName=f"payment-card-key-rotation-{platform.cloud.name}", Payload=json.dumps(event).encode()
            )
            assert "FunctionError" not in answer, answer["Payload"].read()
        assert secrets.get_secret_value(SecretId=secret)["SecretString"] == rotated
    # When so many payments arrive that further functions start, which read the new versions
    with ThreadPoolExecutor(8) as clients:
        after = list(clients.map(lambda n: api.post("/process", customer(24 + n), key=keys[4 + n]), range(8)))
    assert {each.status for each in (*before, *after)} == {201}
    # Then each retry gets the first answer, by whichever function
    for n, first in enumerate((*before, *after)):
        again = api.post("/process", customer(20 + n), key=keys[n])
        assert (again.status, again.text, again.headers["idempotent-replayed"]) == (201, first.text, "true")
    # And no card's first digits are stored
    items = [
        item for item in _transactions(platform) if item["customer_id"]["S"] in {f"load-{20 + n:05}" for n in range(12)}
    ]
    assert len(items) == 12
    assert {item["card_key_version"]["N"] for item in items} <= {"1", "3"}
    assert not any("card_bin" in item for item in items)


def test_a_database_that_hangs_is_named_and_the_retry_completes_the_payment(api: Merchant, platform: Platform) -> None:
    # Given a payment for which the customer database does not answer
    before, key = _count(platform), new_key()
    with hanging_database(platform):
        unanswered = api.post("/process", customer(8), key=key)
    # Then the client gets an answer in time, with the time of a retry, and no payment was made
    assert (unanswered.status, unanswered.headers["content-type"]) == (503, "application/problem+json")
    assert int(unanswered.headers["retry-after"]) > 0
    assert _count(platform) == before
    # And the same request, when the database is back and that time is over, makes one payment with its audit record
    time.sleep(int(unanswered.headers["retry-after"]))
    assert api.post("/process", customer(8), key=key).status == 201
    assert _count(platform) == (before[0] + 1, before[1] + 1)


@contextmanager
def hanging_database(platform: Platform) -> Iterator[None]:
    """The database server accepts connections, but its processes are stopped."""
    emulator = psutil.Process(json.loads((platform.cloud.folder / "process.json").read_text())["pid"])
    server = [child for child in emulator.children(recursive=True) if child.name() == "postgres"]
    assert server
    for process in server:
        process.suspend()
    try:
        yield
    finally:
        for process in server:
            process.resume()


def login_in(secret: str, platform: Platform) -> dict[str, str]:
    value: str = platform.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]
    login: dict[str, str] = json.loads(value)
    return login


def connect(login: dict[str, str], platform: Platform) -> Any:
    """A connection to the database that the functions use."""
    name = f"payment-validation-{platform.cloud.name}"
    variables = platform.client("lambda").get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    return database.connect(login, variables | {"DATABASE_CA_BUNDLE": platform.cloud.environ()["AWS_CA_BUNDLE"]})


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO customers (customer_id, status, country, allowed_currencies) VALUES ('x', 'active', 'US', '{}')",
        "UPDATE customers SET status = 'active'",
        "UPDATE merchants SET status = 'active'",
        "INSERT INTO merchant_principals (principal, merchant_id) VALUES ('x', 'demo')",
        "DELETE FROM customers",
        "CREATE TABLE other (id text)",
        "SELECT * FROM schema_migrations",
    ],
)
def test_the_functions_role_may_read_customers_and_merchants_and_nothing_else(
    statement: str, platform: Platform
) -> None:
    connection = connect(login_in(f"payment/database-app-{platform.cloud.name}", platform), platform)
    try:
        assert connection.run("SELECT count(*) FROM customers")[0][0] >= 2000
        with pytest.raises(DatabaseError) as refused:
            connection.run(statement)
    finally:
        connection.close()
    assert database.sqlstate(refused.value) == INSUFFICIENT_PRIVILEGE


INSUFFICIENT_PRIVILEGE = "42501"
WRONG_PASSWORD = "28P01"


def test_the_day_s_audit_log_is_whole_until_a_record_is_changed(api: Merchant, platform: Platform) -> None:
    made = [api.post("/process", customer(7), key=new_key()).body["transaction_id"] for _ in range(3)]
    [key] = [key for key in _audit_objects(platform) if made[1] in key]
    day = "-".join(part.partition("=")[2] for part in key.split("/")[1:4])
    verify = ("pipeline.audit", "verify", "--env", platform.cloud.name, "--day", day)
    whole = platform.run(*verify)
    assert (whole.returncode, whole.stdout.splitlines()[-1]) == (0, "whole"), whole.stdout + whole.stderr

    s3: Any = platform.client("s3")
    bucket = platform.outputs["AuditLogBucket"]
    original = s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def replace(body: bytes) -> None:
        s3.delete_object(Bucket=bucket, Key=key)
        s3.put_object(Bucket=bucket, Key=key, Body=body, IfNoneMatch="*")

    replace(original.replace(b'"minor":', b'"minor":1'))
    broken = platform.run(*verify)
    replace(original)
    assert broken.returncode == 1
    assert f"BROKEN {key}" in broken.stdout
