"""The local cloud's name server: weights, health checks, messages."""

import socket
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from ministack.core.responses import set_request_account_id
from ministack.services import route53

from localcloud.dns_messages import Answer, answer, question, read_answer, read_question
from localcloud.emulator import dns
from tests.resolver import NoSuchName, Resolver

NAME = "payments.example.com"


def record(colour: str, weight: int, **more: Any) -> dict[str, Any]:
    return {
        "Name": f"{NAME}.",
        "Type": "CNAME",
        "SetIdentifier": colour,
        "Weight": weight,
        "TTL": "30",
        "ResourceRecords": [f"{'old' if colour == 'blue' else 'new'}.example.com"],
        **more,
    }


@pytest.mark.parametrize(
    ("weights", "share"),
    [((100, 0), 0.0), ((99, 1), 0.01), ((50, 50), 0.5), ((0, 100), 1.0), ((0, 0), 0.5), ((200, 50), 0.2)],
)
def test_answers_are_divided_by_weight(weights: tuple[int, int], share: float) -> None:
    records = [record("blue", weights[0]), record("green", weights[1])]

    found = Counter(dns.pick(records, {}, draw / 1000)["SetIdentifier"] for draw in range(1000))

    assert found["green"] == pytest.approx(1000 * share, abs=1)


@pytest.mark.parametrize(
    ("blue", "green", "weights", "answered"),
    [
        (True, False, (50, 50), {"blue"}),
        (True, False, (0, 100), {"blue"}),  # the other one has weight 0, and is healthy
        (False, False, (0, 100), {"green"}),  # none is healthy: all are taken for healthy
        (False, True, (100, 0), {"green"}),
        (True, True, (100, 0), {"blue"}),
    ],
)
def test_an_unhealthy_record_is_answered_only_if_all_are(
    blue: bool, green: bool, weights: tuple[int, int], answered: set[str]
) -> None:
    records = [record("blue", weights[0], HealthCheckId="b"), record("green", weights[1], HealthCheckId="g")]

    found = {dns.pick(records, {"b": blue, "g": green}, draw / 100)["SetIdentifier"] for draw in range(100)}

    assert found == answered


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> dns.NameServer:
    """A name server of an account whose clients are divided evenly."""
    monkeypatch.setattr(dns, "settings", lambda: SimpleNamespace(account="111111111111"))
    set_request_account_id("111111111111")
    monkeypatch.setattr(route53, "_records", route53.AccountScopedDict())
    monkeypatch.setattr(route53, "_health_checks", route53.AccountScopedDict())
    route53._records["Z1"] = [record("blue", 50), record("green", 50)]
    return dns.NameServer()


def test_a_client_keeps_an_answer_for_its_time_to_live(server: dns.NameServer) -> None:
    now, draws = [0.0], iter([0.1, 0.9, 0.9])
    server._draw = lambda: next(draws)
    client = Resolver(server.start(), now=lambda: now[0])
    deaf = Resolver(server.start(), ignores_ttl=True, now=lambda: now[0])

    assert client.resolve(NAME) == "old.example.com"
    now[0] = 29.0
    assert client.resolve(NAME) == "old.example.com"
    now[0] = 30.0
    assert client.resolve(NAME) == "new.example.com"
    assert deaf.resolve(NAME) == "new.example.com"
    route53._records["Z1"] = [record("blue", 100), record("green", 0)]
    now[0] = 1000.0
    assert deaf.resolve(NAME) == "new.example.com"


def test_what_is_no_question_gets_no_answer_and_the_next_one_does(server: dns.NameServer) -> None:
    address = server.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for broken in (b"", b"\0" * 5, b"\xff" * 60, answer(read_question(question(1, NAME)), Answer(target="x.test"))):
            client.sendto(broken, address)

    assert Resolver(address).resolve(NAME.upper()) in ("old.example.com", "new.example.com")
    with pytest.raises(NoSuchName):
        Resolver(address).resolve("nobody.example.com")


def test_a_side_that_takes_no_connections_is_left(server: dns.NameServer) -> None:
    # Given health checks of both sides, of which only the old one listens
    monitored = {"b": "old.example.com", "g": "new.example.com"}
    for id, name in monitored.items():
        config = {"Type": "TCP", "FullyQualifiedDomainName": name, "Port": 443, "FailureThreshold": 3}
        route53._health_checks[id] = {"id": id, "config": config}
    route53._records["Z1"] = [record("blue", 1, HealthCheckId="b"), record("green", 99, HealthCheckId="g")]
    with socket.create_server(("127.0.0.1", 0)) as old, socket.create_server(("127.0.0.1", 0)) as closed:
        server.place("old.example.com", *old.getsockname())
        server.place("new.example.com", *closed.getsockname())
        closed.close()
        # When the checkers have seen it as often as the threshold says
        for seen in range(3):
            assert {server.resolve(NAME).target for _ in range(300)} >= {"new.example.com"}, seen
            for id, check in route53._health_checks.items():
                server._failures[id] = 0 if server._connects(check["config"]) else server._failures.get(id, 0) + 1
        # Then it is answered no more
        assert {server.resolve(NAME).target for _ in range(300)} == {"old.example.com"}


@pytest.mark.parametrize(
    ("records", "fault"),
    [
        ([record("blue", 100), record("green", 0)], None),
        ([{**record("blue", 1), "Name": "a."}, {"Name": "b.", "Type": "CNAME"}], None),
        ([record("blue", 100), {"Name": f"{NAME}.", "Type": "CNAME"}], "non-weighted"),
        ([record("blue", 100), {"Name": f"{NAME}.", "Type": "A"}], "conflicts"),
        ([record("blue", 256)], "Invalid weight"),
    ],
)
def test_records_that_the_dns_forbids_are_named(records: list[dict[str, Any]], fault: str | None) -> None:
    found = dns._fault(records)

    assert found is None if fault is None else fault in (found or "")


@pytest.mark.parametrize("name", ["a.b", "payments.example.com", "x" * 63 + ".test"])
def test_messages_say_what_was_asked_and_answered(name: str) -> None:
    asked = read_question(question(7, name))

    assert (asked.id, asked.name) == (7, name)
    assert read_answer(answer(asked, Answer(target="old.example.com", ttl=30))) == Answer("old.example.com", 30)
    assert read_answer(answer(asked, Answer(target=None))).target is None


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64 + ".test"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        question(1, name)
