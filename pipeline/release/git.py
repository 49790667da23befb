"""A release and git: the commit that is released, and the revert that returns git to the running version."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.git import GitError, git
from pipeline.release.record import Phase, Release

COMMIT_VARIABLES = ("SOURCE_COMMIT", "CODEBUILD_RESOLVED_SOURCE_VERSION")
"""The variables in which the engines name the commit that they deliver. CodeBuild sets the second one itself."""


def current_commit(environ: Mapping[str, str] = os.environ) -> str | None:
    """The commit that is being delivered: from the engine, else the checkout's head, else unknown."""
    for variable in COMMIT_VARIABLES:
        if environ.get(variable):
            return environ[variable]
    try:
        return git("rev-parse", "HEAD")
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
        tree = git("rev-parse", f"{self.running}^{{tree}}", folder=repository)
        commit = git("commit-tree", tree, "-p", self.ahead, "-m", message, folder=repository)
        git("branch", self.branch, commit, folder=repository)
        return self.branch
