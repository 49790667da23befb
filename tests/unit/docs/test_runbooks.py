"""The runbooks: each has all its parts, each exit code has one, and each command on them is one that can be given."""

import re
from pathlib import Path

import pytest

from benchmarks._pages import page_of_cause
from pipeline.release.outcome import ExitCode, Outcome, Why, runbook
from tests.unit.docs.commands_of_pages import check_aws_command, given, refused_by_parsers
from tests.unit.docs.test_references import text_of

ROOT = Path(__file__).resolve().parents[3]
INDEX = "docs/runbooks/README.md"
RUNBOOKS = sorted(
    str(page.relative_to(ROOT)) for page in (ROOT / "docs/runbooks").glob("*.md") if page.name != "README.md"
)
PARTS = ["You see", "Customers now", "First minute", "Decide", "Verify", "Wake, and write down"]
WITH_A_CODE_OF_THEIR_OWN = {Why.AWS, Why.DENIED, Why.NOT_DEPLOYED, Why.MISSING, Why.UNREADABLE, Why.HELD}


@pytest.mark.parametrize("page", RUNBOOKS)
def test_each_runbook_has_the_same_parts(page: str) -> None:
    assert re.findall(r"^## (.+)$", text_of(page), re.M) == PARTS


def test_each_runbook_is_found_by_its_symptom() -> None:
    linked = {Path(target).name for target in re.findall(r"\]\(([\w-]+\.md)", text_of(INDEX))}
    assert {Path(page).name for page in RUNBOOKS} <= linked


def test_each_exit_code_has_a_page() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| (\d+) \|(.*)$", text_of("docs/exit-codes.md"), re.M)
    assert len(rows) > 40
    without = [f"{command} {code}" for command, code, rest in rows if code not in "02" and "](" not in rest]
    assert not without


def test_a_release_command_names_the_page_of_its_exit_code() -> None:
    for code in set(ExitCode) - {ExitCode.DONE, ExitCode.USAGE}:
        [row] = re.findall(rf"^\| `pipeline.release` \| {code:d} \|.*$", text_of("docs/exit-codes.md"), re.M)
        pages = set(re.findall(r"\]\(runbooks/([\w-]+)\.md", row))
        named = {runbook(Outcome(code=code, text="", why=why)) for why in ((), (Why.UNREADABLE,))}
        assert {str(each).removeprefix("what to do: ") for each in named} >= {f"docs/runbooks/{p}.md" for p in pages}


def test_each_reason_of_a_refusal_has_a_row() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|", text_of("docs/runbooks/refused.md"), re.M)
    assert rows == [why for why in Why if why not in WITH_A_CODE_OF_THEIR_OWN]


def test_the_causes_of_a_rollback_are_the_controllers_own_words() -> None:
    table = text_of(INDEX).partition("## Rolled back")[2].partition("## ")[0]
    causes = [cause for row in re.findall(r"^\| (`.*?) \|", table, re.M) for cause in re.findall(r"`([^`]+)`", row)]
    assert len(causes) >= 12
    code = "".join(file.read_text() for file in (ROOT / "pipeline/release").rglob("*.py"))
    for cause in causes:
        assert all(part.strip() in code for part in re.split("…", cause)), cause


@pytest.mark.parametrize(
    ("cause", "page"),
    [
        ("alarm: payment-candidate-errors-processing-prod", "rolled-back-by-alarm"),
        ("5 failures in a row, the last: a call was refused", "five-failures"),
        ("clients lost more requests than the error budget allows: see traffic.json", "requests-lost"),
    ],
)
def test_a_cause_leads_to_its_page(cause: str, page: str) -> None:
    assert page_of_cause(cause) == page


def test_each_command_is_taken_by_its_own_parser() -> None:
    commands = [words for page in [*RUNBOOKS, INDEX] for words in given(page)]
    ours = [words for words in commands if words[:2] == ["python", "-m"]]
    assert len(ours) > 50
    assert not refused_by_parsers(ours)


@pytest.mark.parametrize("page", [*RUNBOOKS, INDEX])
def test_each_raw_line_is_an_operation_of_aws_with_its_parameters(page: str) -> None:
    for words in given(page):
        if "aws" in words:
            check_aws_command(words[words.index("aws") :])


@pytest.mark.parametrize("page", [*RUNBOOKS, INDEX])
def test_nothing_else_is_given_than_what_is_checked(page: str) -> None:
    known = {"python", "aws", "source", "eval", "sleep", "git"}
    others = [words for words in given(page) if words[0] not in known and not re.match(r"\w+=RESULT$", words[0])]
    assert not others
