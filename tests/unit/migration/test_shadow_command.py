"""``python -m migration shadow``: the old system's decisions beside those of the platform's own functions."""

import io
import itertools
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from urllib3.exceptions import HTTPError, ProtocolError

from lambdas.adapters.directory import PostgresDirectory
from lambdas.fraud_detection import handler as fraud_detection
from lambdas.payments.callers import Caller
from lambdas.payments.examination import Examiner
from lambdas.validation import handler as validation
from migration import __main__ as command_line
from migration import shadow
from migration.outcome import ExitCode, Unavailable
from migration.parity import OLD, Parity
from migration.shadow import ROUTES, compare
from pipeline.transactions.client import Reply
from tests.oldsystem.population import populate
from tests.oldsystem.service import Service
from tests.unit.lambdas.stores import MemoryLedger, MemorySecret
from tests.unit.lambdas.test_fraud import RULES
from tests.unit.lambdas.test_idempotency_scope import CONTEXT
from tests.unit.lambdas.test_shadow import ROLE, SESSION
from tests.unit.migration.sides import Sides

CARD = "4111111111111111"
CARDS = (CARD, "5555555555554444", "378282246310005", "4111111111111112", "6759649826438453")


class Candidate:
    """The candidate's two functions on the platform's database. ``trouble`` replaces an answer by route and call."""

    def __init__(self, sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SHADOW_ROLE_ARN", ROLE)
        monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Payments")
        self.connection = sides.platform()
        self.connection.run("START TRANSACTION")
        database: Any = SimpleNamespace(query=self.connection.run)
        self.velocity = MemoryLedger()
        examiner = Examiner(PostgresDirectory(database), self.velocity, lambda: RULES, MemorySecret().keyring())
        self._handlers: dict[str, Any] = {"/validate": validation.handler, "/fraud-check": fraud_detection.handler}
        for module in (validation, fraud_detection):
            monkeypatch.setattr(module, "_examiner", lambda: examiner)
        self._one_at_a_time = threading.Lock()
        self.trouble: dict[str, Iterator[Reply | Exception | None]] = {}
        self.calls = 0

    def send(self, method: str, target: str, body: Any, headers: Mapping[str, str]) -> Reply:
        with self._one_at_a_time:
            self.calls += 1
            instead = next(self.trouble.get(target, iter(())), None)
            if isinstance(instead, Exception):
                raise instead
            if instead is not None:
                return instead
            event = {
                "requestContext": {"requestId": "r-1", "identity": {"caller": "AROAX:s", "userArn": SESSION}},
                "httpMethod": method, "isBase64Encoded": False, "path": target, "body": json.dumps(body),
                "multiValueHeaders": {
                    "content-type": ["application/json"], **{name: [value] for name, value in headers.items()}
                },
            }  # fmt: skip
            answer = self._handlers[target](event, SimpleNamespace(**vars(CONTEXT)))
            return Reply(answer["statusCode"], json.loads(answer["body"]))


@pytest.fixture(scope="module")
def moved(both: Sides) -> Sides:
    both.clear()
    connection = both.old.connect()
    populate(connection, customers=150, merchants=4)
    connection.close()
    both.move()
    return both


@pytest.fixture
def candidate(moved: Sides, monkeypatch: pytest.MonkeyPatch) -> Iterator[Candidate]:
    monkeypatch.setattr(shadow, "_RETRY_SECONDS", 0.0)
    candidate = Candidate(moved, monkeypatch)
    yield candidate
    candidate.connection.close()  # what was changed and not committed is as before


@pytest.fixture(scope="module")
def recording(moved: Sides) -> str:
    """What the old system recorded of payments of many kinds."""
    record = io.StringIO()
    service = Service(moved.old.url, "m-001", record)
    amounts = ("0.50", "25.00", 280.5, "9000.00", "10500.00")
    for number, amount in itertools.product(range(1, 151, 3), amounts):
        body = {
            "customer_id": f"c-{number:07d}" if number % 13 else "c-none", "amount": amount,
            "currency": ("EUR", "USD", "GBP", "PLN")[number % 4], "card_number": CARDS[number % 7 % len(CARDS)],
            **({"country": "US"} if number % 2 else {}), **({"card_expiry": "2020-01"} if number % 11 == 0 else {}),
        }  # fmt: skip
        headers = {"X-Merchant": f"m-{1 + number % 4:03d}", "Idempotency-Key": f"{number} {amount}"}
        service.answer("/process", headers, json.dumps(body).encode())
    return record.getvalue()


def test_a_caller_is_of_its_own_merchant_before_its_account_s_and_a_shadow_of_the_named_one(moved: Sides) -> None:
    # Given a role of a merchant, in an account that is another merchant's
    connection = moved.platform()
    connection.run("START TRANSACTION")
    account, role = "111111111111", "arn:aws:iam::111111111111:role/shop"
    connection.run("INSERT INTO merchant_principals VALUES (:account, 'm-001'), (:role, 'm-002')",
                   account=account, role=role)  # fmt: skip
    database: Any = SimpleNamespace(query=connection.run)

    def merchant_of(caller: Caller) -> str | None:
        found = PostgresDirectory(database).find(caller, "c-0000001")
        return found.merchant.merchant_id if found else None

    # Then
    session = "arn:aws:sts::111111111111:assumed-role/shop/s"
    assert merchant_of(Caller("AROA:s", session)) == "m-002"
    assert merchant_of(Caller("AIDA", "arn:aws:iam::111111111111:user/x")) == "m-001"
    assert merchant_of(Caller("AIDA", "arn:aws:iam::222222222222:user/x")) is None
    assert merchant_of(Caller("AROA:s", session, shadow_of="m-003")) == "m-003"
    assert merchant_of(Caller("AROA:s", session, shadow_of="m-404")) is None
    connection.close()


def compared(recording: str, candidate: Candidate, *expected: str, concurrency: int = 4) -> Parity:
    parity = Parity(expected)
    compare(io.StringIO(recording), candidate, parity, rate=1e6, concurrency=concurrency)
    return parity


def test_systems_with_the_same_data_and_rules_decide_alike(recording: str, candidate: Candidate) -> None:
    parity = compared(recording, candidate)
    requests = recording.count("\n")
    assert (parity.compared, parity.alike, parity.causes) == (requests, requests, [])
    assert requests > 200
    outcomes = {(line["decision"], *line["reasons"]) for line in map(json.loads, recording.splitlines())}
    assert len(outcomes) > 10, outcomes  # of all kinds, or the agreement would prove little
    assert {name: len(found) for name, found in parity.latencies.items()} == dict.fromkeys((OLD, *ROUTES), requests)
    assert (candidate.velocity.watched, candidate.velocity.states) == ({}, {})


def test_each_planted_difference_is_found_under_its_cause(recording: str, candidate: Candidate) -> None:
    # Given a customer whose block was lost here, and a merchant that lost a currency
    platform = candidate.connection
    platform.run("UPDATE customers SET status = 'active' WHERE status = 'blocked'")
    platform.run("UPDATE merchants SET allowed_currencies = '{EUR,JPY,USD}' WHERE merchant_id = 'm-003'")
    lines = [json.loads(line) for line in recording.splitlines()]
    unblocked = [line for line in lines if line["request"]["customer_id"] in ("c-0000050", "c-0000100")]
    unblocked = [line for line in unblocked if "customer_not_active" in line["reasons"]]
    pounds = [line for line in lines if (line["merchant_id"], line["request"]["currency"]) == ("m-003", "GBP")]
    # When the recording is replayed
    parity = compared(recording, candidate)
    # Then the payments of these differ and no others, each under its cause
    assert len(unblocked) > 0 < len(pounds)
    assert parity.differences == len(unblocked) + len(pounds)
    by_code = {
        code: sum(cause.requests for cause in parity.causes if code in cause.text)
        for code in ("customer_not_active only there", "currency_not_allowed_for_merchant only here")
    }
    assert [*by_code.values()] == [len(unblocked), len(pounds)]
    assert compared(recording, candidate, "customer_not_active").differences == len(pounds)


def one_line(**changes: Any) -> str:
    request = {"customer_id": "c-0000001", "amount": "1.00", "currency": "EUR", "card_number": CARD}
    line = {"merchant_id": "m-001", "request": request | changes, "decision": "approved", "reasons": []}
    return json.dumps(line) + "\n"


ERROR = Reply(503, {"type": "urn:problem-type:payments:unavailable"})


@pytest.mark.parametrize("trouble", [ERROR, Reply(429, None), Reply(502, None), ProtocolError("cut off")])
def test_a_request_without_an_answer_is_sent_again_and_then_unknown(candidate: Candidate, trouble: Any) -> None:
    candidate.trouble["/validate"] = iter([trouble])
    assert compared(one_line(), candidate).alike == 1
    candidate.trouble["/validate"] = iter([trouble, trouble])
    parity = compared(one_line(), candidate)
    assert (parity.compared, parity.unknown.total()) == (0, 1)
    assert isinstance(trouble, HTTPError) or str(trouble.status) in next(iter(parity.unknown))


def test_a_request_that_is_refused_here_is_a_difference(candidate: Candidate) -> None:
    [cause] = compared(one_line(amount="1.001"), candidate).causes
    assert cause.text == "approved there, refused here; amount_too_precise only here"


def test_who_may_not_ask_is_told_at_once(candidate: Candidate) -> None:
    refused = Reply(403, {"type": "urn:problem-type:payments:shadow-not-allowed"})
    candidate.trouble["/validate"] = itertools.repeat(refused)
    with pytest.raises(Unavailable, match="shadow_not_allowed"):
        compared(one_line() * 500, candidate)
    assert candidate.calls < 100


def test_ctrl_c_ends_a_live_comparison_with_what_is_known(candidate: Candidate) -> None:
    def live() -> Iterator[str]:
        yield from [one_line()] * 10
        raise KeyboardInterrupt

    parity = Parity()
    with suppress(KeyboardInterrupt):
        compare(live(), candidate, parity, rate=1e6, concurrency=2)
    assert parity.compared == 10


def test_the_rate_is_kept(candidate: Candidate, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(shadow.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(shadow.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    compare(io.StringIO(one_line() * 40), candidate, Parity(), rate=20, concurrency=2)
    assert clock[0] == pytest.approx(39 / 20)


@pytest.mark.parametrize(
    ("text", "options", "code"),
    [
        (one_line() * 60, ("--most", "5"), ExitCode.DONE),
        (one_line() * 60, (), ExitCode.INCONCLUSIVE),
        (one_line(card_number="4111111111111112") * 60, ("--most", "5"), ExitCode.FAILED),
        ("", (), ExitCode.INCONCLUSIVE),
        (f"{CARD}\n" * 60, ("--most", "5"), ExitCode.INCONCLUSIVE),
    ],
    ids=["pass", "too few", "fail", "empty", "unreadable"],
)
def test_the_command_judges_and_leaves_reports_without_card_numbers(
    text: str, options: tuple[str, ...], code: ExitCode, candidate: Candidate, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(shadow, "_api", lambda environment, connections: candidate)
    (tmp_path / "requests.jsonl").write_text(text)
    arguments = [
        "shadow",
        "--env",
        "dev",
        str(tmp_path / "requests.jsonl"),
        "--rate",
        "1000",
        "--reports",
        str(tmp_path),
    ]
    assert command_line.main([*arguments, *options]) == code
    report, page = (tmp_path / "shadow.json").read_text(), (tmp_path / "shadow.html").read_text()
    assert json.loads(report)["requests"] == text.count("\n")
    assert json.loads(report)["statement"] in page
    printed = capsys.readouterr()
    assert not [each for each in (report, page, printed.out, printed.err) if CARD[:-1] in each]


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "_api", lambda environment, connections: None)
    arguments = ["shadow", "--env", "dev", str(tmp_path / "none"), "--reports", str(tmp_path)]
    assert command_line.main(arguments) == ExitCode.UNAVAILABLE
