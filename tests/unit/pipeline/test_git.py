"""git is called in one way, so that neither a hook's variables nor a person's configuration change what it does."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline import doctor, git

ROOT = Path(__file__).resolve().parents[3]
IDENTITY = ("-c", "user.name=Given", "-c", "user.email=given@example.com")
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


def committed(folder: Path, message: str) -> None:
    git.git("add", "--all", folder=folder)
    git.git(*IDENTITY, "commit", "--quiet", "--allow-empty", "--message", message, folder=folder)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two files in two folders, in two commits."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git.git("init", "--quiet", folder=folder)
    for name in ("lambdas/Handler.py", "notes/page.txt"):
        (folder / name).parent.mkdir()
        (folder / name).write_text(name)
        committed(folder, f"Add {name}")
    return folder


def sparse(repository: Path) -> Path:
    git.git("sparse-checkout", "set", "notes", folder=repository)
    assert not (repository / "lambdas").exists()
    return repository


def shallow(repository: Path) -> Path:
    git.git("clone", "--quiet", "--depth=1", f"file://{repository}", f"{repository}-clone")
    return Path(f"{repository}-clone")


def renamed(repository: Path) -> Path:
    """A rename of upper to lower case and back, in a checkout that takes both for the same name."""
    for old, new in (("Handler", "handler"), ("handler", "Handler")):
        git.git("mv", f"lambdas/{old}.py", f"lambdas/{new}.py", folder=repository)
        committed(repository, f"Rename to {new}")
    git.git("config", "core.ignorecase", "true", folder=repository)
    return repository


@pytest.mark.parametrize("checkout", [sparse, shallow, renamed])
def test_the_files_of_a_commit_are_whole_whatever_the_checkout_shows(
    repository: Path, tmp_path: Path, checkout: Callable[[Path], Path]
) -> None:
    folder, target = checkout(repository), tmp_path / "target"
    target.mkdir()
    git.write_files(git.commit_id("HEAD", folder=folder), target, folder=folder)
    found = {str(path.relative_to(target)): path.read_text() for path in target.rglob("*") if path.is_file()}
    assert found == {name: name for name in ("lambdas/Handler.py", "notes/page.txt")}


def test_the_doctor_asks_the_repository_of_this_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a hook of another repository, whose last commit is of the future
    git.git("init", "--quiet", folder=tmp_path)
    future = {"GIT_COMMITTER_DATE": "2090-01-01T00:00:00Z"}
    git.git(*IDENTITY, "commit", "--quiet", "--allow-empty", "--message", "Later", folder=tmp_path, more=future)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    # When the doctor looks at the clock, then it compares it with this checkout's
    assert doctor.clock()
