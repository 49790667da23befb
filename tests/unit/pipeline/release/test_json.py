"""Every command's `--json` is as docs/release-outcome.schema.json says."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pipeline.release import cli
from pipeline.release.outcome import ExitCode
from tests.unit.pipeline.release.bench import Bench
from tests.unit.pipeline.release.fake_aws import refused
from tests.unit.pipeline.release.test_exits import fails, unreadable
from tests.unit.pipeline.release.test_operators import left_at_25_percent, promoted

SCHEMA = json.loads((Path(__file__).parents[4] / "docs/release-outcome.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    monkeypatch.chdir(tmp_path)
    bench = Bench()
    monkeypatch.setattr(
        cli,
        "_commands",
        lambda arguments: bench.controller(
            "bob", reason=arguments.reason, override=arguments.override, dry_run=arguments.dry_run
        ),
    )
    return bench


def outcome(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The JSON of a command, which is as the schema says; so is that of its file."""
    code = cli.main([words[0], "--env", "dev", "--json", *words[1:]])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    VALIDATOR.validate(document)
    assert document["exit_code"] == code
    file = Path("reports/dev/outcome.json")
    if cli.COMMANDS[words[0]].moves and "--dry-run" not in words:
        VALIDATOR.validate(json.loads(file.read_text()))
    return document


def test_the_schema_is_one_and_names_every_command() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["command"]["enum"] == list(cli.COMMANDS)


@pytest.mark.parametrize("word", cli.COMMANDS)
@pytest.mark.parametrize("given", ["nothing", "a candidate", "a promoted release", "an abandoned release", "no AWS"])
def test_each_command_ends_with_json_of_the_schema(
    word: str, given: str, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    match given:
        case "nothing":
            bench.aws.deploy("1")
        case "a promoted release":
            promoted(bench)
        case "an abandoned release":
            left_at_25_percent(bench)
        case "no AWS":

            def away(operation: str, when: str) -> None:
                raise refused(operation)

            bench.aws.disturb = away

    document = outcome(capsys, word, *(["--reason", "a test"] if cli.COMMANDS[word].needs_reason else []))

    ends = (ExitCode.DONE, ExitCode.REFUSED, ExitCode.ROLLED_BACK)
    assert document["exit_code"] in (ends if given != "no AWS" or word == "plan" else (ExitCode.UNAVAILABLE,))


def test_the_status_of_a_release_has_everything_that_a_program_asks_for(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    left_at_25_percent(bench)
    bench.controller("carol", reason="the year ends").freeze()

    status = outcome(capsys, "status")["status"]

    assert status["stable"]["processing"] == "1"
    assert status["deployed"]["processing"] == "2"
    assert status["traffic"]["listener"] == {"blue": 75, "green": 25, "others": {}}
    assert status["traffic"]["aliases"]["validation"] == {"version": "1", "shares": {"2": 25.0}}
    assert status["traffic"]["percent"]["/process"] == status["traffic"]["percent"]["/validate"] == {"1": 75, "2": 25}
    assert status["drift"] is None
    assert status["alarms"] == []
    assert status["health"]["candidate"]["requests"] > 0
    assert {**status["step"], "seconds_left": 0} == {
        "number": 2, "of": 4, "weight": 25, "waits_for": "bake", "seconds_left": 0,
    }  # fmt: skip
    assert 0 < status["step"]["seconds_left"] <= 60
    assert (status["lease"]["holder"], status["lease"]["expired"]) == ("ann", False)
    assert status["freeze"]["reason"] == "the year ends"
    assert {finding["verdict"] for finding in status["findings"]} == {"pass"}


def test_a_status_of_which_half_is_away_is_of_the_schema_too(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    for operation in ("DescribeListeners", "GetAlias", "DescribeAlarms", "GetMetricData", "Query", "GetItem"):
        bench.aws.disturb = lambda *_: None
        fails(bench, operation)
        document = outcome(capsys, "status")
        assert document["status"]["unknown"]
        assert document["why"] == ["aws"]
    bench.aws.disturb = lambda *_: None
    bench.aws.maintenance = True
    assert outcome(capsys, "status")["status"]["traffic"]["listener"]["others"] == {"fixed-response": 1}


def test_history_plan_freeze_and_a_dry_run_are_lists_and_objects(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    promoted(bench)
    unreadable(bench, "20200101T000000.000Z")
    outcome(capsys, "undo", "--now")

    history = outcome(capsys, "history")
    assert [release["undoes"] for release in history["history"]] == [True, False]
    assert "cannot be read" in history["unreadable"][0]
    assert outcome(capsys, "plan")["plan"]["weights"] == [10, 25, 50, 100]
    assert outcome(capsys, "freeze", "--reason", "the end")["freeze"]["frozen"] is True
    outcome(capsys, "unfreeze", "--reason", "the begin")
    bench.aws.deploy("3")
    assert any("listener → blue 90, green 10" in call for call in outcome(capsys, "shift", "--dry-run")["calls"])
