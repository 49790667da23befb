"""The review's commands on a runner: they compare with the start of the branch, and never hide a failure."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

WORKFLOW = Path(__file__).resolve().parents[3] / ".github" / "workflows" / "review.yml"
COMMANDS = {
    step["name"]: step["run"]
    for step in yaml.safe_load(WORKFLOW.read_text())["jobs"]["review"]["steps"]
    if "run" in step
}
MAKE = '#!/bin/sh\necho "$@" > asked; exit ${MAKE_EXITS:-0}\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A branch that starts at the second of three commits of main, and a ``make`` that records its arguments."""
    for name in ("bin", "tree"):
        (tmp_path / name).mkdir()
    make = tmp_path / "bin" / "make"
    make.write_text(MAKE)
    make.chmod(0o755)
    tree = tmp_path / "tree"
    git(tree, "init", "-q", "-b", "main")
    for message in ("first", "second", "third"):
        commit(tree, message)
    git(tree, "checkout", "-q", "-b", "feature", "main~1")
    commit(tree, "mine")
    return tree


def git(tree: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=tree, check=True, capture_output=True, text=True).stdout.strip()


def commit(tree: Path, message: str) -> None:
    git(tree, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "--allow-empty", "-m", message)


def run(step: str, tree: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command with ``bash -e``, as the runner does."""
    environ = os.environ | {"PATH": f"{tree.parent / 'bin'}:{os.environ['PATH']}"} | variables
    return subprocess.run(["bash", "-e", "-c", COMMANDS[step]], cwd=tree, env=environ, capture_output=True, text=True)


def summary(tree: Path) -> str:
    file = tree.parent / "summary.md"
    assert run("Summarise", tree, GITHUB_STEP_SUMMARY=str(file)).returncode == 0
    return file.read_text()


def test_the_base_is_the_commit_where_the_branch_began(checkout: Path) -> None:
    assert run("Compare with the base", checkout, BASE=git(checkout, "rev-parse", "main")).returncode == 0
    assert (checkout / "asked").read_text() == f"review BASE={git(checkout, 'rev-parse', 'main~1')}\n"


@pytest.mark.parametrize(("before", "base"), [("main~2", "main~2"), ("0" * 40, "HEAD~1"), ("f" * 40, "HEAD~1")])
def test_a_push_is_compared_with_the_former_head_and_a_forced_one_with_its_parent(
    checkout: Path, before: str, base: str
) -> None:
    assert run("Compare with the base", checkout, BASE="", BEFORE=before).returncode == 0
    assert (checkout / "asked").read_text() == f"review BASE={git(checkout, 'rev-parse', base)}\n"


def test_findings_fail_the_step(checkout: Path) -> None:
    assert run("Compare with the base", checkout, BASE="main", MAKE_EXITS="2").returncode == 2


def test_a_base_that_is_not_there_fails_the_step_before_anything_is_compared(checkout: Path) -> None:
    assert run("Compare with the base", checkout, BASE="0" * 40).returncode != 0
    assert not (checkout / "asked").exists()


def test_the_summary_is_the_report(checkout: Path) -> None:
    (checkout / "reports" / "review").mkdir(parents=True)
    (checkout / "reports" / "review" / "review.md").write_text("### 2 new findings\n")
    assert summary(checkout) == "### 2 new findings\n"


@pytest.mark.parametrize("left", [None, ""])
def test_the_summary_says_so_when_there_is_no_report(checkout: Path, left: str | None) -> None:
    if left is not None:
        (checkout / "reports" / "review").mkdir(parents=True)
        (checkout / "reports" / "review" / "review.md").write_text(left)
    assert "not compared" in summary(checkout)
