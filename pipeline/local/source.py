"""The code under promotion: one exported commit, or, without git, a copy of the folder."""

import hashlib
import posixpath
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pipeline.git import GitError, commit_id, git, write_files
from pipeline.local.errors import BadInput

NOT_SOURCE = (
    *(".git", ".cache", ".pipeline", ".venv", "node_modules", "cdk.out"),
    *("__pycache__", ".*_cache", ".hypothesis"),
)

SUBMODULE, SYMBOLIC_LINK = "160000", "120000"
"""Modes of entries in a tree of git."""

ABOUT = "%s%x00%an <%ae>%x00%cn <%ce>%x00%G?"
"""git's format of a commit's subject, author, committer, and state of its signature."""

READY = ".ready"
"""`make setup` writes this file into a folder of installed packages: a copy of the lock file they come from."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """The code under promotion. ``revision``: a commit's 40 hex digits, or ``folder-`` and a digest of the files."""

    revision: str
    subject: str
    note: str | None = None
    """A note for the person, for example about changes that are not part of the commit."""
    origin: dict[str, str] = field(default_factory=dict)
    """``author`` and ``committer`` as the commit names them, and ``signature``, git's letter for its state (`%G?`)."""

    @property
    def short(self) -> str:
        return self.revision[:12]


def export(root: Path, target: Path, revision: str | None = None, repository: Path | None = None) -> Source:
    """Write the code under promotion to ``target``.

    ``revision`` is a name that git resolves (default ``HEAD``). ``repository`` is the git directory that holds it
    (default: the one of ``root``). Without git, the folder is copied. Raises ``BadInput`` for an unknown revision.
    """
    if not repository and not _is_repository(root):
        if revision:
            raise BadInput(f"{root} is not a git checkout, so there is no commit {revision!r} to promote.")
        return _copy_folder(root, target)
    git_in = partial(git, folder=root, repository=repository)
    commit = _commit(revision or "HEAD", root, repository)
    _refuse_what_does_not_arrive(commit, git_in)
    target.mkdir(parents=True)
    try:
        write_files(commit, target, folder=root, repository=repository)
    except GitError as error:
        raise BadInput(f"Commit {commit[:12]} can't be read: {error}. Is the repository complete?") from error
    dirty = "" if revision else git_in("status", "--porcelain")
    note = f"changed files that are not in this commit, and not promoted: {len(dirty.splitlines())}" if dirty else None
    subject, author, committer, signature = git_in("log", "-1", f"--format={ABOUT}", commit).split("\0")
    origin = {"author": author, "committer": committer, "signature": signature}
    return Source(revision=commit, subject=subject, note=note, origin=origin)


def _commit(revision: str, root: Path, repository: Path | None) -> str:
    try:
        return commit_id(revision, folder=root, repository=repository)
    except GitError:
        hint = "make a first commit" if revision == "HEAD" else "`git log --oneline` lists the commits"
        raise BadInput(f"There is no commit {revision!r} in this repository: {hint}.") from None


def check_packages(root: Path, source: Path) -> None:
    """Raise ``BadInput`` when the code's lock files differ from the installed packages: it would run with those."""
    installed = {"requirements/dev.txt": Path(sys.prefix), "package-lock.json": root / "node_modules"}
    for lock, where in installed.items():
        ready, asked = where / READY, source / lock
        if ready.exists() and asked.exists() and ready.read_bytes() != asked.read_bytes():
            raise BadInput(
                f"This commit needs other packages than the installed ones ({lock} differs).\n"
                "Check it out, run `make setup`, and promote again."
            )


def _is_repository(root: Path) -> bool:
    """Whether ``root`` is the top of a checkout. In a parent folder's repository the answer is no: a downloaded archive
    in it is not part of its history.

    Raises ``BadInput`` when git cannot read the repository: then the work tree must not be promoted instead.
    """
    try:
        top = git("rev-parse", "--show-toplevel", folder=root)
    except GitError as error:
        if (root / ".git").exists():
            raise BadInput(f"This repository can't be read: {error}.") from error
        return False
    return Path(top).resolve() == root.resolve()


def _refuse_what_does_not_arrive(commit: str, git_in: Callable[..., str]) -> None:
    """Raise ``BadInput`` for a submodule, which CodePipeline does not deliver, and for a link out of the tree."""
    entries = git_in("ls-tree", "-r", "-z", commit).split("\0")
    for entry in filter(None, entries):
        kind, path = entry.split("\t", 1)
        mode, _, name = kind.split()
        if mode == SUBMODULE:
            raise BadInput(
                f"{path!r} is a submodule: CodePipeline's source action delivers an empty folder for it.\n"
                "Commit its files, or remove it."
            )
        if mode == SYMBOLIC_LINK and _leads_out(path, git_in("cat-file", "blob", name)):
            raise BadInput(f"{path!r} is a symbolic link out of the repository: in a build it leads nowhere.")


def _leads_out(path: str, target: str) -> bool:
    reached = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return reached.startswith(("/", "../")) or reached == ".."


def _copy_folder(root: Path, target: Path) -> Source:
    shutil.copytree(root, target, ignore=shutil.ignore_patterns(*NOT_SOURCE), symlinks=True)
    shutil.rmtree(target / "reports", ignore_errors=True)
    digest = hashlib.sha256()
    for path in sorted(p for p in target.rglob("*") if p.is_file()):
        digest.update(path.relative_to(target).as_posix().encode() + b"\0" + path.read_bytes())
    return Source(
        revision=f"folder-{digest.hexdigest()[:33]}",
        subject=root.name,
        note="this is not a git checkout: the folder is promoted as it is",
    )
