"""The kept connection: after a failover or a rotated password the request is retried and does not fail."""

import ssl
import time
from typing import Any

import pytest
from pg8000.exceptions import DatabaseError, InterfaceError

from lambdas.adapters import database, deadline
from lambdas.adapters.database import Database
from lambdas.payments.errors import Unavailable

ADMIN_SHUTDOWN = DatabaseError({"C": "57P01", "M": "terminating connection due to administrator command"})
WRONG_PASSWORD = DatabaseError({"C": "28P01", "M": "password authentication failed"})
UNDEFINED_TABLE = DatabaseError({"C": "42P01", "M": "relation does not exist"})


class Server:
    """The results of connections in order: a failure to raise, or rows."""

    def __init__(self, *connects: Any, runs: list[Any]) -> None:
        self.connects, self.runs = list(connects), runs
        self.opened = self.closed = 0

    def connect(self, login: Any, place: Any) -> "Server":
        self.opened += 1
        outcome = self.connects.pop(0) if self.connects else None
        if isinstance(outcome, Exception):
            raise outcome
        return self

    def run(self, sql: str, **parameters: Any) -> Any:
        outcome = self.runs.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def close(self) -> None:
        self.closed += 1


class Logins:
    def __init__(self) -> None:
        self.fresh: list[bool] = []

    def __call__(self, *, fresh: bool) -> dict[str, str]:
        self.fresh.append(fresh)
        return {"username": "u", "password": "p"}


@pytest.mark.parametrize("failure", [ADMIN_SHUTDOWN, InterfaceError("network error"), OSError("reset"), TimeoutError()])
def test_a_broken_connection_is_replaced_within_the_request(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(runs=[[["warm"]], failure, [["answer"]]])
    monkeypatch.setattr(database, "connect", server.connect)
    kept = Database(Logins())
    kept.query("SELECT 1")
    assert kept.query("SELECT 1") == [["answer"]]
    assert (server.opened, server.closed) == (2, 1)


def test_a_rotated_password_is_read_again_within_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    server, logins = Server(WRONG_PASSWORD, runs=[[["answer"]]]), Logins()
    monkeypatch.setattr(database, "connect", server.connect)
    assert Database(logins).query("SELECT 1") == [["answer"]]
    assert logins.fresh == [False, True]


def test_a_connection_lost_after_a_rotation_fails_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a kept connection that is lost, and a password that was rotated after it was opened
    server, logins = Server(None, WRONG_PASSWORD, runs=[[["warm"]], ADMIN_SHUTDOWN, [["answer"]]]), Logins()
    monkeypatch.setattr(database, "connect", server.connect)
    kept = Database(logins)
    kept.query("SELECT 1")
    # When a query runs, then it succeeds
    assert kept.query("SELECT 1") == [["answer"]]
    assert logins.fresh == [False, False, True]


def test_a_password_that_is_refused_after_it_was_read_again_is_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    server, logins = Server(*[WRONG_PASSWORD] * 9, runs=[]), Logins()
    monkeypatch.setattr(database, "connect", server.connect)
    with pytest.raises(Unavailable):
        Database(logins).query("SELECT 1")
    assert logins.fresh == [False, True]


def test_a_database_that_is_down_is_unavailable_after_one_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(OSError("refused"), OSError("refused"), runs=[])
    monkeypatch.setattr(database, "connect", server.connect)
    with pytest.raises(Unavailable):
        Database(Logins()).query("SELECT 1")
    assert server.opened == 2


def test_while_the_database_is_down_requests_are_refused_at_once_and_one_at_a_time_tries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a database that hangs, and a request that waited for it in vain
    now, server = [0.0], Server(*[TimeoutError()] * 6, runs=[[["answer"]], [["answer"]]])
    monkeypatch.setattr(database, "connect", server.connect)
    kept = Database(Logins(), clock=lambda: now[0])

    def opened_by_a_request_at(moment: float) -> int:
        now[0], before = moment, server.opened
        with pytest.raises(Unavailable, match="customer database"):
            kept.query("SELECT 1")
        return server.opened - before

    assert opened_by_a_request_at(0.0) == 2
    # When more requests come, then they do not wait: each pause ends with one that tries, and the next one is longer
    assert [opened_by_a_request_at(moment) for moment in (0.0, 0.9, 1.1, 2.9, 3.2, 7.0)] == [0, 0, 2, 0, 2, 0]
    # And when the database is back, the next one that tries is answered, and all after it
    now[0] = 7.3
    assert [kept.query("SELECT 1"), kept.query("SELECT 1")] == [[["answer"]]] * 2


def test_a_mistake_in_a_statement_is_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(runs=[UNDEFINED_TABLE])
    monkeypatch.setattr(database, "connect", server.connect)
    with pytest.raises(DatabaseError):
        Database(Logins()).query("SELECT 1")


def test_an_old_connection_is_renewed_so_that_new_readers_get_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    server, now = Server(runs=[[], []]), [0.0]
    monkeypatch.setattr(database, "connect", server.connect)
    kept = Database(Logins(), clock=lambda: now[0])
    kept.query("SELECT 1")
    now[0] = 601.0
    kept.query("SELECT 1")
    assert (server.opened, server.closed) == (2, 1)


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_certificates_are_verified_by_the_region_s_roots(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", region)
    context = database._tls.__wrapped__(None)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    names = {field[0][1] for root in context.get_ca_certs() for field in root["subject"] if "RDS" in field[0][1]}
    assert {f"Amazon RDS {region} Root CA {kind} G1" for kind in ("RSA2048", "RSA4096", "ECC384")} <= names
    assert all(ssl.cert_time_to_seconds(root["notAfter"]) > time.time() for root in context.get_ca_certs())


def test_a_region_without_roots_is_named() -> None:
    with pytest.raises(LookupError, match="mars-north-1"):
        database.rds_roots("mars-north-1")


def test_no_call_starts_after_the_deadline_of_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    deadline.start(lambda: now[0])
    server = Server(runs=[[]])
    monkeypatch.setattr(database, "connect", server.connect)
    now[0] = deadline.SECONDS + 1
    with pytest.raises(Unavailable):
        Database(Logins()).query("SELECT 1")
    assert server.opened == 0
    deadline.start()
