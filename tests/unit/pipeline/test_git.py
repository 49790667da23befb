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


def test_the_files_of_a_commit_are_as_stored_whatever_the_person_has_configured(
    repository: Path, tmp_path: Path
) -> None:
    # Given a file with a filter, a script, a file that always has the line ends of Windows, and a link
    files = {"secret": "stored\n", "run.sh": "#!/bin/sh\ntrue\n", "run.bat": "rem\n"}
    for name, text in files.items():
        (repository / name).write_text(text)
    (repository / "link").symlink_to("run.sh")
    (repository / ".gitattributes").write_text("secret filter=crypt\n*.bat text eol=crlf\n")
    committed(repository, "Add them")
    # And a person whose git decrypts the one, and writes the line ends of Windows, and no links
    settings = {"core.autocrlf": "true", "core.symlinks": "false", "filter.crypt.smudge": "tr a-z A-Z"}
    for name, value in {**settings, "filter.crypt.required": "true"}.items():
        git.git("config", name, value, folder=repository)
    # When the files are written, then they are those of a build server, which has no such configuration
    target = tmp_path / "target"
    target.mkdir()
    git.write_files("HEAD", target, folder=repository)
    assert {name: (target / name).read_bytes() for name in files} == {
        "secret": b"stored\n", "run.sh": b"#!/bin/sh\ntrue\n", "run.bat": b"rem\r\n",
    }  # fmt: skip
    assert (target / "link").is_symlink()


def test_the_doctor_asks_the_repository_of_this_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a hook of another repository, whose last commit is of the future
    git.git("init", "--quiet", folder=tmp_path)
    future = {"GIT_COMMITTER_DATE": "2090-01-01T00:00:00Z"}
    git.git(*IDENTITY, "commit", "--quiet", "--allow-empty", "--message", "Later", folder=tmp_path, more=future)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    # When the doctor looks at the clock, then it compares it with this checkout's
    assert doctor.clock()
