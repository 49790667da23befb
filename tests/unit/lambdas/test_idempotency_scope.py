"""A key belongs to the principal that signed, in any of its sessions."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from aws_lambda_powertools.utilities import idempotency
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyItemAlreadyExistsError,
    IdempotencyItemNotFoundError,
)
from aws_lambda_powertools.utilities.idempotency.persistence.base import BasePersistenceLayer, DataRecord

from lambdas.adapters import aws
from lambdas.adapters.idempotency import Idempotency
from lambdas.payments.examination import Keyring
from lambdas.processing import handler as processing
from tests.unit.lambdas.stores import KillAt, Killed
from tests.unit.lambdas.test_processing import START, Bench

KEY = "order-1"


class MemoryRecords(BasePersistenceLayer):
    """Idempotency records in memory. It replaces the table."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()
        self.records: dict[str, DataRecord] = {}

    def _get_record(self, idempotency_key: str) -> DataRecord:
        try:
            return self.records[idempotency_key]
        except KeyError:
            raise IdempotencyItemNotFoundError from None

    def _put_record(self, data_record: DataRecord) -> None:
        if data_record.idempotency_key in self.records:
            raise IdempotencyItemAlreadyExistsError
        self._update_record(data_record)

    def _update_record(self, data_record: DataRecord) -> None:
        self.records[data_record.idempotency_key] = data_record

    def _delete_record(self, data_record: DataRecord) -> None:
        del self.records[data_record.idempotency_key]


class Platform:
    """``POST /process`` on stores in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("IDEMPOTENCY_TABLE", "it")
        monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Payments")
        monkeypatch.setattr(aws, "client", lambda service: None)
        self.idempotency = MemoryRecords()
        monkeypatch.setattr(idempotency, "DynamoDBPersistenceLayer", lambda *_, **__: self.idempotency)
        self.bench = Bench()
        self._requests = 0
        self.keyring = self.bench.secret.keyring()
        monkeypatch.setattr(processing, "_services", lambda: self._services)
        self.use(self.keyring)

    def read_keys_again(self) -> None:
        """As after five minutes, or in a new execution environment."""
        self.use(self.bench.secret.keyring())

    def use(self, keyring: Keyring) -> None:
        """Go on with a function that has read these card keys."""
        self.keyring = keyring
        self._services = (Idempotency(), self.bench.function(keyring), keyring)

    def pay(self, caller: str, amount: str = "12.50") -> tuple[int, dict[str, Any], bool]:
        """Status and body of the answer, and whether it is marked as a replay."""
        self._requests += 1
        body = {"customer_id": "c", "amount": amount, "currency": "USD", "card_number": "4111111111111111"}
        event = {
            "requestContext": {"elb": {}},
            "httpMethod": "POST",
            "path": "/process",
            "multiValueHeaders": {
                "content-type": ["application/json"], "x-caller": [caller],
                "x-caller-arn": [f"arn:aws:iam::111111111111:user/{caller}"], "idempotency-key": [KEY],
                "x-request-id": [f"request-{self._requests}"],
            },
            "body": json.dumps(body),
            "isBase64Encoded": False,
        }  # fmt: skip
        answer = processing.handler(event, CONTEXT)
        return answer["statusCode"], json.loads(answer["body"]), "Idempotent-Replayed" in answer["multiValueHeaders"]

    @property
    def audited_callers(self) -> list[str]:
        return [json.loads(record.body)["caller"] for record in self.bench.audit_log.records.values()]


CONTEXT = SimpleNamespace(
    aws_request_id="00000000-0000-0000-0000-000000000001",
    function_name="payment-processing-dev",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:us-east-1:111111111111:function:payment-processing-dev",
    get_remaining_time_in_millis=lambda: 15000,
)


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Platform:
    return Platform(monkeypatch)


@pytest.mark.parametrize("kept", [True, False], ids=["answer kept", "answer expired"])
def test_a_role_s_retry_in_another_session_gets_the_first_answer(kept: bool, platform: Platform) -> None:
    # Given a payment made by a process whose SDK named its session
    first = platform.pay("AROAMERCHANT:botocore-session-1763850000")
    if not kept:
        platform.idempotency.records.clear()
    # When the process restarts and repeats the request in a session with another name
    again = platform.pay("AROAMERCHANT:botocore-session-1763850042")
    # Then there is one payment, its first answer is repeated, and its record names the first session
    assert (first[0], again) == (201, (201, first[1], True))
    assert len(platform.idempotency.records) == len(platform.bench.ledger.items) == 1
    assert platform.audited_callers == ["AROAMERCHANT:botocore-session-1763850000"]


def test_until_the_first_rotation_ids_are_those_of_the_release_before(platform: Platform) -> None:
    # Given values that the release before keyed ids wrote for this request, under the secret "k" * 64
    record = "process#cc7c3e79db64fbac50e67faf5c26048d750bded0f2a894fe23ea4096da4ee6ef"
    transaction = "txn_cc1229cab56d27e8607d4f4be3d7307a"
    # Then this release writes the same, so that each finds the other's payments while one replaces the other
    platform.pay("AIDASHOP")
    assert list(platform.idempotency.records) == [record]
    assert list(platform.bench.ledger.items) == [transaction]
    # And after the rotation other ones, under which the payment is still found
    platform.bench.secret.rotate(START)
    platform.read_keys_again()
    assert platform.pay("AIDASHOP")[2]
    assert list(platform.bench.ledger.items) == [transaction]
    assert len(platform.idempotency.records) == 2


def test_a_card_number_in_a_session_s_name_is_not_recorded(platform: Platform) -> None:
    status, _, _ = platform.pay("AROAMERCHANT:till-5555555555554444")
    assert (status, platform.audited_callers) == (201, ["AROAMERCHANT:till-****4444"])


def test_another_session_of_a_role_completes_a_payment_after_a_crash(platform: Platform) -> None:
    # Given a function that died with a pending transaction, and an expired lock
    platform.bench.audit_log.hook = KillAt(1)
    with pytest.raises(Killed):
        platform.pay("AROAMERCHANT:i-0123456789abcdef0")
    platform.bench.audit_log.hook = KillAt(0)
    platform.idempotency.records.clear()
    # When another session of the role repeats the request
    status, body, _ = platform.pay("AROAMERCHANT:i-0fedcba9876543210")
    # Then the payment is completed, and there is no second one
    assert (status, body["status"]) == (201, "approved")
    platform.bench.assert_sound()
    assert platform.bench.ledger.settled_count == len(platform.bench.ledger.items) == 1


def test_another_payment_under_a_key_of_the_role_is_refused_in_any_session(platform: Platform) -> None:
    platform.pay("AROAMERCHANT:one")
    assert platform.pay("AROAMERCHANT:two", amount="12.51")[0] == 422


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("AROAMERCHANT:session", "AROAANOTHER:session"),
        ("AIDAMERCHANT", "AIDAANOTHER"),
        ("AIDAMERCHANT", "111111111111"),
        ("111111111111:merchant", "111111111111:another"),
    ],
    ids=["roles", "users", "user and account", "federated users of an account"],
)
def test_principals_do_not_share_keys(one: str, other: str, platform: Platform) -> None:
    mine, theirs = platform.pay(one), platform.pay(other, amount="99.00")
    assert (mine[0], theirs[0]) == (201, 201)
    assert mine[1]["transaction_id"] != theirs[1]["transaction_id"]
    assert platform.audited_callers == [one, other]
