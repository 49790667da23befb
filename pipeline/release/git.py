"""A release and git: the commit that is released, and the revert that returns git to the running version."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.release.record import Phase, Release

COMMIT_VARIABLES = ("SOURCE_COMMIT", "CODEBUILD_RESOLVED_SOURCE_VERSION")
"""The variables in which the engines name the commit that they deliver. CodeBuild sets the second one itself."""


class GitError(Exception):
    """git could not do it; the message ends with git's own last line."""


def current_commit(environ: Mapping[str, str] = os.environ) -> str | None:
    """The commit that is being delivered: from the engine, else the checkout's head, else unknown."""
    for variable in COMMIT_VARIABLES:
        if environ.get(variable):
            return environ[variable]
    try:
        return _git(Path.cwd(), "rev-parse", "HEAD")
    except GitError:
        return None


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """git's head says ``ahead``, production runs ``running``."""

    release: Release
    running: str
    ahead: str

    @classmethod
    def after(cls, release: Release | None) -> "Disagreement | None":
        """The disagreement after ``release``: it was a rollback or an undo, and its commits are known and differ."""
        if release is None:
            return None
        if release.phase is Phase.ROLLED_BACK and not release.undoes:
            running, ahead = release.stable_commit, release.commit
        elif release.phase is Phase.PROMOTED and release.undoes:
            running, ahead = release.commit, release.stable_commit
        else:
            return None
        if not running or not ahead or running == ahead:
            return None
        return cls(release=release, running=running, ahead=ahead)

    @property
    def branch(self) -> str:
        return f"revert/{self.release.environment}-{self.release.release_id}"

    @property
    def advice(self) -> str:
        return (
            f"git says {self.ahead[:10]}, {self.release.environment} runs {self.running[:10]}. To make them agree: "
            f"git revert --no-edit {self.running[:10]}..{self.ahead[:10]}   (or --open-revert for a branch)"
        )

    def open_revert(self, repository: Path) -> str:
        """Prepare a branch with one commit that brings ``ahead`` back to ``running``; the work tree is not touched.

        One commit with the running tree works for merges too, and merges into a head that has moved on. Returns the
        branch. Raises ``GitError``.
        """
        message = (
            f"Return to {self.running[:10]}, which runs in {self.release.environment}\n\n"
            f"Release {self.release.release_id} left {self.ahead[:10]}: {self.release.cause or 'undone'}"
        )
        tree = _git(repository, "rev-parse", f"{self.running}^{{tree}}")
        commit = _git(repository, "commit-tree", tree, "-p", self.ahead, "-m", message)
        _git(repository, "branch", self.branch, commit)
        return self.branch


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    except OSError as error:
        raise GitError(f"git can't be run: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip().rpartition("\n")[2]
        raise GitError(f"git {arguments[0]}: {reason}") from error
    return done.stdout.strip()
