"""The two sides of a comparison: a commit, or this folder as it is, synthesised without AWS credentials."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.review import NotCompared
from pipeline.review.findings import REPORT, Finding
from pipeline.review.findings import read as read_findings
from pipeline.review.templates import stack
from pipeline.review.templates.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
APP = "pipeline_app.py"
LINES = 15
"""Of a failed synthesis, so much of the end is shown."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """What a synthesis gave."""

    findings: tuple[Finding, ...]
    stacks: Mapping[str, Stack]
    """By path."""


def check_out(commit: str, tree: Path) -> None:
    """The files of ``commit``, in a folder of their own. Raises ``NotCompared`` when there is no such commit."""
    tree.mkdir()
    git = ["git", "-C", str(ROOT), "archive", "--format=tar", commit]
    archive = subprocess.run(git, capture_output=True)
    if archive.returncode:
        raise NotCompared(f"base {commit!r} can't be read: {archive.stderr.decode(errors='replace').strip()}")
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)


def synthesise(name: str, tree: Path, assembly: Path) -> Side:
    """Synthesise the app in ``tree`` into ``assembly``; ``name`` is what an error calls this side.

    Raises ``NotCompared`` when there is no report at the end, or no template. Findings make the synthesis itself fail:
    that is no fault.
    """
    if not (tree / APP).is_file():
        raise NotCompared(f"{name} has no {APP}: there is nothing to synthesise")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "CDK_"))}
    environ |= {"CDK_OUTDIR": str(assembly), "JSII_HOST_STACK_TRACES": "1", "PYTHONPATH": str(tree)}
    command = [sys.executable, APP]
    done = subprocess.run(command, cwd=tree, env=environ, capture_output=True, text=True, errors="replace")
    report = assembly / REPORT
    if not report.is_file():
        last = "\n".join(done.stderr.strip().splitlines()[-LINES:]) or f"exit code {done.returncode}, nothing said"
        raise NotCompared(f"the synthesis of {name} failed before anything was checked:\n{last}")
    try:
        return Side(findings=tuple(read_findings(report, tree)), stacks=stack.read(assembly))
    except NotCompared as error:
        raise NotCompared(f"{name}: {error}") from error
