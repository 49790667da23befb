"""The findings of one commit, from the validation report that its synthesis writes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPORT = "validation-report.json"
PACKS = frozenset({"AwsSolutions", "NIST.800.53.R5", "PCI.DSS.321", "PCI.DSS.401"})
LEDGER = "Acknowledgements"
"""Its entries are about the table of acknowledgements, not about a construct: they count as findings too."""
FRAME = re.compile(r"^\S+ \((?P<file>/.+):(?P<line>\d+)\)$", re.MULTILINE)


class NoFindings(Exception):
    """The findings of a commit could not be had; this is never the same as there being none."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One rule, broken at one construct."""

    rule: str
    """Long id."""
    construct: str
    description: str
    reason: str | None = None
    """Why it is acknowledged; ``None``: it is not."""
    file: str | None = None
    """Where the construct is made, relative to the root of the repository, if the trace tells."""
    line: int | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.rule, self.construct


def synthesise(tree: Path, assembly: Path) -> list[Finding]:
    """Synthesise the app in ``tree`` into ``assembly``, without any AWS credentials, and read its findings.

    Raises ``NoFindings`` when there is no report at the end. Findings make the synthesis itself fail: that is no fault.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
    environ |= {"CDK_OUTDIR": str(assembly), "JSII_HOST_STACK_TRACES": "1", "PYTHONPATH": str(tree)}
    command = [sys.executable, "pipeline_app.py"]
    try:
        done = subprocess.run(command, cwd=tree, env=environ, capture_output=True, text=True)
    except OSError as error:
        raise NoFindings(f"{tree} can't be synthesised: {error}") from error
    if not (assembly / REPORT).is_file():
        last = "\n".join(done.stderr.strip().splitlines()[-15:])
        raise NoFindings(f"the synthesis of {tree} failed before anything was checked:\n{last}")
    return read(assembly / REPORT, tree)


def read(report: Path, tree: Path) -> list[Finding]:
    """The findings in ``report`` of a synthesis in ``tree``, sorted. Raises ``NoFindings`` if it is no such report."""
    try:
        plugins = {each["pluginName"]: each for each in json.loads(report.read_text())["pluginReports"]}
        found = [each for name in PACKS | {LEDGER} if name in plugins for each in _of_pack(plugins[name], tree)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoFindings(f"{report} is no validation report: {error!r}") from error
    if missing := PACKS - set(plugins):
        raise NoFindings(f"{report} says nothing of {', '.join(sorted(missing))}: the packs did not run")
    return sorted(found, key=lambda finding: finding.key)


def _of_pack(pack: dict[str, Any], tree: Path) -> Iterator[Finding]:
    for violation in [*pack["violations"], *pack.get("suppressedViolations", [])]:
        for construct in violation["violatingConstructs"]:
            file, line = _place(construct.get("stackTraces", []), tree)
            yield Finding(
                rule=f"{pack['pluginName']}::{violation['ruleName']}",
                construct=construct["constructPath"],
                description=violation["description"],
                reason=violation.get("reason"),
                file=file,
                line=line,
            )


def _place(traces: list[str], tree: Path) -> tuple[str | None, int | None]:
    """The innermost frame of this repository's own code."""
    for frame in FRAME.finditer("\n".join(traces)):
        path = Path(frame["file"])
        if path.is_relative_to(tree) and ".venv" not in path.parts:
            return str(path.relative_to(tree)), int(frame["line"])
    return None, None
