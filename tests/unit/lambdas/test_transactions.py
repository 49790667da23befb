"""The routes under ``/transactions``: who may see and do what, pages and cursors, and attacks on them."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambdas.payments.amending import Amender
from lambdas.payments.merchants import Parties as Pair
from lambdas.payments.parties import Parties
from lambdas.payments.transactions import timestamp
from lambdas.transactions import handler as transactions
from tests.unit.lambdas.entries import MemoryEntries
from tests.unit.lambdas.stores import MERCHANT, MemoryDirectory
from tests.unit.lambdas.test_contract import DOCUMENT, OPERATIONS, resolved
from tests.unit.lambdas.test_processing import Bench

SHOP, RIVAL = "arn:aws:iam::111111111111:user/shop", "arn:aws:iam::111111111111:user/rival"
STRANGER = "arn:aws:iam::111111111111:user/stranger"
REVIEWER, OPERATOR = (
    f"arn:aws:sts::111111111111:assumed-role/payment-{role}-dev/ann" for role in ("reviewer", "operator")
)
CONTEXT = SimpleNamespace(
    aws_request_id="00000000-0000-0000-0000-000000000001",
    function_name="payment-transactions-dev",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:us-east-1:111111111111:function:payment-transactions-dev",
)
CARD = "5555555555554444"
DAY = datetime(2026, 11, 22, tzinfo=UTC)
STRETCH = {"from": "2026-11-22", "to": "2026-11-23"}


class Directory(MemoryDirectory):
    """The callers shop and rival have a merchant each, and nobody else has one."""

    def find(self, caller: Any, customer_id: str) -> Pair | None:
        name = caller.arn.rpartition("/")[2]
        return super().find(caller, customer_id) if name in self.merchants else None


class Desk:
    """The function on stores in memory, with thirty payments of the shop, a minute apart, and one of its rival."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *, four_eyes: bool = False, source_amends: bool = False
    ) -> None:
        monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Payments")
        bench = Bench()
        self.entries = bench.ledger = MemoryEntries()
        self.directory = bench.directory = Directory()
        self.directory.merchants |= {name: replace(MERCHANT, merchant_id=name) for name in ("shop", "rival")}
        self.now = DAY + timedelta(hours=13)
        amender = Amender(
            self.entries, bench.audit_log, self.entries, four_eyes=four_eyes, source_amends=source_amends,
            clock=lambda: self.now,
        )  # fmt: skip
        roles = {role: f"arn:aws:iam::111111111111:role/payment-{role}-dev" for role in ("reviewer", "operator")}
        parties = Parties(self.directory, reviewers=roles["reviewer"], operators=roles["operator"])
        services = transactions.Services(parties, amender, self.entries)
        monkeypatch.setattr(transactions, "_services", lambda: services)
        monkeypatch.setattr(transactions, "utc_now", lambda: self.now)
        function = bench.function()
        self.ids = [
            bench.pay(function, key=f"key {n}", caller="shop", customer_id=f"c{n % 3}").transaction_id
            for n in range(30)
        ]
        self.rivals = bench.pay(function, caller="rival", customer_id="c0").transaction_id
        self._requests = 0

    def stands(self, status: str, id: str | None = None) -> str:
        """Make a transaction of the shop stand so, by default the first. Returns its id."""
        id = id or self.ids[0]
        self.entries.items[id] = replace(self.entries.items[id], status=status, outcome=status)
        return id

    def call(
        self, method: str, path: str, arn: str = SHOP, body: Any = None, key: str | None = None, **query: Any
    ) -> "Reply":
        self._requests += 1
        caller = (
            f"AROA{arn.split('/')[1].upper()}:{arn.split('/')[2]}" if "assumed-role" in arn else arn.rpartition("/")[2]
        )
        headers = {"Content-Type": ["application/json"]} if body is not None else {}
        answer = transactions.handler(
            {
                "requestContext": {
                    "requestId": f"request-{self._requests}", "identity": {"caller": caller, "userArn": arn},
                },
                "httpMethod": method,
                "path": path,
                "multiValueHeaders": headers | ({"Idempotency-Key": [key]} if key else {}),
                "multiValueQueryStringParameters": {
                    name: value if isinstance(value, list) else [str(value)] for name, value in query.items()
                } or None,
                "body": body if isinstance(body, str) or body is None else json.dumps(body),
                "isBase64Encoded": False,
            },
            CONTEXT,
        )  # fmt: skip
        document = json.loads(answer["body"])
        assert_documented(method, path, answer["statusCode"], document)
        return Reply(answer["statusCode"], document, "Idempotent-Replayed" in answer["multiValueHeaders"])

    def search(self, arn: str = SHOP, **query: Any) -> "Reply":
        return self.call("GET", "/transactions", arn, **query)

    def get(self, id: str, arn: str = SHOP) -> "Reply":
        return self.call("GET", f"/transactions/{id}", arn)

    def reverse(self, id: str, arn: str = SHOP, key: str | None = "key", **body: Any) -> "Reply":
        return self.call("POST", f"/transactions/{id}/reversal", arn, {"reason": "why", **body}, key)

    def decide(self, id: str, decision: str = "approve", arn: str = REVIEWER, **body: Any) -> "Reply":
        return self.call("POST", f"/transactions/{id}/decision", arn, {"decision": decision, "reason": "why", **body})


class Reply(SimpleNamespace):
    def __init__(self, status: int, body: dict[str, Any], replayed: bool) -> None:
        super().__init__(status=status, body=body, replayed=replayed)

    @property
    def problem(self) -> str:
        return str(self.body["type"]).rpartition(":")[2]

    @property
    def ids(self) -> list[str]:
        return [each["transaction_id"] for each in self.body["transactions"]]


def assert_documented(method: str, path: str, status: int, document: Any) -> None:
    """The answer is as the contract says."""
    parts = path.strip("/").split("/")
    template = "/".join(["", *(("{transaction_id}" if n == 1 else part) for n, part in enumerate(parts))])
    answer = resolved(OPERATIONS[f"{method} {template}"]["responses"][str(status)])
    [content] = answer["content"].values()
    jsonschema.validate(document, content["schema"])


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(monkeypatch)


def test_a_merchant_sees_its_own_transaction(desk: Desk) -> None:
    reply = desk.get(desk.ids[0])
    assert (reply.status, reply.body["status"], reply.body["settled"]) == (200, "approved", True)
    assert (reply.body["amount"], reply.body["left"], reply.body["card"]["last4"]) == ("12.50", "12.50", "1111")
    assert reply.body["history"] == []


@pytest.mark.parametrize("id", ["another's", "txn_" + "0" * 32, "nonsense", "txn_" + "0" * 3000, CARD, "%2e%2e"])
def test_another_merchant_s_id_is_unknown_like_any_that_does_not_exist(id: str, desk: Desk) -> None:
    id = desk.rivals if id == "another's" else id
    key = {"kind": "void"}
    replies = [desk.get(id), desk.reverse(id, **key)]
    assert {(reply.status, reply.problem) for reply in replies} == {(404, "transaction-unknown")}
    assert replies[0].body.keys() == {"type", "title", "status", "request_id"}
    assert desk.entries.entry(desk.rivals).history == ()


@pytest.mark.parametrize("arn", [REVIEWER, OPERATOR])
def test_reviewers_and_operators_see_all(arn: str, desk: Desk) -> None:
    assert desk.get(desk.rivals, arn).status == 200
    assert set(desk.search(arn, customer_id="c0", **STRETCH).ids) == {*desk.ids[::3], desk.rivals}


def test_a_caller_of_no_merchant_sees_nothing(desk: Desk) -> None:
    replies = [desk.get(desk.ids[0], STRANGER), desk.search(STRANGER, status="approved")]
    assert {(reply.status, reply.problem) for reply in replies} == {(403, "caller-unknown")}


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::111111111111:user/payment-reviewer-dev",
        "arn:aws:sts::222222222222:assumed-role/payment-reviewer-dev/ann",
        "arn:aws:sts::111111111111:assumed-role/payment-reviewer-prod/ann",
    ],
)
def test_who_is_named_like_a_reviewer_is_none(arn: str, desk: Desk) -> None:
    assert desk.decide(desk.stands("review"), arn=arn).problem == "caller-unknown"


def test_only_a_reviewer_decides_and_a_reviewer_reverses_nothing(desk: Desk) -> None:
    id = desk.stands("review")
    assert [desk.decide(id, arn=arn).problem for arn in (SHOP, OPERATOR)] == ["reviewers-only"] * 2
    assert desk.reverse(id, REVIEWER, kind="void").problem == "reversal-not-allowed"
    assert desk.decide(id).body["status"] == "approved"


def test_a_suspended_merchant_looks_up_and_reverses_nothing(desk: Desk) -> None:
    desk.directory.merchants["shop"] = replace(MERCHANT, merchant_id="shop", status="suspended")
    assert desk.get(desk.ids[0]).status == 200
    assert desk.reverse(desk.ids[0], kind="void").problem == "merchant-not-active"
    assert desk.reverse(desk.ids[0], OPERATOR, kind="void").status == 201


def test_a_decision_and_a_reversal_stand_in_the_history(desk: Desk) -> None:
    id = desk.stands("review")
    decided = desk.decide(id, reason="He called <script>")
    part = desk.reverse(id, kind="refund", amount="2.50")
    assert (decided.status, part.status) == (201, 201)
    assert (part.body["status"], part.body["amount"], part.body["left"]) == ("partly_refunded", "2.50", "10.00")
    history = desk.get(id).body["history"]
    assert [(each["kind"], each["party"], each["reason"]) for each in history] == [
        ("approve", "reviewer", "He called <script>"), ("refund", "merchant", "why"),
    ]  # fmt: skip


def test_a_repeated_reversal_gets_the_first_answer_also_after_others(desk: Desk) -> None:
    first = desk.reverse(desk.ids[0], kind="refund", amount="2.50")
    desk.reverse(desk.ids[0], kind="refund", amount="1.00", key="other")
    again = desk.reverse(desk.ids[0], kind="refund", amount="2.50")
    assert (again.body, again.replayed, first.replayed) == (first.body, True, False)


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        ({"kind": "refund", "amount": "-1"}, 422, "amount-not-positive"),
        ({"kind": "refund", "amount": -1}, 422, "amount-not-positive"),
        ({"kind": "refund", "amount": 0}, 422, "amount-not-positive"),
        ({"kind": "refund", "amount": "99999999999999999"}, 422, "amount-malformed"),
        ({"kind": "refund", "amount": int(CARD)}, 422, "amount-malformed"),
        ({"kind": "refund", "amount": "12.51"}, 422, "amount-over-rest"),
        ({"kind": "refund", "amount": "0.001"}, 422, "amount-too-precise"),
        ({"kind": "void", "amount": "1.00"}, 422, "amount-of-void"),
        ({"kind": "chargeback"}, 400, "body-shape"),
        ({"kind": "void", "reason": ""}, 400, "body-shape"),
        ({"kind": "void", "reason": "x" * 201}, 400, "body-shape"),
        ({"kind": "void", "reason": "a\nb"}, 400, "body-shape"),
        ({"kind": "void", "reason": "\ud800"}, 400, "body-shape"),
        ({"kind": "void", "reason": f"card {CARD}"}, 422, "card-number-misplaced"),
        ({"kind": "void", "reason": "5555-5555-5555-4444"}, 422, "card-number-misplaced"),
        ({"kind": "void", "currency": "USD"}, 400, "body-shape"),
    ],
)
def test_an_impossible_reversal_is_refused_and_changes_nothing(
    body: dict[str, Any], status: int, problem: str, desk: Desk
) -> None:
    reply = desk.reverse(desk.ids[0], **body)
    assert (reply.status, reply.problem) == (status, problem)
    assert CARD not in json.dumps(reply.body)
    assert desk.entries.entry(desk.ids[0]).history == ()


@pytest.mark.parametrize(("key", "problem"), [(None, "idempotency-key-missing"), (CARD, "card-number-misplaced")])
def test_a_reversal_needs_a_key(key: str | None, problem: str, desk: Desk) -> None:
    assert desk.reverse(desk.ids[0], key=key, kind="void").problem == problem


@pytest.mark.parametrize(
    ("stands", "problem"),
    [("pending", "transaction-pending"), ("declined", "not-reversible"), ("review", "not-reversible")],
)
def test_what_was_not_approved_is_not_reversed(stands: str, problem: str, desk: Desk) -> None:
    reply = desk.reverse(desk.stands(stands), kind="refund", amount="1.00")
    assert (reply.status, reply.problem) == (409, problem)


def test_text_of_others_is_data(desk: Desk) -> None:
    reason = "'; DROP TABLE customers; -- <img src=x onerror=alert(1)> {{7*7}} ${jndi:ldap://x}"
    desk.reverse(desk.ids[0], kind="void", reason=reason)
    [done] = desk.get(desk.ids[0]).body["history"]
    assert done["reason"] == reason


def test_pages_show_each_transaction_once_also_when_others_are_made_meanwhile(desk: Desk) -> None:
    # Given a search in pages of four
    query = {"status": "approved", "limit": 4, **STRETCH}
    page, seen = desk.search(**query), []
    while True:
        seen += page.ids
        if "cursor" not in page.body:
            break
        # When a payment is made and one that was seen is voided between two pages
        self_made = replace(desk.entries.items[desk.ids[0]], transaction_id="txn_" + "f" * 28 + f"{len(seen):04}")
        desk.entries.items[self_made.transaction_id] = replace(self_made, created_at="2026-11-22T23:00:00.000000Z")
        desk.reverse(page.ids[0], kind="void")
        page = desk.search(**query, cursor=page.body["cursor"])
    # Then the others are shown once each, newest first
    assert seen == desk.ids[::-1]


def test_the_stretch_is_half_open_and_in_utc(desk: Desk) -> None:
    times = [desk.entries.items[id].created_at for id in desk.ids]
    found = desk.search(status="approved", **{"from": times[3], "to": times[6]})
    assert found.ids == desk.ids[3:6][::-1]
    assert (found.body["from"], found.body["to"]) == (times[3], times[6])
    assert desk.search(customer_id="c1").body["to"] == "2026-11-22T13:00:00.000000Z"


def test_what_is_being_recorded_is_not_shown_as_final(desk: Desk) -> None:
    # Given a pending payment, and one whose refund a crash has interrupted
    pending = desk.stands("pending", desk.ids[1])
    entry = desk.entries.entry(desk.ids[4])
    desk.reverse(desk.ids[2], kind="refund")
    desk.entries.begin(entry, desk.entries.entry(desk.ids[2]).history[0])
    # Then both say so, alone and in a page
    for id in (pending, desk.ids[4]):
        assert desk.get(id).body["settled"] is False
    shown = desk.search(customer_id="c1", **STRETCH).body["transactions"]
    assert {each["transaction_id"] for each in shown if not each["settled"]} == {pending, desk.ids[4]}
    # And the refund counts when it is recorded
    assert desk.get(desk.ids[4]).body["left"] == "12.50"


BAD_QUERIES: list[dict[str, Any]] = [
    {},
    {"customer_id": "c1", "status": "approved"},
    {"status": "unknown"},
    {"status": ""},
    {"customer_id": ""},
    {"customer_id": "x" * 65},
    {"customer_id": "'; --"},
    {"customer_id": ["c1", "c2"]},
    {"customer_id": "c1", "other": "1"},
    {"customer_id": "c1", "limit": "0"},
    {"customer_id": "c1", "limit": "101"},
    {"customer_id": "c1", "limit": "1e1"},
    {"customer_id": "c1", "limit": "٣"},
    {"customer_id": "c1", "from": "yesterday"},
    {"customer_id": "c1", "from": "2026-02-30"},
    {"customer_id": "c1", "from": "2026-11-22T00:00:00"},
    {"customer_id": "c1", "from": "2026-11-22T00:00:00+01:00"},
    {"customer_id": "c1", "from": "2026-11-22", "to": "2026-11-22"},
    {"customer_id": "c1", "from": "2026-11-23", "to": "2026-11-22"},
    {"customer_id": "c1", "from": "2026-10-01", "to": "2026-11-22"},
]


@pytest.mark.parametrize("query", BAD_QUERIES, ids=repr)
def test_a_query_that_can_not_be_is_refused(query: dict[str, Any], desk: Desk) -> None:
    reply = desk.search(**query)
    assert (reply.status, reply.problem) == (400, "query-malformed")


def test_a_card_number_in_the_query_is_refused(desk: Desk) -> None:
    reply = desk.search(customer_id=CARD)
    assert (reply.status, reply.problem) == (422, "card-number-misplaced")
    assert CARD not in json.dumps(reply.body)


def cursor_of(desk: Desk) -> str:
    return str(desk.search(status="approved", limit=4, **STRETCH).body["cursor"])


def test_a_cursor_is_good_for_its_query_and_its_caller_only(desk: Desk) -> None:
    cursor = cursor_of(desk)
    assert desk.search(status="approved", limit=9, cursor=cursor, **STRETCH).status == 200
    for arn, query in (
        (SHOP, {"status": "review", **STRETCH}),
        (SHOP, {"customer_id": "c1", **STRETCH}),
        (SHOP, {"status": "approved", **STRETCH, "to": "2026-11-24"}),
        (SHOP, {"status": "approved"}),
        (RIVAL, {"status": "approved", **STRETCH}),
        (OPERATOR, {"status": "approved", **STRETCH}),
    ):
        reply = desk.search(arn, cursor=cursor, **query)
        assert (reply.status, reply.problem) == (400, "cursor-malformed")


def test_a_cursor_that_somebody_made_shows_no_more_than_its_owner_may_see(desk: Desk) -> None:
    """It is not signed, so anybody can make one; the search asks whose transactions they are again."""
    begin, end, _, _, bound = json.loads(base64.urlsafe_b64decode(cursor_of(desk) + "=="))
    rival = desk.entries.items[desk.rivals]
    for made in (
        [begin, end, rival.created_at, desk.rivals, bound],
        [begin, end, "2026-11-22T23:59:59.999999Z", desk.rivals, bound],
    ):
        text = base64.urlsafe_b64encode(json.dumps(made).encode()).rstrip(b"=").decode()
        assert set(desk.search(status="approved", cursor=text, **STRETCH).ids) <= set(desk.ids)
    # And it does not widen the stretch
    for wide, wrong in (("2020-01-01T00:00:00.000000Z", "2027-01-01T00:00:00.000000Z"), (end, begin)):
        text = base64.urlsafe_b64encode(json.dumps([wide, wrong, wide, desk.rivals, bound]).encode()).decode()
        assert desk.search(status="approved", cursor=text.rstrip("="), **STRETCH).problem == "cursor-malformed"


def test_a_cursor_s_position_lies_in_its_stretch(desk: Desk) -> None:
    """DynamoDB refuses a start outside of the query, so it would be an error of ours."""
    begin, end, created_at, id, bound = json.loads(base64.urlsafe_b64decode(cursor_of(desk) + "=="))

    def status(begin: str, end: str) -> int:
        text = base64.urlsafe_b64encode(json.dumps([begin, end, created_at, id, bound]).encode()).decode()
        reply = desk.search(status="approved", cursor=text.rstrip("="), **STRETCH)
        assert reply.status == 200 or reply.problem == "cursor-malformed"
        return reply.status

    just_before, just_after = (
        timestamp(datetime.fromisoformat(created_at) + timedelta(microseconds=by)) for by in (-1, 1)
    )
    # The stretch begins with its first moment, and ends before its last
    assert [status(begin, end), status(created_at, end), status(begin, just_after)] == [200, 200, 200]
    assert [status(just_after, end), status(begin, created_at), status(begin, just_before)] == [400, 400, 400]


json_values = st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=6))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.text(max_size=500) | json_values.map(lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode())
)
def test_no_garbage_is_a_cursor(desk: Desk, cursor: str) -> None:
    reply = desk.search(status="approved", cursor=cursor)
    assert (reply.status, reply.problem) == (400, "cursor-malformed")


def test_four_eyes_of_two_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, four_eyes=True)
    id = desk.stands("review")
    assert [desk.decide(id).body["status"] for _ in range(2)] == ["review", "review"]
    assert desk.decide(id, arn=REVIEWER.replace("/ann", "/bob")).body["status"] == "approved"
    assert [each["kind"] for each in desk.get(id).body["history"]] == ["approve", "approve"]


def test_two_decisions_at_odds_are_one(desk: Desk) -> None:
    id = desk.stands("review")
    assert desk.decide(id, "decline").body["status"] == "declined"
    assert desk.decide(id, "approve").problem == "already-decided"
    assert desk.decide(id, "approve", REVIEWER.replace("/ann", "/bob")).problem == "not-in-review"


def test_the_contract_lists_the_statuses_that_a_search_takes() -> None:
    from lambdas.api.search_parameters import STATUSES

    [status] = [
        each["schema"]["enum"]
        for each in DOCUMENT["paths"]["/transactions"]["get"]["parameters"]
        if each["name"] == "status"
    ]
    assert tuple(status) == STATUSES
