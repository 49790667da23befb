"""Synthesises a commit, or this folder with its uncommitted changes, without AWS credentials.

Each synthesis uses the packages that its commit requires, so that a review also shows the effect of a new version of
CDK or of a rule pack.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.git import GitError, commit_id, write_files
from pipeline.review import NotCompared, acknowledgements, stable
from pipeline.review.findings import REPORT, UNKNOWN, Changed, Finding
from pipeline.review.findings import read as read_findings
from pipeline.review.templates import stack
from pipeline.review.templates.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
APP = "pipeline_app.py"
PACKAGES = "requirements/dev.txt"
"""The packages that a synthesis imports. npm installs only the command line."""
RULES = tuple(
    f"lambdas/payments/{name}" for name in ("fraud_rules.json", "brands.json", "base_currency.json", "money.py")
)
"""What decides payments (docs/release.md): a shift releases a change of it, and no template shows it."""
LINES = 15
"""The number of lines that are shown from the end of a failed command's output."""


@dataclass(frozen=True, kw_only=True)
class Synthesis:
    """The result of one commit's synthesis, and the commit's acknowledgements."""

    findings: tuple[Finding, ...]
    acknowledgements: acknowledgements.Table
    stacks: Mapping[str, Stack]
    """By path."""
    code: frozenset[str] = frozenset()
    """The names that the functions' code uses (``stable.words``)."""
    rules: Mapping[str, bytes] = field(default_factory=dict)
    """The content of the files that decide payments, by path in the repository."""


def check_out(commit: str, tree: Path) -> None:
    """Write the files of ``commit`` to the new folder ``tree``. Raises ``NotCompared`` if git cannot read them."""
    tree.mkdir()
    try:
        write_files(commit_id(commit, folder=ROOT), tree, folder=ROOT)
    except GitError as error:
        raise NotCompared(f"base {commit!r} can't be read: {error}") from error


def install(name: str, tree: Path) -> Path:
    """Return the Python that has the packages of ``tree``: this one, or one that is set up in ``tree``.

    ``name`` is what an error calls it. Raises ``NotCompared`` if the packages cannot be installed.
    """
    asked = tree / PACKAGES
    if not asked.exists() or asked.read_bytes() == (ROOT / PACKAGES).read_bytes():
        return Path(sys.executable)
    # With these, make would inherit the variables of `make review`.
    environ = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    try:
        _output(["make", "-C", str(tree), "setup"], environ=environ)
    except _Failed as error:
        raise NotCompared(f"{name} has other packages, which can't be installed: {error}") from error
    return tree / ".venv" / "bin" / "python"


def synthesise(name: str, tree: Path, assembly: Path, changed: Changed = UNKNOWN) -> Synthesis:
    """Synthesise the app in ``tree`` into the folder ``assembly``. ``name`` is what an error calls it.

    A synthesis with findings exits with an error: that is expected. Raises ``NotCompared`` if the packages cannot be
    installed, or if there is no report of findings or no template at the end.
    """
    if not (tree / APP).is_file():
        raise NotCompared(f"{name} has no {APP}: there is nothing to synthesise")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "CDK_"))}
    python = install(name, tree)
    path = os.pathsep.join([str(python.parent), environ.get("PATH", "")])  # jsii finds Node here
    environ |= {"CDK_OUTDIR": str(assembly), "JSII_HOST_STACK_TRACES": "1", "PYTHONPATH": str(tree), "PATH": path}
    done = subprocess.run([python, APP], cwd=tree, env=environ, capture_output=True, text=True, errors="replace")
    report = assembly / REPORT
    if not report.is_file():
        last = _last(done.stderr, done.returncode)
        raise NotCompared(f"the synthesis of {name} failed before anything was checked:\n{last}")
    return read(name, tree, assembly, changed)


def read(name: str, tree: Path, assembly: Path, changed: Changed = UNKNOWN) -> Synthesis:
    """The synthesis whose files are in the folder ``assembly``, made of the commit in ``tree``. ``changed``: the lines
    that the change under review touches. Raises ``NotCompared``."""
    try:
        return Synthesis(
            findings=tuple(read_findings(assembly / REPORT, tree, changed)),
            acknowledgements=acknowledgements.read(tree),
            stacks=stack.read(assembly),
            code=stable.words(tree),
            rules={name: (tree / name).read_bytes() for name in RULES if (tree / name).is_file()},
        )
    except NotCompared as error:
        raise NotCompared(f"{name}: {error}") from error


class _Failed(Exception):
    """A command failed or is not installed. The message is the end of its output."""


def _output(command: list[str], environ: Mapping[str, str] | None = None) -> bytes:
    """What ``command`` prints to its standard output. Raises ``_Failed``."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, env=environ, capture_output=True)
    except OSError as error:
        raise _Failed(str(error)) from error
    if done.returncode:
        raise _Failed(_last(done.stderr.decode(errors="replace"), done.returncode))
    return done.stdout


def _last(said: str, code: int) -> str:
    return "\n".join(said.strip().splitlines()[-LINES:]) or f"exit code {code}, nothing said"
