"""A git remote on this machine. ``git push local main`` starts a promotion, as a push to the real repository does."""

import shlex
import sys
from pathlib import Path

from pipeline.git import GitError, git
from pipeline.local.errors import BadInput
from pipeline.local.state import State

NAME = "local"
BRANCH = "main"

HOOK = """#!/bin/sh
# Promotes each commit pushed to {branch}. Written by `make remote`.
while read -r old new ref; do
    [ "$ref" = "refs/heads/{branch}" ] || {{ echo "Pushed $ref: only {branch} is promoted."; continue; }}
    [ "$new" = "0000000000000000000000000000000000000000" ] && continue
    repository=$PWD
    unset $(git rev-parse --local-env-vars)
    cd {root} && PATH={path}:$PATH {python} -m pipeline.local promote --revision "$new" --repository "$repository" ||
        echo "Not promoted to the end. The push was accepted. To continue: cd {root} && make promote REVISION=$new"
done
"""


def remove(state: State) -> bool:
    """Remove the remote named ``local`` if its URL is this state's repository. ``True`` if it was removed."""
    ours = _url(state.root) == str(state.remote)
    if ours:
        git("remote", "remove", NAME, folder=state.root)
    return ours


def create(state: State) -> str:
    """Create (or renew) the bare repository, its hook, and the remote named ``local``. Returns the next command to run.

    Raises ``BadInput`` outside a git checkout, or when ``local`` already names another repository.
    """
    root = state.root
    if _top(root) != root.resolve():
        raise BadInput(f"{root} is not a git checkout: run `git init` and commit first.")
    known = _url(root)
    if known and known != str(state.remote):
        raise BadInput(f"The remote {NAME!r} already has the URL {known}: rename it, then run `make remote`.")
    git("init", "--quiet", "--bare", "--initial-branch", BRANCH, str(state.remote))
    if not known:
        git("remote", "add", NAME, str(state.remote), folder=root)
    hook = state.remote / "hooks" / "post-receive"
    hook.parent.mkdir(exist_ok=True)
    # A push must promote also from a shallow clone, and where git's global configuration names another hooks folder.
    for name, value in (("core.hooksPath", str(hook.parent)), ("receive.shallowUpdate", "true")):
        git("config", name, value, folder=state.remote)
    content = HOOK.format(
        branch=BRANCH,
        root=shlex.quote(str(root)),
        python=shlex.quote(sys.executable),
        path=shlex.quote(f"{Path(sys.executable).parent}:{root / 'node_modules' / '.bin'}"),
    )
    draft = hook.with_suffix(".new")
    draft.write_text(content)
    draft.chmod(0o755)
    draft.replace(hook)  # a shell may be reading the former one
    return f"Remote {NAME!r} is ready: `git push {NAME} {BRANCH}` promotes the pushed commit."


def _top(folder: Path) -> Path | None:
    """The work tree that ``folder`` belongs to; ``None`` without one."""
    try:
        return Path(git("rev-parse", "--show-toplevel", folder=folder)).resolve()
    except GitError:
        return None


def _url(root: Path) -> str:
    """The URL of the remote named ``local``; empty without such a remote or without git."""
    try:
        return git("remote", "get-url", NAME, folder=root)
    except GitError:
        return ""
