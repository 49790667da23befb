"""Command lines, each run as a person would run it, and what it did. ``driver.py`` runs them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
NO_CLOUD = {
    "AWS_ACCESS_KEY_ID": "a",
    "AWS_SECRET_ACCESS_KEY": "b",
    "AWS_REGION": "us-east-1",
    "AWS_ENDPOINT_URL": "https://127.0.0.1:9",
    "AWS_MAX_ATTEMPTS": "1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""Variables of a shell whose calls to AWS are refused at once."""
IMPORTED = (
    "localcloud.failover", "pipeline.local.console", "pipeline.local.remote", "pipeline.local.report",
    "pipeline.local.promotion", "pipeline.local.deploy", "pipeline.evidence.verify", "pipeline.compliance.validation",
    "pipeline.review.comparison", "pipeline.release.cli", "pipeline.rules.override", "pipeline.bootstrap.preflight",
    "pipeline.audit.report", "loadtest.gate", "loadtest.fargate",
)  # fmt: skip
"""What the commands import, so that each starts in milliseconds."""
DOCUMENTED = {
    (command, int(code))
    for command, code in re.findall(r"^\| `([\w.]+)` \| *(\d+) *\|", (ROOT / "docs/exit-codes.md").read_text(), re.M)
} | {(f"loadtest.{command}", code) for command in ("fargate", "task", "traffic") for code in range(10)}


@dataclass(frozen=True, kw_only=True)
class Case:
    module: str
    arguments: Sequence[str]
    folder: str
    variables: Mapping[str, str] = field(default_factory=dict)
    file_limit: int | None = None
    """The most bytes of a file. 0: as if the disk were full."""
    output: str | None = None
    """The file that is its standard output."""

    def __str__(self) -> str:
        return " ".join([self.module, *map(repr, self.arguments)])


@dataclass(frozen=True, kw_only=True)
class Result:
    code: int
    """Negative: the number of the signal that ended it. It gets 30 seconds."""
    out: str
    err: str
    done: list[list[str]]
    """``["writes", path]``, ``["starts", program, argument, ...]`` and ``["connects", address]``, in order."""

    def of(self, kind: str) -> list[list[str]]:
        return [rest for each, *rest in self.done if each == kind]


class Driver:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, case: Case) -> Result:
        variables = {"PATH": f"{ROOT}/.venv/bin:{os.defpath}", "HOME": case.folder, "LANG": "C.UTF-8", **NO_CLOUD}
        asked = asdict(case) | {"variables": variables | dict(case.variables)}
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return Result(**answer)


@contextmanager
def driver() -> Iterator[Driver]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # jsii finds Node here
    kept = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
    process = subprocess.Popen(
        [sys.executable, "-P", "-W", "ignore", str(Path(__file__).with_name("driver.py")), *IMPORTED],
        # Locust would replace parts of the standard library, and a fork does not survive that.
        env={**kept, "PATH": path, "PYTHONPATH": str(ROOT), "LOCUST_SKIP_MONKEY_PATCH": "1"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    try:
        yield Driver(process)
    finally:
        process.kill()
        process.communicate()


def fault(case: Case, result: Result) -> str | None:
    """What is wrong with how a command ended: a traceback, a code of no meaning, or not a word."""
    if "Traceback" in result.out + result.err:
        return f"traceback: {result.err.strip().splitlines()[-1]}"
    if (case.module, result.code) not in DOCUMENTED:
        return f"code {result.code}, which docs/exit-codes.md does not know: {result.err[-300:]}"
    if result.code and not (result.out + result.err).strip():
        return f"code {result.code} without a word"
    return None
