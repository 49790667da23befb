"""git, called in one way: it sees the repository that it is given, and its output is not changed by configuration.

A git hook hands its own repository down in variables such as ``GIT_DIR``. A git command that inherits them works on
that repository, whatever folder it is called in.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

_KEPT = ("GIT_AUTHOR_", "GIT_COMMITTER_", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
"""Variables of the person. All others that begin with ``GIT_`` may name a repository, an index or a configuration."""

_SETTINGS = ("-c", "log.showSignature=false", "-c", "i18n.logOutputEncoding=UTF-8")
"""Otherwise the output of a signature check stands before the subject, and a subject may be no UTF-8."""


class GitError(Exception):
    """git is not installed, or could not do it. The message ends with git's own last line."""


def environment() -> dict[str, str]:
    """The environment variables of every git command."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name.startswith(_KEPT)}
    return {**kept, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}


def git(
    *arguments: str,
    folder: Path | None = None,
    repository: Path | None = None,
    more: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | None = None,
) -> str:
    """The output of ``git arguments``, without spaces at its ends.

    ``folder``: where it runs (default: the working directory). ``repository``: the git directory that it uses (default:
    the one that git finds from ``folder``). ``more``: further environment variables. ``settings``: outweigh those of
    git's configuration. Raises ``GitError``.
    """
    outweighing = [word for name, value in (settings or {}).items() for word in ("-c", f"{name}={value}")]
    where = ["--git-dir", str(repository)] if repository else []
    try:
        done = subprocess.run(
            ["git", *_SETTINGS, *outweighing, *where, *arguments],
            cwd=folder,
            env={**environment(), **(more or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=True,
        )
    except OSError as error:
        raise GitError(f"git can't be run: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip().rpartition("\n")[2]
        raise GitError(f"git {arguments[0]}: {reason}") from error
    return done.stdout.strip()


def commit_id(revision: str, *, folder: Path | None = None, repository: Path | None = None) -> str:
    """The 40 hex digits of the commit that ``revision`` names. Raises ``GitError`` when it names none."""
    return git(
        "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}", folder=folder, repository=repository
    )


def write_files(commit: str, target: Path, *, folder: Path | None = None, repository: Path | None = None) -> None:
    """Write all files of ``commit`` to the empty folder ``target``.

    Attributes such as ``export-ignore`` leave nothing out, and a file of Git LFS is written as its pointer: a source
    action of CodePipeline delivers the same. It knows nothing of a person's configuration either, by which git would
    write other line ends, or run filters. A submodule is an empty folder. Raises ``GitError``.
    """
    with TemporaryDirectory() as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch) / "index"), "GIT_WORK_TREE": str(target)}
        directory = repository or Path(git("rev-parse", "--absolute-git-dir", folder=folder))
        git("read-tree", commit, folder=target, repository=directory, more=index)
        settings = _as_stored(directory)
        git("checkout-index", "--all", "--force", folder=target, repository=directory, more=index, settings=settings)


def _as_stored(repository: Path) -> dict[str, str]:
    """The settings by which git writes files as they are stored, except for what the commit's own attributes say of
    line ends."""
    names = git("config", "--list", "--name-only", "-z", repository=repository).split("\0")
    filters = {name: "false" if name.endswith(".required") else "" for name in names if name.startswith("filter.")}
    plain = {"core.autocrlf": "false", "core.eol": "lf", "core.symlinks": "true", "core.attributesFile": os.devnull}
    return plain | filters
