"""docs/exit-codes.md says what the commands end with: every one of them, each code, by its name in the code."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CODES = {
    "console": "console/__main__.py",
    "localcloud": "localcloud/__main__.py",
    "loadtest.gate": "loadtest/result.py",
    "loadtest.traffic": "loadtest/traffic.py",
    "migration": "migration/outcome.py",
    "pipeline.audit": "pipeline/audit/__main__.py",
    "pipeline.bootstrap": "pipeline/bootstrap/__main__.py",
    "pipeline.compliance": "pipeline/compliance/__main__.py",
    "pipeline.compliance.advisories": "pipeline/compliance/advisories.py",
    "pipeline.compliance.checkov": "pipeline/compliance/checkov.py",
    "pipeline.doctor": "pipeline/doctor.py",
    "pipeline.evidence": "pipeline/evidence/__main__.py",
    "pipeline.local": "pipeline/local/errors.py",
    "pipeline.release": "pipeline/release/outcome.py",
    "pipeline.review": "pipeline/review/__main__.py",
    "pipeline.review.judge": "pipeline/review/judge.py",
    "pipeline.rules": "pipeline/rules/__main__.py",
    "pipeline.transactions": "pipeline/transactions/__main__.py",
}
"""Where the class ``ExitCode`` of each command is. It is read, not imported: to import locust changes this process."""
STARTED_BY_OTHERS = {
    "console.promotions.change",
    "console.promotions.comparison",
    "localcloud.database",
    "localcloud.emulator.runtime_process",
    "pipeline.approver",
    "pipeline.change",
    "pipeline.inspection",
    "pipeline.predecessor",
}
"""Programs that a command starts and talks to: their codes reach nobody."""
SOME_OF = {"pipeline.local.deploy": "pipeline.local"}
"""Commands that end with some of another's codes."""


def rows() -> list[tuple[str, str, str]]:
    """Command, code and name of each row."""
    table = re.findall(
        r"^\| `([\w.]+)` \| *(\d*) *\| *(?:`(\w+)`)? *\|", (ROOT / "docs/exit-codes.md").read_text(), re.M
    )
    assert len(table) > 40, "the table has another form than this test reads"
    return table


def codes(command: str) -> list[tuple[int, str]]:
    """Value and name of each member of the command's ``ExitCode``."""
    [enum] = [
        node
        for node in ast.parse((ROOT / CODES[command]).read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == "ExitCode"
    ]
    return [
        (ast.literal_eval(each.value), ast.unparse(each.targets[0]))
        for each in enum.body
        if isinstance(each, ast.Assign)
    ]


@pytest.mark.parametrize("command", CODES)
def test_the_codes_of_a_command_are_those_of_the_table(command: str) -> None:
    documented = [(int(code), name) for row, code, name in rows() if row == command and code]
    assert documented == codes(command)


@pytest.mark.parametrize(("command", "owner"), SOME_OF.items())
def test_codes_that_a_command_has_of_another_are_called_the_same(command: str, owner: str) -> None:
    documented = {(int(code), name) for row, code, name in rows() if row == command}
    assert documented <= set(codes(owner))


def test_every_command_is_in_the_table() -> None:
    modules = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
        for folder in ("console", "lambdas", "loadtest", "localcloud", "migration", "pipeline", "stages")
        for file in (ROOT / folder).rglob("*.py")
        if file.name == "__main__.py" or '\nif __name__ == "__main__":\n' in file.read_text()
    }
    assert {command for command, _, _ in rows()} == (modules - STARTED_BY_OTHERS) | {"benchmarks"}


def test_the_reasons_of_a_release_command_are_those_of_the_table() -> None:
    text = (ROOT / "docs/exit-codes.md").read_text()
    documented = re.findall(r"^\| `([a-z-]+)` \| (?:retry|person|page) \|", text, re.M)
    tree = ast.parse((ROOT / CODES["pipeline.release"]).read_text())
    [why] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Why"]
    assert documented == [ast.literal_eval(each.value) for each in why.body if isinstance(each, ast.Assign)]
