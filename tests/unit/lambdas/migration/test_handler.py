"""The function's commands, as the schedule and the command line call them."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

import names
from lambdas.adapters import aws, configuration, database
from lambdas.migration import handler as module
from lambdas.migration.handler import LAST_START_MS, Work, handler
from lambdas.schema.handler import MIGRATION_USER
from localcloud.postgres import Postgres
from tests.unit.lambdas.imported import PAYMENT
from tests.unit.lambdas.migration.conftest import Move, connect

CUSTOMERS = "dms/public/customers/LOAD00000001.csv"
LINKS = "dms/public/merchant_customers/LOAD00000001.csv"
MERCHANTS = "dms/public/merchants/LOAD00000001.csv"
FIRST, SECOND = (f"dms/changes/CDC_TXN-2026112901000{n}000.csv" for n in range(2))
CONTEXT = SimpleNamespace(
    get_remaining_time_in_millis=lambda: LAST_START_MS + 1,
    function_name="payment-migration-dev", memory_limit_in_mb=1, invoked_function_arn="arn", aws_request_id="id",
)  # fmt: skip


@pytest.fixture
def function(move: Move, server: Postgres, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(database, "connect", lambda *_, timeout: connect(server, MIGRATION_USER))
    monkeypatch.setattr(configuration, "database_login", lambda *, fresh: {})
    monkeypatch.setattr(aws, "patient_client", lambda service: move.s3)
    monkeypatch.setenv("MIGRATION_BUCKET", "migration")
    monkeypatch.setenv("ENVIRONMENT", "dev")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "payment-migration")
    return lambda event: handler(event, CONTEXT)


def test_a_load_takes_each_file_after_those_that_it_refers_to(function: Any, move: Move) -> None:
    # Given files of three tables, of which the last in the alphabet must be the second
    move.s3.put(LINKS, "merchant_id,customer_id\nm-1,c-1\n")
    move.s3.put(MERCHANTS, "merchant_id,status,allowed_currencies\nm-1,active,EUR\n")
    move.s3.put(CUSTOMERS, "customer_id,status,country,allowed_currencies\nc-1,active,DE,EUR\n")
    # When the function is called until it is idle
    answers = [function({"command": "load"}) for _ in range(4)]
    # Then
    assert [each.get("file") for each in answers] == [CUSTOMERS, MERCHANTS, LINKS, None]
    assert [each["state"] for each in answers] == ["done", "done", "done", "idle"]
    assert move.rows("SELECT count(*) FROM merchant_customers") == [[1]]


def test_a_named_file_may_be_loaded_again_and_one_that_is_none_is_told(function: Any, move: Move) -> None:
    event = {"command": "load", "file": CUSTOMERS}
    for again, how in ((False, "inserted"), (True, "unchanged")):
        move.s3.put(CUSTOMERS, "customer_id,status,country,allowed_currencies\nc-1,active,DE,EUR\n")
        assert function({**event, "again": again})["report"][how] == 1
    assert function({**event, "again": True})["reason"].startswith("it was read, and is deleted: export it again (")
    assert function({**event, "file": "nonsense"})["reason"].startswith("there is no such file (")
    assert "orders" in function({**event, "file": _put(move, "a/public/orders/LOAD1.csv")})["reason"]


def test_payments_are_loaded_last_and_into_the_ledger(
    function: Any, move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Work, "payment_import", lambda work, file: move.payment_import(file))
    payments = "dms/public/payments/LOAD00000001.csv"
    move.s3.put(payments, f"{','.join(PAYMENT)}\n{','.join(value or '' for value in PAYMENT.values())}\n")
    move.s3.put(MERCHANTS, "merchant_id,status,allowed_currencies\nshop,active,USD\n")
    move.s3.put(CUSTOMERS, "customer_id,status,country,allowed_currencies\nc1,active,DE,USD\n")
    answers = [function({"command": "load"}) for _ in range(4)]
    assert [each.get("file") for each in answers] == [CUSTOMERS, MERCHANTS, payments, None]
    assert len(move.platform.history.items) == 1


def _put(move: Move, key: str) -> str:
    move.s3.put(key, "")
    return key


def test_the_schedule_applies_all_that_waits_and_a_command_one_file_for_each_call(function: Any, move: Move) -> None:
    # Given a load and two files of changes
    move.s3.put(CUSTOMERS, "customer_id,status,country,allowed_currencies\nc-1,active,DE,EUR\n")
    move.s3.put(FIRST, "U,customers,public,c-1,closed,DE,EUR\n")
    move.s3.put(SECOND, "U,customers,public,c-1,blocked,DE,EUR\n")
    # Then they wait for the load
    assert function({"command": "follow"})["state"] == "waiting"
    function({"command": "load"})
    # When a command asks
    answer = function({"command": "follow"})
    assert (answer["file"], answer["pending"], answer["watermark"]) == (FIRST, 1, {"file": FIRST, "line": 1})
    # When the schedule calls
    move.s3.put(FIRST.replace("0.csv", "1.csv"), "I,customers,public,c-2,closed,DE,EUR\n")
    answer = function({"source": "aws.events"})
    assert (answer["file"], answer["pending"], answer["lag_seconds"]) == (SECOND, 0, 0)
    assert move.rows("SELECT customer_id, status FROM customers ORDER BY 1") == [["c-1", "blocked"], ["c-2", "closed"]]


def test_new_columns_are_given_by_the_command(function: Any, move: Move) -> None:
    move.s3.put(CUSTOMERS, "customer_id,status,country,allowed_currencies\nc-1,active,DE,EUR\n")
    function({"command": "load"})
    move.s3.put(FIRST, "U,customers,public,c-1,closed,a@b.c,DE,EUR\n")
    assert function({"command": "follow"})["state"] == "refused"
    columns = ["customer_id", "status", "email", "country", "allowed_currencies"]
    assert function({"command": "follow", "columns": {"public.customers": columns}})["state"] == "done"


def test_one_call_works_at_a_time(function: Any, move: Move, server: Postgres) -> None:
    # Given a call that works, which holds the lock
    assert move.state.is_mine()
    # Then others are busy, and a status is told nevertheless
    move.s3.put(CUSTOMERS, "customer_id,status,country,allowed_currencies\nc-1,active,DE,EUR\n")
    assert function({"command": "load"}) == function({"command": "follow"}) == {"state": "busy"}
    [file] = function({"command": "status"})["files"]
    assert (file["state"], file["file"]) == ("waiting", CUSTOMERS)


def test_a_status_of_many_files_fits_into_an_answer(function: Any, move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a move of weeks: more files than an answer tells, of which the last one waits
    monkeypatch.setattr("lambdas.migration.handler.MOST_FILES", 2)
    move.s3.put(CUSTOMERS, "customer_id,status,country,allowed_currencies\nc-1,active,DE,EUR\n")
    function({"command": "load"})
    move.s3.put(FIRST, "U,customers,public,c-1,closed,DE,EUR\n")
    function({"command": "follow"})
    move.s3.put(SECOND, "U,customers,public,c-1,blocked,DE,EUR\n")
    # Then the one that waits is told, and others as far as there is room; what waits is counted nevertheless
    told = function({"command": "status"})
    assert SECOND in [each["file"] for each in told["files"]]
    assert (len(told["files"]), told["more"], told["pending"]) == (2, 1, 1)
    # And whoever asks for the lag alone gets no files
    told = function({"command": "status", "files": 0})
    assert (told["files"], told["more"], told["pending"]) == ([], 3, 1)


def test_a_file_is_deleted_with_its_former_versions_when_each_of_its_rows_is_there(function: Any, move: Move) -> None:
    # Given a file that came twice, changes, and a file with a row that can't be
    header, bad = "customer_id,status,country,allowed_currencies\n", CUSTOMERS.replace("1.csv", "2.csv")
    move.s3.put(CUSTOMERS, header + "c-0,active,DE,EUR\n")
    move.s3.put(CUSTOMERS, header + "c-1,active,DE,EUR\n")
    move.s3.put(bad, header + "c-2,asleep,DE,EUR\n")
    move.s3.put(FIRST, "U,customers,public,c-1,closed,DE,EUR\n")
    # When they are loaded and followed
    answers = [function({"command": "load"}), function({"command": "load"}), function({"command": "follow"})]
    # Then what is verified is deleted, and the file to be corrected and the reports stay
    assert [each["deleted"] for each in answers] == [True, False, True]
    left = [key for key, versions in move.s3.versions.items() if versions]
    assert left == [bad, f"{CUSTOMERS}.report.json", f"{bad}.report.json", f"{FIRST}.report.json"]
    assert move.rows("SELECT customer_id, status FROM customers") == [["c-1", "closed"]]
    # And the status knows all of them, and nothing waits
    told = function({"command": "status"})
    assert {each["file"]: (each["state"], each["deleted"]) for each in told["files"]} == {
        CUSTOMERS: ("done", True), bad: ("done", False), FIRST: ("done", True),
    }  # fmt: skip
    assert (told["pending"], told["watermark"]["file"]) == (0, FIRST)


def test_what_came_between_the_look_and_the_deletion_stays(move: Move) -> None:
    # Given a file with an earlier content, which is replaced at the last moment
    for body in ("first", "second"):
        move.s3.put(CUSTOMERS, body)
    [verified] = move.bucket.files()
    move.s3.put(CUSTOMERS, "third")
    # Then this content stays, and what was before it goes
    move.bucket.delete(verified)
    assert [*move.s3.versions[CUSTOMERS].values()] == [b"third"]


def test_a_call_that_died_before_it_deleted_leaves_that_to_the_next(
    function: Any, move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = "customer_id,status,country,allowed_currencies\n"
    move.s3.put(CUSTOMERS, header + "c-1,active,DE,EUR\n")
    with monkeypatch.context() as dying:
        dying.setattr(Work, "delete_verified", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            function({"command": "load"})
    assert move.s3.versions[CUSTOMERS]
    # When something newer came meanwhile, then that stays until it is loaded
    move.s3.put(CUSTOMERS, header + "c-1,closed,DE,EUR\n")
    function({"source": "aws.events"})
    assert len(move.s3.versions[CUSTOMERS]) == 2
    assert function({"command": "load"})["deleted"]
    assert not move.s3.versions[CUSTOMERS]


def test_a_person_gives_up_a_file_that_holds_up_the_others(
    function: Any, move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a file that was refused, and is gone, and another one behind it
    monkeypatch.setattr(Work, "payment_import", lambda work, file: move.payment_import(file))
    move.s3.put(CUSTOMERS, "customer_id,status,country,allowed_currencies\nc-1,active,DE,EUR\n")
    function({"command": "load"})
    move.s3.put(FIRST, "nonsense\n")
    move.s3.put(SECOND, "U,customers,public,c-1,closed,DE,EUR\n")
    assert function({"source": "aws.events"})["state"] == "refused"

    def skip(key: str) -> Any:
        return function({"command": "skip", "file": key, "by": "ann", "reason": "exported again"})

    # Then only that one can be given up
    assert skip(SECOND)["reason"] == "nothing is wrong with it: it waits for its turn"
    assert skip(CUSTOMERS)["reason"] == "it is applied to its end"
    assert skip("nonsense")["reason"].startswith("no such file was ever seen")
    move.s3.lose(FIRST)
    assert function({"source": "aws.events"})["state"] == "waiting"
    told = function({"command": "status"})
    assert [(each["file"], each["state"]) for each in told["files"]][-1] == (FIRST, "missing")
    assert (told["pending"], told["lag_seconds"] > 0) == (2, True)
    # When a person gives it up, then the next goes on, and who did it and why is kept
    assert skip(FIRST)["report"]["given_up"] == "from line 1 on by ann: exported again"
    assert "by ann" in move.s3.objects[f"{FIRST}.report.json"].decode()
    assert function({"source": "aws.events"})["file"] == SECOND
    assert move.rows("SELECT status FROM customers") == [["closed"]]
    # And when it comes nevertheless, it is applied as a late one
    move.s3.put(FIRST, "I,customers,public,c-2,active,DE,EUR\n")
    assert function({"source": "aws.events"})["state"] == "done"
    # And one that is there when it is given up stays for a week, because not each of its rows was taken
    move.s3.put(FIRST, "nonsense\n")
    assert function({"source": "aws.events"})["state"] == "refused"
    skip(FIRST)
    function({"source": "aws.events"})
    assert FIRST in move.s3.objects


def test_old_files_are_deleted_and_none_that_was_not_applied(function: Any, move: Move) -> None:
    # Given files of eight days ago: applied but for a row, refused, replaced since, and nothing of a move
    old = datetime.now(UTC) - timedelta(days=8)
    header = "customer_id,status,country,allowed_currencies\n"
    refused, stray, fresh = (
        CUSTOMERS.replace("1.csv", "2.csv"),
        "dms/CDC000001.csv",
        CUSTOMERS.replace("1.csv", "3.csv"),
    )
    for key, body in ((CUSTOMERS, f"{header}c-1,asleep,DE,EUR\n"), (refused, ""), (fresh, header)):
        move.s3.put(key, body, old)
    for _ in range(3):
        function({"command": "load"})
    move.s3.put(FIRST, "nonsense\n", old)
    function({"source": "aws.events"})
    move.s3.put(stray, "a card number", old)
    move.s3.put(fresh, f"{header}c-3,active,DE,EUR\n", old)
    # When the schedule calls
    function({"source": "aws.events"})
    # Then what is applied is gone, what is not stays, and so do the reports
    left = {key for key in move.s3.objects if not key.endswith(".report.json")}
    assert left == {refused, FIRST, fresh}
    assert f"{CUSTOMERS}.report.json" in move.s3.objects


def test_payments_wait_until_the_stable_version_leaves_their_refunds_to_their_source(
    function: Any, move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a stable version that does not know the setting, and a candidate that does
    variables: dict[str, str] = {}
    stable = SimpleNamespace(get_function_configuration=lambda FunctionName: {"Environment": {"Variables": variables}})
    monkeypatch.setattr(aws, "patient_client", lambda service: stable if service == "lambda" else move.s3)
    monkeypatch.setenv("SOURCE_AMENDS", "true")
    monkeypatch.setenv("STABLE_TRANSACTIONS", "arn:blue")
    monkeypatch.setattr(configuration, "card_keys", lambda: move.platform.secret.keys)
    for name, value in (("PAYMENTS_PER_SECOND", "300"), ("TRANSACTION_TABLE", "t"), ("AUDIT_BUCKET", "b"),
                        ("AUDIT_KEY_ID", "k")):  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(module, "DynamoHistory", lambda pace: move.platform.history)
    monkeypatch.setattr(module, "S3ImportLog", lambda: move.platform.audit_log)
    key = "dms/public/payments/LOAD00000001.csv"
    move.s3.put(key, f"{','.join(PAYMENT)}\n{','.join(value or '' for value in PAYMENT.values())}\n")
    move.admin.run("INSERT INTO customers VALUES ('c1', 'active', 'DE', '{USD}')")
    move.admin.run("INSERT INTO merchants VALUES ('shop', 'active', '{USD}')")
    # Then payments wait, and it says for what
    answer = function({"command": "load"})
    assert (answer["state"], answer["file"]) == ("waiting", key)
    assert "until the release is promoted" in answer["reason"]
    assert move.platform.history.items == {}
    # When it is promoted, then they are loaded
    variables["SOURCE_AMENDS"] = "true"
    assert function({"command": "load"})["state"] == "done"
    assert len(move.platform.history.items) == 1


def test_the_lag_is_published_at_each_look(function: Any, move: Move, capsys: pytest.CaptureFixture[str]) -> None:
    function({"source": "aws.events"})
    [metric] = [json.loads(line) for line in capsys.readouterr().out.splitlines() if names.MIGRATION_LAG in line]
    assert (metric["MigrationLagSeconds"], metric["Environment"], metric["service"]) == (
        [0.0],
        "dev",
        "payment-migration",
    )


def test_an_unknown_command_is_an_error(function: Any) -> None:
    with pytest.raises(ValueError, match="no command 'lod': load, follow, skip, status"):
        function({"command": "lod"})
