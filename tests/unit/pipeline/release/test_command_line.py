"""The command line: who asked and why, what a program reads, what a person is told."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError

from environments import environment
from pipeline.release import cli
from pipeline.release.aws.identity import identity
from pipeline.release.clock import SystemClock
from pipeline.release.outcome import ExitCode
from tests.unit.pipeline.release.bench import Bench
from tests.unit.pipeline.release.fake_aws import refused
from tests.unit.pipeline.release.test_exits import CLOUDWATCH, TABLE, abandoned_at_25_percent, fails, unreadable
from tests.unit.pipeline.release.test_operators import promoted


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    """The environment on which the command line works, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    bench = Bench()

    def commands(arguments: Any) -> Any:
        return bench.controller("bob", reason=arguments.reason, override=arguments.override)

    monkeypatch.setattr(cli, "_commands", commands)
    return bench


def outcome(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of a command."""
    code = cli.main([words[0], "--env", "dev", "--json", *words[1:]])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == code
    return code, document


@pytest.mark.parametrize("command", ["abort", "rollback"])
def test_who_asked_and_why_is_in_the_record(command: str, bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert abandoned_at_25_percent(bench)

    code, document = outcome(capsys, command, "--reason", "declines rise")

    assert code == ExitCode.DONE
    [asked] = [event for event in document["release"]["events"] if event["request_id"]]
    assert (asked["asked_by"], asked["reason"]) == ("bob", "declines rise")
    assert "abort, asked for by bob: declines rise" in document["release"]["cause"]


def test_why_a_release_was_started_or_a_guard_overridden_is_in_the_record(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.aws.alarms["api-errors"] = "ALARM"

    _, overridden = outcome(capsys, "shift", "--override", "repairs it")
    _, undone = outcome(capsys, "undo", "--now", "--reason", "it did not")

    assert overridden["release"]["events"][0]["reason"] == "repairs it"
    assert undone["release"]["events"][0]["reason"] == "it did not"
    assert undone["release"]["events"][0]["asked_by"] == "bob"


def test_the_identity_is_that_of_the_credentials(bench: Bench) -> None:
    session: Any = bench.aws

    assert identity(session) == "arn:aws:sts::111122223333:assumed-role/PlatformEngineer/bob"
    fails(bench, "GetCallerIdentity")
    assert identity(session) == "unknown IAM identity"


@pytest.mark.parametrize(
    ("given", "words", "code", "why", "way_on"),
    [
        ("a freeze", ["shift"], ExitCode.REFUSED, ["frozen"], "`unfreeze` ends it"),
        ("drift", ["shift"], ExitCode.REFUSED, ["drift"], "`rollback` puts all traffic"),
        ("an alarm that rings", ["shift"], ExitCode.REFUSED, ["alarm"], "`--override REASON`"),
        ("an alarm that is deleted", ["shift"], ExitCode.BROKEN, ["missing"], "a deployment that changes it"),
        ("a record that can't be read", ["shift"], ExitCode.BROKEN, ["unreadable"], "`rollback` replaces it"),
        ("no table", ["shift"], ExitCode.UNAVAILABLE, ["aws"], ""),
        ("no right", ["shift"], ExitCode.DENIED, ["denied"], "get the right"),
        ("no credentials", ["status"], ExitCode.DENIED, ["denied"], ""),
        ("nothing", ["abort"], ExitCode.REFUSED, ["not-under-way"], "`rollback` repairs"),
        ("nothing", ["pause"], ExitCode.REFUSED, ["not-under-way"], "`shift` starts one"),
        ("nothing", ["undo"], ExitCode.REFUSED, ["no-version"], "`undo --now --to VERSIONS`"),
        ("nothing", ["history"], ExitCode.DONE, [], ""),
    ],
)
def test_a_program_can_tell_retry_from_page_and_a_person_is_told_the_way_on(
    given: str,
    words: list[str],
    code: ExitCode,
    why: list[str],
    way_on: str,
    bench: Bench,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def denies(operation: str, when: str) -> None:
        raise NoCredentialsError if given == "no credentials" else refused(operation, "AccessDeniedException")

    match given:
        case "a freeze":
            bench.controller("carol", reason="the year ends").freeze()
        case "drift":
            bench.aws.weights = {"blue": 60, "green": 40}
        case "an alarm that rings":
            bench.aws.alarms["api-errors"] = "ALARM"
        case "an alarm that is deleted":
            del bench.aws.alarms["api-errors"]
        case "a record that can't be read":
            unreadable(promoted(bench))
        case "no table":
            fails(bench, "Query", "PutItem")
        case "no right" | "no credentials":
            bench.aws.disturb = denies

    ended, document = outcome(capsys, *words)

    assert (ended, document["why"]) == (code, why), document["text"]
    assert way_on in document["text"]


def test_a_person_is_told_the_runbook(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["history", "--env", "dev"]) == ExitCode.DONE
    assert "docs/runbooks" not in capsys.readouterr().out
    bench.aws.weights = {"blue": 60, "green": 40}

    assert cli.main(["shift", "--env", "dev"]) == ExitCode.REFUSED

    assert capsys.readouterr().err.splitlines()[-1] == "  what to do: docs/runbooks/refused.md"


@pytest.mark.parametrize("name", ["prodd", "pord", "prd", "prid", "stagng", "devv", "dve", "de"])
def test_a_slip_in_the_name_of_an_environment_is_caught_before_aws_is_asked(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["rollback", "--env", name]) == ExitCode.USAGE
    assert "did you mean" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["test", "demo", "dev-2", "prod2", "pr-128", "stage", "ci"])
def test_names_of_ephemeral_environments_are_no_slips(name: str) -> None:
    assert environment(name).name == name


@pytest.mark.parametrize("word", [word for word in cli.COMMANDS if word != "plan"])
def test_the_help_of_each_command_has_an_example_that_parses(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([word, "--help"])

    text = capsys.readouterr().out
    examples = [line.split("pipeline.release ")[1] for line in text.splitlines() if line.startswith("  python -m")]
    assert examples
    for example in examples:
        assert cli._parser().parse_args(shlex.split(example)).command == word
    assert "exit codes:" in text


@pytest.mark.parametrize("text", ["", "seven", "validation", "validation=", "nothing=7", "validation=7,", "-1"])
def test_versions_that_make_no_sense_are_a_usage_error(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["undo", "--env", "dev", f"--to={text}"])

    assert end.value.code == ExitCode.USAGE
    assert "write it as 7, or validation=7,processing=5" in capsys.readouterr().err


def test_a_build_ends_at_the_time_out_that_the_pipeline_gives_it() -> None:
    release = environment("prod").release

    assert cli._build_ends(release, {}) is None
    ends = cli._build_ends(release, {"CODEBUILD_START_TIME": "1800000000000"})
    assert ends == 1_800_000_000 + 60 * release.build_minutes
    assert release.build_minutes * 60 == pytest.approx(900 + release.most_seconds, abs=30)


@pytest.mark.parametrize("words", [("rollback", "--force"), ("undo", "--now", "--to", "1")])
def test_the_emergency_exits_need_no_cloudformation_either(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given nothing but ELB and Lambda
    monkeypatch.chdir(tmp_path)
    bench = Bench()
    bench.aws.weights = {"blue": 40, "green": 60}
    monkeypatch.setattr(cli, "session", lambda region, environment: bench.aws)
    monkeypatch.setattr(SystemClock, "listen", lambda self: None)
    monkeypatch.setattr(SystemClock, "sleep", lambda self, seconds: None)
    fails(bench, *TABLE, *CLOUDWATCH, "Publish", "DescribeStacks", "GetCallerIdentity")

    code = cli.main([words[0], "--env", "test", *words[1:]])

    assert code == ExitCode.DONE, capsys.readouterr()
    assert bench.all_on("1")


def test_a_reason_is_text_to_the_terminal_that_watches(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a freeze whose reason would change the title of a terminal
    assert cli.main(["freeze", "--env", "dev", "--reason", "\x1b]0;owned\x07 the year ends"]) == ExitCode.DONE
    # When somebody watches on a terminal, until Ctrl-C
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    bench.clock.after(1, bench.clock.interrupt)
    assert cli.main(["watch", "--env", "dev"]) == ExitCode.DONE
    # Then the reason is shown, and not obeyed
    shown = capsys.readouterr().out
    assert "\\x1b]0;owned\\x07 the year ends" in shown
    assert "\x1b]0;" not in shown
