"""git is called in one way, so that neither a hook's variables nor a person's configuration change what it does."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import doctor, git

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = (
    "benchmarks",
    "console",
    "lambdas",
    "loadtest",
    "localcloud",
    "migration",
    "pipeline",
    "reporting",
    "stages",
)


def commands_of_git() -> Iterator[str]:
    """Each list of the product whose first word is git: a command line."""
    for path in (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.List(elts=[ast.Constant(value="git"), *_]):
                    yield str(path.relative_to(ROOT))


def test_no_other_module_runs_git() -> None:
    assert {*commands_of_git()} == {"pipeline/git.py"}


def test_the_doctor_asks_the_repository_of_this_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a hook of another repository, whose last commit is of the future
    git.git("init", "--quiet", folder=tmp_path)
    identity = ("-c", "user.name=Given", "-c", "user.email=given@example.com")
    future = {"GIT_COMMITTER_DATE": "2090-01-01T00:00:00Z"}
    git.git(*identity, "commit", "--quiet", "--allow-empty", "--message", "Later", folder=tmp_path, more=future)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    # When the doctor looks at the clock, then it compares it with this checkout's
    assert doctor.clock()
