"""The command that accepts a finding: it writes one right entry, or nothing."""

from datetime import date
from pathlib import Path

import pytest

from pipeline.compliance.__main__ import main
from pipeline.compliance.acknowledgements import load

TODAY = date(2030, 6, 1)
TABLE = """owners = ["the tests", "platform"]  # A comment that stays.

[[acknowledgement]]
constructs = ["Platform/Topic/Resource"]
findings = ["AwsSolutions::AwsSolutions-SNS3"]
reason = "Only a test publishes to it."
owner = "the tests"
expires = 2030-12-01
"""
WHAT = ["acknowledge", "--construct", "Platform/Logs/Resource", "--finding", "checkov::CKV_AWS_18"]
REASON = 'It keeps "the logs" of others, itself \\ has none.'
TERMS = ["--reason", REASON, "--owner", "platform", "--expires", "2031-05-31"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "acknowledgements.toml"
    file.write_text(TABLE)
    return file


def test_an_entry_is_written_below_the_others(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WHAT, *TERMS, "--env", "dev"], table=table, today=TODAY) == 0
    assert "Written: acknowledgements.toml:10." in capsys.readouterr().out
    assert table.read_text().startswith(TABLE)
    former, new = load(table)
    assert (former.line, new.line) == (3, 10)
    assert (new.constructs, new.findings) == (("Platform/Logs/Resource",), ("checkov::CKV_AWS_18",))
    assert (new.reason, new.owner, new.expires) == (REASON, "platform", date(2031, 5, 31))
    assert new.environments == ("dev",)
    assert [file.name for file in table.parent.iterdir()] == [table.name]


def test_what_is_not_given_is_asked_for(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"Why": REASON, "Who answers for it (the tests, platform)?": "platform", "Looked at": "2031-01-31"}
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda asked: next(answers[of] for of in answers if asked.startswith(of)))
    assert main(WHAT, table=table, today=TODAY) == 0
    assert (load(table)[-1].reason, load(table)[-1].expires) == (REASON, date(2031, 1, 31))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*WHAT], "--reason is missing, and there is no terminal to ask at"),
        ([*WHAT, *TERMS, "--expires", "2031-06-31"], "'2031-06-31' is no date of the form YYYY-MM-DD"),
        ([*WHAT, *TERMS, "--expires", "2032-06-01"], "2032-06-01 is not within the next year"),
        ([*WHAT, *TERMS, "--expires", "2030-06-01"], "2030-06-01 is not within the next year"),
        ([*WHAT, *TERMS, "--reason", "wontfix"], "acknowledgements.toml:10: the reason is too short for a reviewer"),
        (
            [*WHAT, *TERMS, "--owner", "plattform"],
            "acknowledgements.toml:10: unknown owner 'plattform'. Known: the tests, platform (owners, at the head",
        ),
        ([*WHAT, *TERMS, "--finding", "CKV_AWS_18"], "'CKV_AWS_18' is not a long id"),
        (
            [*WHAT, *TERMS, "--construct", "Platform/Topic/Resource", "--finding", "AwsSolutions::AwsSolutions-SNS3"],
            "is acknowledged 2 times",
        ),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_refused_and_the_table_stays(
    arguments: list[str], said: str, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments, table=table, today=TODAY) == 1
    assert said in capsys.readouterr().err
    assert table.read_text() == TABLE
    assert [file.name for file in table.parent.iterdir()] == [table.name]
