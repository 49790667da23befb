"""``load``, ``follow`` and ``status``: what they ask the function, what they show, and what they end with."""

import io
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from environments import DEV
from migration import __main__ as command_line
from migration import function, skip
from migration.function import MigrationFunction
from migration.outcome import ExitCode, Unavailable
from pipeline.aws import PlatformOutputs

IDLE = {"state": "idle", "pending": 0, "lag_seconds": 0, "watermark": None}
CUSTOMERS = "dms/public/customers/LOAD00000001.csv"


def told(state: str = "done", file: str = CUSTOMERS, line: int = 3, **report: Any) -> dict[str, Any]:
    counts = dict.fromkeys(
        ("read", "inserted", "updated", "unchanged", "deleted", "superseded", "skipped", "rejected"), 0
    )
    report = {**counts, "rejected_rows": [], "notes": [], "fault": "", "checksum": "0" * 64, **report}
    return {"state": state, "file": file, "line": line, "report": report}


Command = Callable[..., int]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command on a function that gives these answers. ``command.asked`` has the events."""

    def run(*arguments: str, answers: list[dict[str, Any]]) -> int:
        asked, left = [], iter(answers)

        def invoke(FunctionName: str, Payload: bytes) -> Any:
            asked.append(json.loads(Payload))
            return {"Payload": io.BytesIO(json.dumps(next(left)).encode())}

        session = SimpleNamespace(client=lambda service, config: SimpleNamespace(invoke=invoke))
        outputs = PlatformOutputs(stack_name="s", values={"MigrationFunctionName": "payment-migration-dev"})
        monkeypatch.setattr(function.aws, "session", lambda *_: session)
        monkeypatch.setattr(PlatformOutputs, "read", lambda *_: outputs)
        monkeypatch.setattr(function, "_BUSY_SECONDS", 0.0)
        run.asked = asked  # type: ignore[attr-defined]
        return command_line.main([*arguments, "--env", "dev"])

    return run


def test_a_load_asks_until_nothing_is_left_and_tells_each_file(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    # When one file needs two calls
    done = told(read=300_000, inserted=300_000, line=300_001) | {"deleted": True}
    ended = command("load", answers=[told("reading", read=200_000), done, IDLE])
    # Then
    assert ended == ExitCode.DONE
    assert capsys.readouterr().out.splitlines() == [
        f"… {CUSTOMERS}: reading at line 3: 200,000 read",
        f"✓ {CUSTOMERS}: done at line 300,001: 300,000 read, 300,000 inserted; the file is deleted",
        "1 files are loaded",
    ]


def test_rejected_rows_and_refused_files_are_told_and_end_with_1(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"line": n, "column": "status", "reason": "is none of active"} for n in range(2, 14)]
    ended = command(
        "load",
        answers=[
            told(read=20, inserted=8, rejected=12, rejected_rows=rows),
            told("refused", file="x/y/LOAD2.csv", line=0, fault="the file is empty"),
            IDLE,
        ],
    )
    said = capsys.readouterr()
    assert ended == ExitCode.FAILED
    assert "    line 2: status is none of active\n" in said.out
    assert f"    … and 2 more rejected rows: {CUSTOMERS}.report.json\n" in said.out
    assert "✘ x/y/LOAD2.csv: refused at line 0: 0 read\n    the file is empty\n" in said.out
    assert said.err == "2 files: 1 were refused, and 12 rows were rejected\n"


def test_one_file_is_loaded_again_from_its_first_line_once(command: Command) -> None:
    assert command("load", "--again", CUSTOMERS, answers=[told("reading"), told(unchanged=2)]) == ExitCode.DONE
    assert command.asked == [  # type: ignore[attr-defined]
        {"command": "load", "file": CUSTOMERS, "again": True},
        {"command": "load", "file": CUSTOMERS},
    ]


def test_while_another_call_works_it_waits(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("load", answers=[{"state": "busy"}, {"state": "busy"}, IDLE]) == ExitCode.DONE
    assert capsys.readouterr().err == "another call of the function works: waiting for it\n"


def test_changes_are_told_file_by_file(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    mark = {"watermark": {"file": "c/2.csv", "line": 7}}
    ended = command("follow", answers=[told(file="c/1.csv"), told(file="c/2.csv", read=7, updated=7), IDLE | mark])
    assert ended == ExitCode.DONE
    assert capsys.readouterr().out.splitlines()[-1] == "applied up to c/2.csv line 7; nothing waits"


@pytest.mark.parametrize(
    ("answers", "code", "said"),
    [
        ([told(rejected=2), IDLE], ExitCode.FAILED, "2 changes were rejected"),
        (
            [told("refused", line=4, fault="its schema has changed") | {**IDLE, "state": "refused", "pending": 3}],
            ExitCode.FAILED,
            f"the changes stop at line 5 of {CUSTOMERS}",
        ),
        ([{"state": "waiting", "reason": "2 files are not loaded"}], ExitCode.INCONCLUSIVE, "2 files are not loaded"),
    ],
)
def test_changes_that_do_not_come_through_are_told(
    answers: list[dict[str, Any]], code: ExitCode, said: str, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("follow", answers=answers) == code
    assert said in capsys.readouterr().err


def test_new_columns_are_sent_once_and_others_are_usage(command: Command) -> None:
    assert command("follow", "--columns", "public.customers=a,B", answers=[told(), IDLE]) == ExitCode.DONE
    assert [each.get("columns") for each in command.asked] == [  # type: ignore[attr-defined]
        {"public.customers": ["a", "b"]},
        None,
    ]
    for wrong in ("customers=a", "public.customers=a b", "public.customers="):
        with pytest.raises(SystemExit, match="2"):
            command("follow", "--columns", wrong, answers=[])


def test_status_shows_what_waits(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    waits = told("waiting", file="c/9.csv") | {"bytes": 1234}
    answer = IDLE | {"files": [told() | {"bytes": 1}, waits], "pending": 1, "lag_seconds": 75.4}
    assert command("status", answers=[answer]) == ExitCode.DONE
    assert capsys.readouterr().out.splitlines()[1:] == [
        "… c/9.csv: waits, 1,234 bytes",
        "no change is applied yet; 1 files wait, the oldest for 75 s",
    ]
    assert command("status", "--json", answers=[answer]) == ExitCode.DONE
    assert json.loads(capsys.readouterr().out) == answer


def test_a_file_is_given_up_by_a_person_with_a_reason(
    command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(skip, "session", lambda *_: None)
    monkeypatch.setattr(skip, "who_asks", lambda aws, moves: "ann")
    words = ("skip", "--file", "c/1.csv", "--reason", "exported again")
    given_up = told(file="c/1.csv", line=4, given_up="from line 5 on by ann: exported again")
    assert command(*words, answers=[{"state": "busy"}, given_up]) == ExitCode.DONE
    assert command.asked[-1] == {  # type: ignore[attr-defined]
        "command": "skip", "file": "c/1.csv", "reason": "exported again", "by": "ann",
    }  # fmt: skip
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [
        "✘ c/1.csv: done at line 4: 0 read",
        "    the rest was given up from line 5 on by ann: exported again",
    ]
    assert "`python -m migration verify`" in said[-1]
    # And one that is not wrong stays
    waits = {"state": "waiting", "file": "c/1.csv", "reason": "it waits for its turn"}
    assert command(*words, answers=[waits]) == ExitCode.FAILED
    assert capsys.readouterr().err == "c/1.csv is not given up: it waits for its turn\n"
    with pytest.raises(SystemExit, match="2"):
        command("skip", "--file", "c/1.csv", answers=[])


def test_status_names_a_file_that_is_missing(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    answer = IDLE | {"files": [told("missing", file="c/9.csv") | {"bytes": 0}], "pending": 1, "lag_seconds": 9}
    assert command("status", answers=[answer]) == ExitCode.DONE
    said = capsys.readouterr().out
    assert "✘ c/9.csv: missing at line 3" in said
    assert "is not in the bucket any more, and holds up all later changes" in said


def test_a_function_that_fails_and_an_environment_without_one_are_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorMessage": "no route to host"}')}
    session = SimpleNamespace(client=lambda *_, **__: SimpleNamespace(invoke=lambda **_: failed))
    values = {"MigrationFunctionName": "payment-migration-dev"}
    monkeypatch.setattr(function.aws, "session", lambda *_: session)
    monkeypatch.setattr(PlatformOutputs, "read", lambda *_: PlatformOutputs(stack_name="s", values=values))
    with pytest.raises(Unavailable, match="payment-migration-dev failed: no route to host"):
        MigrationFunction(DEV).call({})
    values.clear()
    with pytest.raises(Unavailable, match="dev has no migration: deploy it with the setting"):
        MigrationFunction(DEV)
