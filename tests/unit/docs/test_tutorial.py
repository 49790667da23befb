"""The tutorial: each command can be given, and each change of a file is the one that its text describes."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.docs.commands_of_pages import given, refused_by_parsers

ROOT = Path(__file__).resolve().parents[3]
PAGE = "docs/tutorial.md"
COMMANDS = list(given(PAGE))
RULES, HANDLER = "lambdas/payments/fraud_rules.json", "lambdas/validation/handler.py"


def test_each_command_is_taken_by_its_own_parser() -> None:
    ours = [words for words in COMMANDS if words[:2] == ["python", "-m"]]
    assert len(ours) >= 6
    assert not refused_by_parsers(ours)


def test_each_goal_of_make_is_one() -> None:
    goals = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert {words[1] for words in COMMANDS if words[0] == "make"} <= goals


def test_nothing_else_is_given_than_what_is_checked() -> None:
    known = {"make", "source", "eval", "export", "python", "curl", "perl", "git"}
    assert {words[0] for words in COMMANDS} == known


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A copy of the files that the tutorial changes, after its changes."""
    for file in (RULES, HANDLER):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    for words in COMMANDS:
        if words[0] == "perl":
            subprocess.run(words, cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.skipif(shutil.which("perl") is None, reason="this machine has no perl")
def test_the_rule_that_is_changed_sends_a_payment_from_abroad_to_review(changed: Path) -> None:
    before, after = (json.loads((folder / RULES).read_text()) for folder in (ROOT, changed))
    assert before["rules"].pop("country_mismatch") == {"score": 20}
    assert after["rules"].pop("country_mismatch") == {"score": 40}
    assert before == after
    assert after["review_at"] == 40


@pytest.mark.skipif(shutil.which("perl") is None, reason="this machine has no perl")
def test_the_function_that_is_broken_fails_for_customers_only(changed: Path) -> None:
    text = (changed / HANDLER).read_text()
    compile(text, HANDLER, "exec")
    [line] = (
        set(text.splitlines())
        - set((ROOT / HANDLER).read_text().splitlines())
        - {'        raise RuntimeError("only customers see this")'}
    )
    assert line == "    if not request.to_candidate:"


def test_the_request_that_is_sent_differs_from_the_readmes_by_its_country() -> None:
    def body(text: str) -> dict[str, str]:
        found: dict[str, str] = json.loads(re.findall(r"-d '(\{.*\})'", text)[0])
        return found

    readme, tutorial = (body((ROOT / page).read_text()) for page in ("README.md", PAGE))
    assert tutorial == readme | {"country": "DE"}
