"""The code under promotion: one exported commit, or, without git, a copy of the folder."""

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pipeline.local.errors import BadInput

NOT_SOURCE = (
    *(".git", ".pipeline", ".venv", "node_modules", "cdk.out"),
    *("__pycache__", ".*_cache", ".hypothesis"),
)

READY = ".ready"
"""`make setup` writes this file into a folder of installed packages: a copy of the lock file they come from."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """The code under promotion. ``revision``: a commit's 40 hex digits, or ``folder-`` and a digest of the files."""

    revision: str
    subject: str
    note: str | None = None
    """A note for the person, for example about changes that are not part of the commit."""

    @property
    def short(self) -> str:
        return self.revision[:12]


def export(root: Path, target: Path, revision: str | None = None, repository: Path | None = None) -> Source:
    """Write the code under promotion to ``target``.

    ``revision`` is a name that git resolves (default ``HEAD``). ``repository`` is the git directory that holds it
    (default: the one of ``root``). Without git, the folder is copied. Raises ``BadInput`` for an unknown revision.
    """
    git = _Git(root, repository)
    if not git.is_repository():
        if revision:
            raise BadInput(f"{root} is not a git checkout, so there is no commit {revision!r} to promote.")
        return _copy_folder(root, target)
    commit = git.commit(revision or "HEAD")
    target.mkdir(parents=True)
    archive = subprocess.Popen(git.command("archive", commit), stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", str(target)], stdin=archive.stdout, check=True)
    if archive.wait():
        raise BadInput(f"git archive {commit} failed: is the repository complete?")
    dirty = "" if revision else git.run("status", "--porcelain")
    note = f"{len(dirty.splitlines())} changed files are not in this commit and are not promoted" if dirty else None
    return Source(revision=commit, subject=git.run("log", "-1", "--format=%s", commit), note=note)


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


@dataclass(frozen=True)
class _Git:
    root: Path
    repository: Path | None

    def command(self, *arguments: str) -> list[str]:
        where = ["--git-dir", str(self.repository)] if self.repository else ["-C", str(self.root)]
        return ["git", *where, *arguments]

    def run(self, *arguments: str) -> str:
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def is_repository(self) -> bool:
        """Raises ``BadInput`` when git cannot read the repository: then the work tree must not be promoted instead."""
        if self.repository:
            return True
        if shutil.which("git") is None:
            if (self.root / ".git").exists():
                raise BadInput("git is not installed: it is needed to promote a commit.")
            return False
        answer = subprocess.run(self.command("rev-parse", "--show-toplevel"), capture_output=True, text=True)
        if answer.returncode and (self.root / ".git").exists():
            raise BadInput(f"git can't read this repository: {answer.stderr.strip()}")
        # In a parent folder's repository the answer is no: a downloaded archive in it is not part of its history.
        return answer.returncode == 0 and Path(answer.stdout.strip()).resolve() == self.root.resolve()

    def commit(self, revision: str) -> str:
        try:
            return self.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        except subprocess.CalledProcessError:
            hint = "make a first commit" if revision == "HEAD" else "`git log --oneline` lists the commits"
            raise BadInput(f"There is no commit {revision!r} in this repository: {hint}.") from None


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
