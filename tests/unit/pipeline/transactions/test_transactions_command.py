"""``python -m pipeline.transactions``: what it asks the API, what it shows, and what it ends with."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.credentials import Credentials
from urllib3.exceptions import MaxRetryError

from names import Staff
from pipeline.transactions import client as module
from pipeline.transactions.__main__ import main
from pipeline.transactions.client import Client, Reply

ID = "txn_" + "a" * 32
TRANSACTION = {
    "transaction_id": ID, "status": "approved", "settled": True, "created_at": "2026-11-28T12:00:00.000000Z",
    "amount": "12.50", "left": "12.50", "currency": "USD", "customer_id": "cust-1", "merchant_id": "shop",
    "reasons": [],
}  # fmt: skip
AMENDED = {
    "transaction_id": ID, "number": 1, "kind": "refund", "status": "refunded", "amount": "12.50", "left": "0.00",
    "currency": "USD", "created_at": "2026-11-28T13:00:00.000000Z",
}  # fmt: skip


class Api:
    """Answers the requests in turn, and keeps them."""

    def __init__(self, *replies: Reply) -> None:
        self._replies = list(replies)
        self.asked: list[tuple[Any, ...]] = []
        self.staff: Staff | None = None

    def __getattr__(self, name: str) -> Callable[..., Reply]:
        def ask(*arguments: Any, **query: Any) -> Reply:
            self.asked.append((name, *arguments, *([dict(query)] if query else [])))
            return self._replies.pop(0)

        return ask

    def run(self, *arguments: str) -> int:
        def client(environment: Any, staff: Staff) -> Any:
            self.staff = staff
            return self

        return main(["--env", "dev", *arguments], client)


def test_a_list_goes_on_until_there_is_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    page = {"transactions": [TRANSACTION]}
    api = Api(Reply(200, {**page, "cursor": "next"}), Reply(200, page))
    assert api.run("list", "--status", "review", "--from", "2026-11-01") == 0
    assert api.asked == [
        ("search", {"status": "review", "from": "2026-11-01"}),
        ("search", {"status": "review", "from": "2026-11-01", "cursor": "next"}),
    ]
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_transaction_is_shown_with_its_history_and_text_of_others_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    done = {"number": 1, "created_at": "t", "kind": "refund", "party": "merchant", "amount": "2.50"}
    history = [{**done, "status": "partly_refunded", "reason": "\x1b[2J<b>"}]
    api = Api(Reply(200, {**TRANSACTION, "left": "10.00", "settled": False, "history": history}))
    assert api.run("get", ID) == 0
    shown = capsys.readouterr().out
    assert f"{ID}  approved  12.50  USD  left 10.00  (being recorded: ask again)  customer_id cust-1" in shown
    assert '"\\u001b[2J<b>"' in shown
    assert "\x1b" not in shown


REFUND = {"kind": "refund", "reason": "why"}


@pytest.mark.parametrize(
    ("arguments", "asked", "staff"),
    [
        (["decide", ID, "approve"], ("decide", ID, "approve", "why"), Staff.REVIEWER),
        (["reverse", ID, "--void"], ("reverse", ID, {"kind": "void", "reason": "why"}, "k"), Staff.OPERATOR),
        (["reverse", ID, "--refund"], ("reverse", ID, REFUND, "k"), Staff.OPERATOR),
        (["reverse", ID, "--refund", "2.50"], ("reverse", ID, {**REFUND, "amount": "2.50"}, "k"), Staff.OPERATOR),
    ],
)
def test_each_command_asks_in_its_role(arguments: list[str], asked: tuple[Any, ...], staff: Staff) -> None:
    api = Api(Reply(201, AMENDED))
    key = ("--key", "k") if staff is Staff.OPERATOR else ()
    assert api.run(*arguments, "--reason", "why", *key) == 0
    assert (api.asked, api.staff) == ([asked], staff)


def test_the_key_of_a_reversal_is_known_before_it_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    # Given a reversal without an answer
    api = Api(Reply(503, {"title": "The service can't answer now"}))
    assert api.run("reverse", ID, "--void", "--reason", "why") == 3
    # Then its key was printed, with which it can be given again
    [(_, _, _, key)] = api.asked
    said = capsys.readouterr().err
    assert f"key {key}" in said
    assert "give the same command again" in said


@pytest.mark.parametrize(
    ("reply", "code", "said"),
    [
        (
            Reply(409, {"title": "The transaction does not stand in review"}),
            1,
            "refused: The transaction does not stand",
        ),
        (Reply(422, {"title": "No", "errors": [{"field": "/amount", "detail": "More."}]}), 1, "No (/amount: More.)"),
        (Reply(403, {"message": "Forbidden"}), 1, "refused: Forbidden"),
        (Reply(429, {"title": "Too many"}), 3, "no answer: status 429"),
        (Reply(502, None), 3, "no answer: status 502"),
    ],
)
def test_a_refusal_is_told_apart_from_no_answer(
    reply: Reply, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Api(reply).run("decide", ID, "approve", "--reason", "why") == code
    assert said in capsys.readouterr().err


def test_an_api_that_is_out_of_reach_is_no_answer(capsys: pytest.CaptureFixture[str]) -> None:
    def unreachable(*_: Any) -> Any:
        raise MaxRetryError(None, "/")  # type: ignore[arg-type]

    assert main(["--env", "dev", "get", ID], unreachable) == 3
    assert "no answer" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["list", "--status", "review", "--customer", "c"],
        ["reverse", ID, "--reason", "why"],
        ["reverse", ID, "--void", "--refund", "1", "--reason", "why"],
        ["decide", ID, "maybe", "--reason", "why"],
        ["decide", ID, "approve"],
    ],
)
def test_a_command_that_makes_no_sense_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        Api().run(*arguments)


def test_a_request_is_signed_with_its_query_and_its_key_and_sent_to_the_local_cloud(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[tuple[Any, ...]] = []

    class Pool:
        def __init__(self, **_: Any) -> None: ...

        def request(self, method: str, url: str, **options: Any) -> Any:
            sent.append((method, url, options["headers"], options["body"]))
            return type("Answer", (), {"status": 200, "data": b'{"transactions": []}'})

    monkeypatch.setattr(module.urllib3, "PoolManager", Pool)
    client = Client(
        "https://abcdefgh.execute-api.eu-west-1.amazonaws.com/dev/", Credentials("AKID", "secret"),
        {"AWS_ENDPOINT_URL": "https://127.0.0.1:4571"},
    )  # fmt: skip
    client.search(status="review", cursor="a")
    client.reverse(ID, {"kind": "void"}, "key")
    (method, url, headers, _), (_, second, keyed, body) = sent
    assert (method, url) == ("GET", "https://127.0.0.1:4571/dev/transactions?cursor=a&status=review")
    assert headers["Host"] == "abcdefgh.execute-api.eu-west-1.amazonaws.com"
    assert "/eu-west-1/execute-api/" in headers["Authorization"]
    assert (second.rpartition("/")[2], json.loads(body)) == ("reversal", {"kind": "void"})
    assert "idempotency-key" in keyed["Authorization"]
