"""A small project under git. Its `cdk` is a script, so the promotion's own logic runs in milliseconds."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pipeline.local import promotion
from pipeline.local.run import Run, all_runs
from pipeline.local.state import State

CDK = """#!/bin/sh
# Replaces `cdk bootstrap …` and `cdk synth --quiet --output DIRECTORY`.
[ "$1" = synth ] || exit 0
[ -f broken ] && { echo "SyntaxError in pipeline_app.py"; exit 1; }
mkdir -p "$4" && cp plan.json "$4/plan.json" && echo '{"artifacts": {}}' > "$4/manifest.json"
"""


class FakeCloud:
    """Replaces a local cloud. It only remembers whether it runs."""

    running: ClassVar[set[str]] = set()

    def __init__(self, name: str, state: Path) -> None:
        self.name = name
        self.account, self.region = "111111111111", "us-east-1"
        self.endpoint = "https://127.0.0.1:1"

    def is_running(self) -> bool:
        return self.name in self.running

    def start(self, *, account: str | None, region: str | None) -> None:
        self.running.add(self.name)

    def stop(self) -> None:
        self.running.discard(self.name)

    def environ(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "AKIA",
            "CLOUD": self.name,
        }


Project = Callable[..., State]
"""The type of the fixture ``project``."""


def last(state: State) -> Run:
    """The newest promotion."""
    return all_runs(state.runs)[-1]


def commands(name: str, *lines: str) -> dict[str, Any]:
    return {"name": name, "kind": "commands", "commands": list(lines), "env": {}, "env_from_outputs": {}}


def stage(name: str, *post: dict[str, Any], approval: bool = False) -> dict[str, Any]:
    stack = {
        "name": f"payment-platform-{name.lower()}",
        "template": f"assembly-{name}/Platform.template.json",
        "assets": f"assembly-{name}/Platform.assets.json",
        "change_set": [{"name": f"PromoteTo{name}", "kind": "approval"}],
    }
    stacks = [stack] if approval else []
    return {"name": name, "environment": name.lower(), "pre": [], "stacks": stacks, "post": list(post)}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Makes a committed project with these planned stages. Returns the state of its promotions."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, script in (("cdk", CDK), ("python", "#!/bin/sh\nexit 0\n")):
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "executable", str(tools / "python"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Given")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "given@example.com")
    monkeypatch.setattr(promotion, "LocalCloud", FakeCloud)
    monkeypatch.setattr(FakeCloud, "running", set())
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)

    def make(*stages: dict[str, Any]) -> State:
        (root / "plan.json").write_text(json.dumps({"version": 1, "stages": stages}))
        (root / ".gitignore").write_text(".pipeline/\n")
        for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "First payment"]):
            subprocess.run(["git", *command], check=True)
        return State(root)

    return make
