"""Look-ups, decisions and reversals on the local cloud: roles, pages, exactly once, and the books of them."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.credentials import Credentials

from loadtest.scenario import card_number, client_address
from tests.integration.conftest import Platform
from tests.integration.dying_function import EXIT_CODE
from tests.integration.merchant import Merchant, Reply
from tests.integration.test_exactly_once import run_dying

FIRST = 1700
"""The first of the synthetic customers that this module uses."""
WRITES = ("amendment", "audit record", "limits", "history")
STEPS = [f"{when} the {write}" for write in WRITES for when in ("before", "after")]


def in_role(platform: Platform, arn: str, session: str) -> Merchant:
    granted = platform.client("sts").assume_role(RoleArn=arn, RoleSessionName=session)["Credentials"]
    return platform.api(Credentials(granted["AccessKeyId"], granted["SecretAccessKey"], granted["SessionToken"]))


@pytest.fixture(scope="module")
def shop(platform: Platform) -> Merchant:
    """The merchant of the synthetic customers."""
    return in_role(platform, platform.outputs["LoadTestRoleArn"], "shop")


@pytest.fixture(scope="module")
def rival(platform: Platform) -> Merchant:
    """Another merchant, to which the rest of the account belongs outside prod."""
    return platform.api()


@pytest.fixture(scope="module")
def reviewer(platform: Platform) -> Merchant:
    return in_role(platform, platform.outputs["ReviewerRoleArn"], "ann")


@pytest.fixture(scope="module")
def operator(platform: Platform) -> Merchant:
    return in_role(platform, platform.outputs["OperatorRoleArn"], "olaf")


def payment(number: int, **changes: Any) -> dict[str, Any]:
    own = {"card_number": card_number(FIRST + number), "client_ip": client_address(FIRST + number)}
    return {"customer_id": f"load-{FIRST + number:05}", "amount": "12.50", "currency": "USD", **own, **changes}


def pay(shop: Merchant, number: int, **changes: Any) -> str:
    made = shop.post("/process", payment(number, **changes), key=str(uuid.uuid4()))
    assert made.status == 201, made.text
    return str(made.body["transaction_id"])


def reverse(client: Merchant, id: str, key: str | None = None, **body: Any) -> Reply:
    return client.post(f"/transactions/{id}/reversal", {"reason": "why", **body}, key=key or str(uuid.uuid4()))


def in_review(shop: Merchant, number: int) -> str:
    """A payment that stands in review: its card has paid for many customers."""
    card = card_number(FIRST + number)
    for n in range(6):
        id = pay(shop, number + n, card_number=card)
    assert shop.get(f"/transactions/{id}").body["status"] == "review"
    return id


def test_a_payment_is_found_and_given_back_in_parts(shop: Merchant, platform: Platform) -> None:
    id = pay(shop, 0)
    # When it is looked up and given back in parts, the first part twice with one key
    found, key = shop.get(f"/transactions/{id}"), str(uuid.uuid4())
    parts = [reverse(shop, id, key, kind="refund", amount="2.50") for _ in range(2)]
    rest = reverse(shop, id, kind="refund")
    # Then a repeated part is one part, and no more is given back than was paid
    assert (found.status, found.body["status"], found.body["left"]) == (200, "approved", "12.50")
    assert [part.status for part in parts] == [201, 201], parts
    assert parts[0].text == parts[1].text
    assert parts[1].headers["idempotent-replayed"] == "true"
    assert (rest.body["status"], rest.body["amount"], rest.body["left"]) == ("refunded", "10.00", "0.00")
    assert reverse(shop, id, kind="refund", amount="0.01").status == 409
    now = shop.get(f"/transactions/{id}").body
    assert [(each["number"], each["amount"]) for each in now["history"]] == [(1, "2.50"), (2, "10.00")]
    # And the books of the day have no fault in it. Other tests forge, so they may have others
    verified = platform.run("pipeline.audit", "verify", "--env", platform.cloud.name)
    assert verified.returncode in (0, 1, 5), verified.stderr
    assert id not in verified.stdout


def test_a_search_shows_each_payment_once_in_pages(shop: Merchant, operator: Merchant) -> None:
    ids = [pay(shop, 10) for _ in range(5)]
    time.sleep(1)  # the index follows
    for client in (shop, operator):
        seen: list[str] = []
        page = client.get("/transactions", customer_id=f"load-{FIRST + 10:05}", limit="2")
        while True:
            assert page.status == 200, page.text
            seen += [each["transaction_id"] for each in page.body["transactions"]]
            if "cursor" not in page.body:
                break
            page = client.get(
                "/transactions", customer_id=f"load-{FIRST + 10:05}", limit="2", cursor=page.body["cursor"]
            )
        # Other tests may pay for this customer too
        assert [each for each in seen if each in ids] == ids[::-1]
        assert len(seen) == len(set(seen))


def test_a_reviewer_decides_what_stands_in_review(shop: Merchant, reviewer: Merchant, operator: Merchant) -> None:
    id = in_review(shop, 20)
    # Given it is found by its status, and neither the merchant nor an operator may decide it
    time.sleep(1)  # the index follows
    assert id in [
        each["transaction_id"] for each in reviewer.get("/transactions", status="review").body["transactions"]
    ]
    route, wish = f"/transactions/{id}/decision", {"decision": "approve", "reason": "The customer was asked"}
    refused = shop.post(route, wish)
    assert (refused.status, refused.body["type"].rpartition(":")[2]) == (403, "reviewers-only")
    assert operator.post(route, wish).status == 403
    # When a reviewer approves, then it is approved once, and it can be given back
    decided = reviewer.post(route, wish)
    assert (decided.status, decided.body["status"]) == (201, "approved"), decided.text
    assert reviewer.post(route, {**wish, "decision": "decline"}).status == 409
    assert reverse(operator, id, kind="void").body["status"] == "voided"


def test_people_s_roles_call_their_own_routes_only(shop: Merchant, reviewer: Merchant, operator: Merchant) -> None:
    id = pay(shop, 30)
    for client in (reviewer, operator):
        assert client.get(f"/transactions/{id}").status == 200
        assert client.post("/process", payment(30), key=str(uuid.uuid4())).status == 403
        assert client.post("/validate", payment(30)).status == 403
    assert reverse(reviewer, id, kind="void").status == 403


def test_people_have_a_command(shop: Merchant, platform: Platform) -> None:
    id, command = pay(shop, 33), ("pipeline.transactions", "--env", platform.cloud.name)
    part = platform.run(*command, "reverse", id, "--refund", "2.50", "--reason", "Damaged")
    assert (part.returncode, "partly_refunded  2.50  USD  left 10.00" in part.stdout) == (0, True), part.stderr
    shown = platform.run(*command, "get", id)
    assert (shown.returncode, "1  " in shown.stdout, '"Damaged"' in shown.stdout) == (0, True, True), shown.stderr
    refused = platform.run(*command, "decide", id, "approve", "--reason", "why")
    assert (refused.returncode, "does not stand in review" in refused.stderr) == (1, True), refused.stderr


def test_another_merchant_s_payment_does_not_exist(shop: Merchant, rival: Merchant) -> None:
    id = pay(shop, 31)
    replies = [rival.get(f"/transactions/{id}"), reverse(rival, id, kind="void")]
    assert {(reply.status, reply.body["type"].rpartition(":")[2]) for reply in replies} == {
        (404, "transaction-unknown")
    }
    time.sleep(1)  # the index follows
    found = rival.get("/transactions", customer_id=f"load-{FIRST + 31:05}").body["transactions"]
    assert id not in [each["transaction_id"] for each in found]


def test_many_reversals_at_once_give_back_no_more_than_was_paid(shop: Merchant) -> None:
    id = pay(shop, 32)
    with ThreadPoolExecutor(8) as clients:
        replies = list(clients.map(lambda _: reverse(shop, id, kind="refund", amount="1.00"), range(20)))
    granted = [reply for reply in replies if reply.status == 201]
    assert {reply.status for reply in replies} <= {201, 422, 503}
    left = shop.get(f"/transactions/{id}").body
    assert (len(granted), left["left"]) == (12, "0.50")
    assert [each["number"] for each in left["history"]] == list(range(1, 13))


@pytest.mark.parametrize("step", range(1, len(STEPS) + 1), ids=STEPS)
def test_a_void_killed_at_any_write_is_completed_once_by_its_retry(
    step: int, rival: Merchant, platform: Platform
) -> None:
    # Given a function that dies at the step
    id, key, body = pay(rival, 40 + step), str(uuid.uuid4()), {"kind": "void", "reason": "Ordered twice"}
    died = run_dying(platform, step, f"/transactions/{id}/reversal", "transactions", key, body)
    assert died.returncode == EXIT_CODE, died.stderr[-2000:]
    assert died.stderr.count("reached") == step
    # When the client repeats the request
    reply = rival.post(f"/transactions/{id}/reversal", body, key=key)
    # Then it was voided once, with one record, and limits count it no more
    assert (reply.status, reply.body["status"]) == (201, "voided"), reply.text
    table, dynamodb = platform.outputs["TransactionTableName"], platform.client("dynamodb")
    item = dynamodb.get_item(TableName=table, Key={"transaction_id": {"S": id}})["Item"]
    assert (len(item["history"]["L"]), item["released"], "amending" in item) == (1, {"BOOL": True}, False)
    s3: Any = platform.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=platform.outputs["AuditLogBucket"])
    keys = [found["Key"] for page in pages for found in page["Contents"]]
    assert len([each for each in keys if each.endswith(f"{id}.1.json")]) == 1


def test_the_tested_steps_cover_every_write(rival: Merchant, platform: Platform) -> None:
    id, key = pay(rival, 39), str(uuid.uuid4())
    body = {"kind": "void", "reason": "why"}
    alive = run_dying(platform, 0, f"/transactions/{id}/reversal", "transactions", key, body)
    assert alive.returncode == 0, alive.stderr[-2000:]
    assert alive.stderr.count("reached") == len(STEPS)
