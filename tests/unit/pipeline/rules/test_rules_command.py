"""``python -m pipeline.rules``: refuses wrong files with line and reason, and overrides live rules with a trace."""

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.payments.rules import in_force, shipped
from names import Function
from pipeline.rules import __main__ as command
from stages.parameters import NO_OVERRIDE

FILE = Path(__file__).parents[4] / "lambdas" / "payments" / "fraud_rules.json"
OWN = shipped()
NUMBER = OWN.version.removeprefix("shipped-")


class Platform:
    """The parameter, and the versions that stable and candidate name."""

    def __init__(self) -> None:
        self.values = [NO_OVERRIDE]
        self.rules: dict[str, str | None] = {"blue": NUMBER, "green": NUMBER}
        self.before_write: Callable[[], None] = lambda: None

    def client(self, service: str, config: Any = None) -> "Platform":
        return self

    def describe_stacks(self, StackName: str) -> Any:
        return {"Stacks": [{"Outputs": [{"OutputKey": f.name_output, "OutputValue": f} for f in Function]}]}

    def get_alias(self, FunctionName: str, Name: str) -> Any:
        return {"FunctionVersion": {"blue": "4", "green": "5"}[Name]}

    def get_function_configuration(self, FunctionName: str, Qualifier: str) -> Any:
        rules = self.rules[{"4": "blue", "5": "green"}[Qualifier]]
        return {"Environment": {"Variables": {"RULES_VERSION": rules} if rules else {}}}

    def get_caller_identity(self) -> Any:
        return {"Arn": "arn:aws:iam::111111111111:user/ada"}

    def get_parameter(self, Name: str) -> Any:
        assert Name.startswith("/payment/fraud-rules-")
        return {"Parameter": {"Value": self.values[-1], "Version": len(self.values)}}

    def put_parameter(self, Name: str, Value: str, Type: str, Overwrite: bool) -> Any:
        self.before_write()
        self.values.append(Value)
        return {"Version": len(self.values)}

    def get_paginator(self, operation: str) -> "Platform":
        return self

    def paginate(self, Name: str) -> Any:
        at = datetime(2026, 11, 28, 19, 0, tzinfo=UTC)
        return [
            {
                "Parameters": [
                    {"Version": number, "Value": value, "LastModifiedDate": at, "LastModifiedUser": "ada"}
                    for number, value in enumerate(self.values, 1)
                ]
            }
        ]


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Platform:
    platform = Platform()
    monkeypatch.setattr(command, "session", lambda region, environment: platform)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return platform


def written(tmp_path: Path, text: str | bytes) -> str:
    file = tmp_path / "rules.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(file)


def stricter(tmp_path: Path) -> str:
    return written(tmp_path, FILE.read_text().replace('"decline_at": 80', '"decline_at": 60'))


def put(file: str, *options: str, env: str = "dev") -> int:
    return command.main(["put", file, "--env", env, "--reason", "an attack", *options])


def test_the_shipped_rules_are_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["check", str(FILE)]) == 0
    assert "13 rules, review from 40, decline from 80; off: none" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ('"score": 20', '"score": -20'),
            ":12: rules.country_mismatch.score: is -20; allowed is a whole number from 0",
        ),
        (('"review_at": 40', '"review_at": 90'), ":2: review_at: is 90; at most decline_at, which is 80"),
        (('"country_mismatch"', '"country_missmatch"'), ":12: rules.country_missmatch: is unknown; allowed are"),
        (('"country_mismatch"', '"amount_anomaly"'), ":12: amount_anomaly: stands twice in one object"),
        (('"score": 20', '"score": 20,'), ":12: is no JSON"),
        (('"count": 12', '"count": 1e9'), ":5: rules.customer_velocity_count.count: is 1000000000.0; allowed"),
        (("40", "40 " + " " * 70_000), ": is larger than 65,536 bytes"),
        (
            ("score", "sc\u00f6re"),
            ": rules.customer_velocity_count.sc\u00f6re: is unknown; allowed are score, seconds, count",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_line_and_path(
    change: tuple[str, str], message: str, tmp_path: Path, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, FILE.read_text().replace(*change))
    assert (command.main(["check", file]), put(file)) == (1, 1)
    assert message in capsys.readouterr().err
    assert platform.values == [NO_OVERRIDE]


def test_a_file_that_is_not_there_or_not_utf_8_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["check", str(tmp_path / "none.json")]) == 1
    assert "can't be read: No such file" in capsys.readouterr().err
    assert command.main(["check", written(tmp_path, b'{\n"a": "\xff"}')]) == 1
    assert ":2: is not UTF-8" in capsys.readouterr().err


def test_an_override_says_what_changes_for_whom_and_records_who_and_why(
    tmp_path: Path, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a candidate with other rules
    platform.rules["green"] = "0123456789"
    # When somebody overrides the live rules
    assert put(stricter(tmp_path)) == 0
    # Then it says what changes, and that the candidate is not touched
    shown = capsys.readouterr().out
    assert "decline_at: 80 -> 60" in shown
    assert f"stable     version 4  ships rules {NUMBER}: follows override " in shown
    assert "candidate  version 5  ships rules 0123456789: follows them" in shown
    # And the functions with stable's rules follow it
    assert in_force(platform.values[-1], OWN).decline_at == 60
    assert json.loads(platform.values[-1])["override"] | {"at": "now"} == {
        "replaces": [NUMBER],
        "by": "arn:aws:iam::111111111111:user/ada",
        "at": "now",
        "reason": "an attack",
    }
    # And it can be seen, and withdrawn, with the reason
    assert command.main(["show", "--env", "dev"]) == 0
    assert (
        "  2  2026-11-28 19:00:00  override by arn:aws:iam::111111111111:user/ada: an attack" in capsys.readouterr().out
    )
    assert command.main(["withdraw", "--env", "dev", "--reason", "it is over"]) == 0
    assert in_force(platform.values[-1], OWN) is OWN
    assert command.main(["show", "--env", "dev"]) == 0
    assert "withdrawn by arn:aws:iam::111111111111:user/ada: it is over" in capsys.readouterr().out


def test_functions_from_before_overrides_follow_both_kinds_of_value(tmp_path: Path, platform: Platform) -> None:
    platform.rules["blue"] = None
    assert put(stricter(tmp_path)) == 0
    document = json.loads(platform.values[-1])
    assert document.keys() >= {"review_at", "decline_at", "rules"}
    # The candidate has rules of its own
    assert in_force(platform.values[-1], OWN) is OWN


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answer", "options", "code"),
    [(io.StringIO("prod\n"), (), 4), (Terminal("yes\n"), (), 4), (Terminal(""), (), 4), (Terminal("prod\n"), (), 0),
     (io.StringIO(), ("--yes",), 0)],
)  # fmt: skip
def test_prod_must_be_confirmed_by_its_name(
    answer: io.StringIO, options: tuple[str, ...], code: int, tmp_path: Path, platform: Platform,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("sys.stdin", answer)
    assert put(stricter(tmp_path), *options, env="prod") == code
    assert len(platform.values) == (2 if code == 0 else 1)


def test_somebody_elses_change_meanwhile_is_said(
    tmp_path: Path, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    platform.before_write = lambda: platform.values.append("theirs")
    assert put(stricter(tmp_path)) == 0
    assert "Somebody else wrote number 2 meanwhile" in capsys.readouterr().out


def test_an_override_must_fit_into_the_parameter(tmp_path: Path, platform: Platform) -> None:
    assert put(stricter(tmp_path), "--reason", "\u00e4" * 300) == 0
    assert len(platform.values[-1].encode()) <= 4096


@pytest.mark.parametrize("reason", ["", " ", "a" * 301, "two\nlines"])
def test_a_change_needs_a_reason(reason: str, tmp_path: Path, platform: Platform) -> None:
    with pytest.raises(SystemExit) as ended:
        put(stricter(tmp_path), "--reason", reason)
    assert ended.value.code == 2


def test_an_aws_that_refuses_changes_nothing(
    tmp_path: Path, platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutParameter")

    monkeypatch.setattr(platform, "put_parameter", refuse)
    assert put(stricter(tmp_path)) == 3
    assert "AccessDenied" in capsys.readouterr().err
