"""No command ends in a traceback for anything that a person can cause: each command, in each wrong state."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.unit.commands.half_deployed import accounts
from tests.unit.commands.running import ROOT, Case, driver, fault

RULES = str(ROOT / "lambdas/payments/fraud_rules.json")
ENV = ("--env", "dev")
WHY = ("--reason", "x")

LOCAL = [
    *(("localcloud", command, "dev") for command in ("stop", "status", "env", "age", "failover")),
    ("localcloud", "set", "dev", "metric_minute_seconds=0"),
    *(
        ("pipeline.local", command)
        for command in ("promote", "approve", "reject", "status", "down", "clean", "remote", "pictures")
    ),
]
"""Commands that read and write the state of this machine."""
FILES = [
    ("pipeline.local.deploy", "stack", "--template", "file", "--assets", "file", "--outputs", "reports/outputs"),
    ("pipeline.bootstrap", "--renew-roots", "file"),
    ("pipeline.evidence", "verify", "file"),
    ("pipeline.evidence", "record", "--tests", "file", "--advisories", "file"),
    ("pipeline.evidence", "verify", "file", "--key", "file"),
    ("pipeline.rules", "check", "file"),
    ("pipeline.compliance.checkov",),
    ("pipeline.review", "--base", "no-such-commit"),
    ("pipeline.review.publish",),
    ("localcloud.emulator", ".pipeline/clouds/dev", "3"),
    ("benchmarks", "no-such"),
    ("loadtest.task",),
]
"""Commands that read files which a person names, or that only another program starts."""
CLOUD = [
    ("pipeline.local.deploy", "stack", "--template", "t.json", "--assets", "assets.json", "--outputs", "o.json"),
    ("pipeline.release", "shift", *ENV),
    ("pipeline.release", "rollback", *ENV, "--force"),
    ("pipeline.bootstrap", *ENV),
    ("pipeline.bootstrap", "--check"),
    ("pipeline.evidence", "collect", *ENV),
    ("pipeline.status",),
    ("pipeline.audit", "verify", *ENV),
    ("pipeline.rules", "put", RULES, *ENV, *WHY),
    ("pipeline.transactions", *ENV, "get", "txn_1"),
    ("migration", "status", *ENV),
    ("loadtest.gate", *ENV),
    ("loadtest.traffic", *ENV, "--", "true"),
    ("loadtest.fargate", *ENV, "--workers", "2"),
]
"""A command of each program that asks AWS. The others of the same program open its connection in the same way."""
ALIKE = [
    *(("pipeline.release", word, *ENV) for word in (
        "status", "watch", "pause", "resume", "abort", "rollback", "promote", "retry", "undo", "history", "plan")),
    *(("pipeline.release", word, *ENV, *WHY) for word in ("freeze", "unfreeze")),
    ("pipeline.release", "undo", *ENV, "--now", "--to", "7"),
    ("pipeline.bootstrap", "--pipeline"),
    ("pipeline.bootstrap", *ENV, "--recover"),
    ("pipeline.evidence", "collect", *ENV, "--failed"),
    ("pipeline.rules", "show", *ENV),
    ("pipeline.rules", "withdraw", *ENV, *WHY),
    ("pipeline.transactions", *ENV, "list", "--status", "review"),
    ("migration", "load", *ENV),
    ("migration", "follow", *ENV),
    ("pipeline.transactions", *ENV, "decide", "txn_1", "approve", *WHY),
    ("pipeline.transactions", *ENV, "reverse", "txn_1", "--void", *WHY),
    ("loadtest.gate", *ENV, "--url", "https://127.0.0.1:9/dev/", "--unsigned"),
    ("loadtest.gate", *ENV, "--url", "nonsense"),
]  # fmt: skip
"""The others: tried with ``EVERY_STATE=yes`` only, as `make edges` does."""


@dataclass(frozen=True, kw_only=True)
class State:
    make: Callable[[Path], None] = lambda folder: None
    variables: dict[str, str] = field(default_factory=dict)
    file_limit: int | None = None


STATE_FILES = (
    ".pipeline/clouds/dev/settings.json", ".pipeline/clouds/dev/process.json", ".pipeline/bootstrapped/dev",
    ".pipeline/runs/1/run.json", ".pipeline/runs/1/outputs/payment-platform-dev.json", "cdk.out/manifest.json", "file",
)  # fmt: skip


def holding(content: str | bytes | Callable[[], Any]) -> Callable[[Path], None]:
    """Each file of the state holds this."""

    def make(folder: Path) -> None:
        made = json.dumps(content()) if callable(content) else content
        for name in STATE_FILES:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(made.encode() if isinstance(made, str) else made)

    return make


def folders_for_files(folder: Path) -> None:
    for name in (*STATE_FILES, ".pipeline/lock", ".pipeline/clouds/dev/lock", "reports/dev/gate.json"):
        (folder / name).mkdir(parents=True)


def files_for_folders(folder: Path) -> None:
    for name in (".pipeline", "reports", "cdk.out"):
        (folder / name).write_text("")


def odd_names(folder: Path) -> None:
    (folder / ".pipeline/clouds/$(id) \x1b[31m").mkdir(parents=True)


def git_without_commits(folder: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)


def git_spoilt(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".git/HEAD").write_text("nonsense")


def run(run_status: str, **step: Any) -> Callable[[], Any]:
    """A record of a promotion that stands at a step."""
    at: dict[str, Any] = {"name": "Deploy", "kind": "deploy", "log": "logs/x.log", "status": "pending"} | step
    stage = {"name": "Dev", "environment": "dev", "steps": [at]}
    return lambda: {
        "version": 1,
        "id": "1",
        "folder": "",
        "status": run_status,
        "started": time.time(),
        "stages": [stage],
    }


DISK: dict[str, State] = {
    "no JSON": State(make=holding("nonsense")),
    "no object": State(make=holding("[]")),
    "nothing": State(make=holding("null")),
    "an empty object": State(make=holding("{}")),
    "empty": State(make=holding("")),
    "no text": State(make=holding(b"\xff\xfe\x00\x80")),
    "nested without end": State(make=holding("[" * 100_000)),
    "another version": State(make=holding('{"version": 2, "pid": "x", "started": "x", "stages": 1, "files": []}')),
    "other kinds of values": State(make=holding(run("running", process="x"))),
    "times that are none": State(make=holding(run("waiting", started="x"))),
    "a waiting run of an older version": State(make=holding(lambda: run("waiting")() | {"version": 0, "stages": {}})),
    "a waiting run without its plan": State(make=holding(run("waiting"))),
    "a waiting run with nothing open": State(make=holding(run("waiting", status="succeeded"))),
    "a killed run": State(make=holding(run("running", process={"pid": 2**22, "started": 1.0}))),
    "a run that names a foreign process": State(make=holding(run("running", process={"pid": 1, "started": 0.0}))),
    "folders for files": State(make=folders_for_files),
    "files for folders": State(make=files_for_folders),
    "odd names": State(make=odd_names),
    "git without commits": State(make=git_without_commits),
    "git spoilt": State(make=git_spoilt),
    "a full disk": State(file_limit=0),
    "a disk that is full after a few bytes": State(file_limit=60),
    "no programs": State(variables={"PATH": "/nonexistent"}),
    "no home": State(variables={"HOME": "/nonexistent"}),
    "a terminal of ASCII": State(variables={"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "TERM": "x", "COLUMNS": "x"}),
}
HALF_DEPLOYED = "a creation under way"
"""Always tried with each command of ``CLOUD``, because each reads what a deployment leaves."""
SDK: dict[str, State] = {
    "no cloud": State(),
    "no credentials": State(variables={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}),
    "no region": State(variables={"AWS_REGION": ""}),
    "a region that is none": State(variables={"AWS_REGION": "$(id);/x"}),
    "no such profile": State(variables={"AWS_PROFILE": "none"}),
    "no such authority": State(variables={"AWS_CA_BUNDLE": "/nonexistent"}),
    "an endpoint that is none": State(variables={"AWS_ENDPOINT_URL": "nonsense"}),
    "an endpoint that is no URL": State(variables={"AWS_ENDPOINT_URL": "http://[::1"}),
    "a number that is none": State(variables={"AWS_MAX_ATTEMPTS": "many"}),
    "a spoilt configuration": State(make=holding("nonsense"), variables={"AWS_CONFIG_FILE": "file"}),
    "a role that is none": State(variables={"PLATFORM_ROLE_ARN": "x;y"}),
    "a proxy that is none": State(variables={"HTTPS_PROXY": "nonsense::"}),
    "a build that is none": State(variables={"CODEBUILD_START_TIME": "x", "PIPELINE_EXECUTION_ID": "x"}),
    "a run that is none": State(variables={"RUN_FOLDER": "/nonexistent"}),
    "files for folders": State(make=files_for_folders),
    "a full disk": State(file_limit=0),
    HALF_DEPLOYED: State(variables={"AWS_ENDPOINT_URL": "ACCOUNTS/CREATE_IN_PROGRESS"}),
    "a creation that failed": State(variables={"AWS_ENDPOINT_URL": "ACCOUNTS/ROLLBACK_COMPLETE"}),
    "an update that failed half-way": State(variables={"AWS_ENDPOINT_URL": "ACCOUNTS/UPDATE_ROLLBACK_FAILED"}),
}  # fmt: skip


def table() -> Iterator[tuple[tuple[str, ...], str, State]]:
    """Every command in every state of its kind, with ``EVERY_STATE=yes``. Without it, every command in some states, and
    every state with some commands."""
    for commands, states, step in ((LOCAL, DISK, 11), (FILES, DISK, 11), (CLOUD, SDK, 13), (ALIKE, SDK, 10**6)):
        for number, (command, name) in enumerate(product(commands, states)):
            # The step and the width of the table have no common divisor, so each column is reached.
            always = name == HALF_DEPLOYED and command in CLOUD
            if always or os.environ.get("EVERY_STATE") == "yes" or number % step == 0:
                yield command, name, states[name]


@pytest.mark.parametrize(("commands", "states"), [(LOCAL, DISK), (FILES, DISK), (CLOUD, SDK)])
def test_the_short_table_has_every_command_and_every_state(
    monkeypatch: pytest.MonkeyPatch, commands: list[tuple[str, ...]], states: dict[str, State]
) -> None:
    monkeypatch.delenv("EVERY_STATE", raising=False)
    rows = [(command, name) for command, name, _ in table() if command in commands]
    assert {command for command, _ in rows} == {*commands}
    assert {name for _, name in rows} == {*states}


def test_no_command_ends_in_a_traceback(tmp_path: Path) -> None:
    faults = []
    with driver() as commands, accounts() as address:
        for number, ((module, *arguments), name, state) in enumerate(table()):
            # Given a folder in this state
            folder = tmp_path / str(number)
            folder.mkdir()
            state.make(folder)
            # When the command is run there
            case = Case(
                module=module,
                arguments=arguments,
                folder=str(folder),
                variables={name: value.replace("ACCOUNTS", address) for name, value in state.variables.items()},
                file_limit=state.file_limit,
            )
            result = commands.run(case)
            # Then it ends with a sentence, and with a code that is written down
            if wrong := fault(case, result):
                faults.append(f"{name}: {case}: {wrong}")
    assert number > 60
    assert faults == []


@pytest.mark.parametrize("module", ["pipeline.status", "localcloud", "loadtest.gate"])
def test_a_python_without_the_packages_says_what_to_do(module: str) -> None:
    done = subprocess.run([sys.executable, "-S", "-m", module], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 2
    assert "lacks the package" in done.stderr
    assert "run `make setup`" in done.stderr
    assert "Traceback" not in done.stderr
