"""A payment whose function dies at any of its writes to the real stores: the retry completes it once."""

import json
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from loadtest.scenario import card_number, client_address
from tests.integration.conftest import ROOT, Platform
from tests.integration.dying_function import EXIT_CODE

DYING_FUNCTION = Path(__file__).with_name("dying_function.py")
WRITES = ("idempotency record", "set of cards", "transaction", "audit record", "outcome", "answer")
STEPS = [f"{when} the {write}" for write in WRITES for when in ("before", "after")]


def test_the_tested_steps_cover_every_write(platform: Platform) -> None:
    key = str(uuid.uuid4())
    alive = _run_dying(platform, 0, key, _payment(100, key))
    assert alive.returncode == 0, alive.stderr[-2000:]
    assert alive.stderr.count("reached") == len(STEPS)


@pytest.mark.parametrize("step", range(1, len(STEPS) + 1), ids=STEPS)
def test_a_payment_killed_at_any_write_is_completed_once_by_its_retry(step: int, platform: Platform) -> None:
    # Given a function that dies at the step
    key = str(uuid.uuid4())
    body = _payment(100 + step, key)
    died = _run_dying(platform, step, key, body)
    assert died.returncode == EXIT_CODE, died.stderr[-2000:]
    assert died.stderr.count("reached") == step
    # When the client repeats the request until it is no longer in flight
    api = platform.api()
    reply = api.post("/process", body, key=key)
    for _ in range(20):
        if reply.status != 409:
            break
        time.sleep(int(reply.headers["retry-after"]))
        reply = api.post("/process", body, key=key)
    # Then it is answered, and there is one settled transaction and one audit record of it
    assert (reply.status, reply.body["status"]) == (201, "approved")
    [transaction] = _transactions(platform, body)
    assert transaction["transaction_id"]["S"] == reply.body["transaction_id"]
    assert transaction["status"]["S"] == "approved"
    records = _audit_records(platform, reply.body["transaction_id"])
    assert records == [transaction["audit_key"]["S"]]
    # And a decision before the death was kept
    if step > 5:
        assert reply.body["request_id"] == "00000000-0000-0000-0000-00000000dead"


def _payment(number: int, reference: str) -> dict[str, Any]:
    return {
        "customer_id": f"load-{number:05}",
        "amount": "12.50",
        "currency": "USD",
        "card_number": card_number(number),
        "client_ip": client_address(number),
        "merchant_reference": reference,
    }


def _run_dying(platform: Platform, step: int, key: str, body: dict[str, Any]) -> "subprocess.CompletedProcess[str]":
    return run_dying(platform, step, "/process", "processing", key, body)


def run_dying(
    platform: Platform, step: int, path: str, folder: str, key: str, body: dict[str, Any]
) -> "subprocess.CompletedProcess[str]":
    """Send a request to the function of ``folder`` in a process that dies at ``step``; 0: it does not die."""
    functions: Any = platform.client("lambda")
    name = f"payment-{folder}-{platform.cloud.name}"
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    event = {
        "requestContext": {"elb": {}},
        "httpMethod": "POST",
        "path": path,
        "multiValueHeaders": {
            "content-type": ["application/json"],
            "idempotency-key": [key],
            "x-caller": [platform.cloud.account],
            "x-caller-arn": [f"arn:aws:iam::{platform.cloud.account}:root"],
        },
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }
    environ = variables | platform.environ | {"DATABASE_CA_BUNDLE": platform.cloud.environ()["AWS_CA_BUNDLE"]}
    command = [sys.executable, str(DYING_FUNCTION), str(step), json.dumps(event), folder]
    return subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True)


def _transactions(platform: Platform, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The transactions of the payment, by the merchant's own reference."""
    items = platform.transactions(body["customer_id"])
    return [item for item in items if item.get("merchant_reference") == {"S": body["merchant_reference"]}]


def _audit_records(platform: Platform, transaction_id: str) -> list[str]:
    s3: Any = platform.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=platform.outputs["AuditLogBucket"])
    keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
    return [key for key in keys if transaction_id in key]
