"""A clone of this project's work tree, with its own promotions."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


class Clone:
    """A copy of the work tree, committed in a repository of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def git(self, *arguments: str) -> None:
        identity = ("-c", "user.name=Given", "-c", "user.email=given@example.com", "-c", "commit.gpgsign=false")
        # Without the variables of a git that may have started these tests from a hook.
        elsewhere = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        subprocess.run(["git", *identity, *arguments], cwd=self.folder, check=True, env=elsewhere)

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a local command without a terminal and without AWS variables."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "UV_SYSTEM_CERTS") if name in os.environ}
        return subprocess.run(
            [sys.executable, "-m", "pipeline.local", *command],
            cwd=self.folder,
            env={**kept, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    def last_run(self) -> dict[str, Any]:
        records = sorted((self.folder / ".pipeline" / "runs").glob("*/run.json"))
        record: dict[str, Any] = json.loads(records[-1].read_text())
        return record

    def report(self, environment: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            (Path(self.last_run()["folder"]) / "reports" / environment / name).read_text()
        )
        return found


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Clone]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    folder = tmp_path / "clone"
    if listed.returncode == 0:
        for name in listed.stdout.splitlines():
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
    else:
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".venv", "node_modules", ".pipeline", "cdk.out"))
    made = Clone(folder)
    made.git("init", "--quiet", "--initial-branch", "main")
    made.commit("As it stands")
    yield made
    made.run("down")
