"""Looks up known vulnerabilities of every locked package, and holds them against the acknowledgements.

An advisory without an acknowledgement fails; so does an acknowledgement without an advisory, or past its date.
pip-audit asks PyPI, and npm asks its registry, so this needs the network. GitHub runs it each day. A promotion on AWS
keeps its result as evidence, and goes on whatever it is. An entry of the table names an advisory and a package of one
lock file:

    findings = ["Advisories::GHSA-aaaa-bbbb-cccc"]
    constructs = ["requirements/dev.txt/some-package"]

Sources: pip-audit's README, "--format json"; npm's documentation, "npm-audit".
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from enum import IntEnum
from pathlib import Path
from typing import Any

from pipeline.compliance.acknowledgements import (
    TABLE,
    Acknowledgement,
    MalformedAcknowledgements,
    claims_about,
    load,
    stale,
)
from pipeline.output import say
from reporting.text import one_line

PACK = "Advisories"
ROOT = Path(__file__).resolve().parents[2]
NPM_LOCK = "package-lock.json"
NPM = ["audit", "--json", "--package-lock-only", *(f"--include={each}" for each in ("prod", "dev", "optional", "peer"))]
"""The configuration of a machine or build may omit some packages. Named here, all are looked up."""
FIRST_GOOD = re.compile(r"<(\d[^\s|]*)")
"""The end of a range of bad versions, such as ``>=2.0.0 <2.1.4``."""


class ExitCode(IntEnum):
    PASSED = 0
    FAILED = 1
    NOT_AUDITED = 2


class NotAudited(Exception):
    """pip-audit or npm gave no result. This never counts as a package without advisories."""


@dataclass(frozen=True, kw_only=True)
class Advisory:
    """A vulnerability of a package in a lock file."""

    names: tuple[str, ...]
    """Its id, and those that other databases give it."""
    construct: str
    """Lock file and package, as an acknowledgement names them."""
    version: str
    fixed_in: tuple[str, ...]

    @property
    def keys(self) -> set[tuple[str, str]]:
        return {(f"{PACK}::{name}", self.construct) for name in self.names}


def main(
    arguments: list[str] | None = None, *, root: Path = ROOT, table: Path = TABLE, today: date | None = None
) -> int:
    report: Path | None = _parser().parse_args(arguments).report
    today = today or date.today()
    files = sorted([*(root / "requirements").glob("*.txt"), root / "lambdas" / "requirements.txt"])
    try:
        results = {name: of_python(root / name, name) for name in (str(file.relative_to(root)) for file in files)}
        results[NPM_LOCK] = of_npm(root)
        packages = [each for names, _ in results.values() for each in names]
        found = [each for _, advisories in results.values() for each in advisories]
        acknowledgements = load(table)
        faults = list(find_faults(found, packages, acknowledgements, today))
    except (MalformedAcknowledgements, NotAudited, OSError) as error:
        say(f"advisories: {one_line(str(error))}", sys.stderr)
        _write(report, {"result": "not done", "said": str(error), "at": today.isoformat()})
        return ExitCode.NOT_AUDITED
    for fault in faults:
        say(f"advisories: {one_line(fault)}", sys.stderr)
    said = f"{len(packages)} packages of {len(results)} lock files; each of the {len(found)} advisories is acknowledged"
    if not faults:
        say(f"advisories: {said}")
    accepted = [asdict(each) for each in acknowledgements if any(f.startswith(PACK) for f in each.findings)]
    _write(
        report,
        {
            "result": "failed" if faults else "passed",
            "said": "; ".join(faults) or said,
            "at": today.isoformat(),
            "packages": len(packages),
            "lock_files": {name: len(names) for name, (names, _) in results.items()},
            "advisories": [asdict(each) for each in found],
            "accepted": accepted,
        },
    )
    return ExitCode.FAILED if faults else ExitCode.PASSED


def of_python(file: Path, name: str) -> tuple[list[str], list[Advisory]]:
    """The packages of a lock file, as constructs, and the advisories about them. Raises ``NotAudited``."""
    if not (program := shutil.which("pip-audit")):
        raise NotAudited("the command pip-audit is not on the PATH: `make audit` installs it")
    with tempfile.TemporaryDirectory(prefix="audit-") as folder:
        output = Path(folder) / "report.json"
        options = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json"]
        done = subprocess.run(
            [program, *options, "--output", str(output), "--requirement", str(file)], capture_output=True, text=True
        )
        try:
            listed = json.loads(output.read_text())["dependencies"]
            if skipped := [each for each in listed if "skip_reason" in each]:
                first = skipped[0]
                why = f"{first['name']}: {first['skip_reason']}"
                raise NotAudited(f"{name}: pip-audit skipped {len(skipped)} of {len(listed)} packages, first {why}")
            return [f"{name}/{each['name']}" for each in listed], [
                Advisory(
                    names=(vulnerability["id"], *vulnerability["aliases"]),
                    construct=f"{name}/{each['name']}",
                    version=each["version"],
                    fixed_in=tuple(vulnerability["fix_versions"]),
                )
                for each in listed
                for vulnerability in each["vulns"]
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            last = " ".join(done.stderr.strip().splitlines()[-3:])
            raise NotAudited(f"{name}: pip-audit ended with code {done.returncode}, and no report: {last}") from error


def of_npm(root: Path) -> tuple[list[str], list[Advisory]]:
    """The same of npm's lock file. Raises ``NotAudited``, and ``OSError`` where there is none."""
    if not (program := shutil.which("npm")):
        raise NotAudited("the command npm is not on the PATH: `make setup` installs it")
    text = (root / NPM_LOCK).read_text()
    done = subprocess.run([program, *NPM], cwd=root, capture_output=True, text=True)
    report: Any = None
    try:
        locked = {path: each for path, each in json.loads(text)["packages"].items() if path}
        report = json.loads(done.stdout)
        return sorted({_of_lock(path) for path in locked}), [
            Advisory(
                names=(about["url"].rpartition("/")[2], str(about["source"])),
                construct=f"{NPM_LOCK}/{name}",
                version=", ".join(sorted({locked[path]["version"] for path in vulnerable["nodes"]})),
                fixed_in=tuple(FIRST_GOOD.findall(about["range"])),
            )
            for name, vulnerable in report["vulnerabilities"].items()
            for about in vulnerable["via"]
            if not isinstance(about, str)  # a text names another package, which has the advisory
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        said = report.get("message") if isinstance(report, dict) else None
        last = said or " ".join(done.stderr.strip().splitlines()[-3:])
        raise NotAudited(f"{NPM_LOCK}: npm ended with code {done.returncode}, and no report: {last}") from error


def _of_lock(path: str) -> str:
    return f"{NPM_LOCK}/{path.rpartition('node_modules/')[2]}"


def find_faults(
    found: Sequence[Advisory], packages: Sequence[str], acknowledgements: Sequence[Acknowledgement], today: date
) -> Iterator[str]:
    """A sentence for each advisory that nobody has accepted, and for each acknowledgement that no longer holds."""
    claimed = [each for each in claims_about(acknowledgements, packages) if each.pack == PACK]
    accepted = {(each.finding, each.path) for each in claimed}
    for advisory in found:
        if not advisory.keys & accepted:
            fix = f"fixed in {', '.join(advisory.fixed_in)}" if advisory.fixed_in else "no fix known"
            yield f"{advisory.construct} {advisory.version} has {advisory.names[0]}, {fix}: update it, or accept it"
    for each in stale(claimed, {key for advisory in found for key in advisory.keys}, today):
        yield f"{each.claim.path}: {each.description}"


def _write(report: Path | None, document: Mapping[str, Any]) -> None:
    if report:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(json.dumps(document, indent=2, default=str) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.compliance.advisories",
        description=__doc__,
        epilog="Exit codes: 0 passed, 1 advisories or acknowledgements need attention, 2 a file could not be audited.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="also write the result as JSON, whatever it is")
    return parser


if __name__ == "__main__":
    sys.exit(main())
