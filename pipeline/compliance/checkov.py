"""Runs checkov's CloudFormation checks over a synthesised app, and compares its findings with the acknowledgements.

A finding without an acknowledgement fails. An acknowledgement without a finding, or past its date, fails too. checkov
is installed in a virtual environment of its own (requirements/checkov.in), so it runs as a command after the synthesis.
It runs once over all templates, because most of its time goes into its start.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from pathlib import Path
from typing import Any

from pipeline.assembly import all_stacks
from pipeline.compliance.acknowledgements import (
    CHECKOV,
    PLATFORM,
    TABLE,
    Acknowledgement,
    MalformedAcknowledgements,
    claims_about,
    load,
    stale,
)
from pipeline.compliance.template_pack import NESTED, Template, nested_file
from pipeline.output import say


class ExitCode(IntEnum):
    PASSED = 0
    FAILED = 1
    NOT_SCANNED = 2


class NotScanned(Exception):
    """checkov gave no findings. This never counts as a scan without findings."""


@dataclass(frozen=True, order=True, kw_only=True)
class Finding:
    """One check that one construct fails."""

    rule: str
    """Long id: ``checkov::CKV_AWS_18``."""
    construct: str
    demand: str

    @property
    def key(self) -> tuple[str, str]:
        return self.rule, self.construct


def main(arguments: list[str] | None = None, *, table: Path = TABLE, today: date | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        acknowledgements = load(table)
        constructs = constructs_of(options.assembly)
        findings = scan(constructs)
    except (MalformedAcknowledgements, NotScanned) as error:
        say(f"checkov: {error}", sys.stderr)
        return ExitCode.NOT_SCANNED
    paths = [path for of_template in constructs.values() for path in of_template.values()]
    faults = list(find_faults(findings, paths, acknowledgements, today or date.today()))
    for fault in faults:
        say(f"checkov: {fault}", sys.stderr)
    if not faults:
        say(f"checkov: {len(constructs)} templates; each of the {len(findings)} findings is acknowledged")
    return ExitCode.FAILED if faults else ExitCode.PASSED


def constructs_of(assembly: Path) -> dict[Path, dict[str, str]]:
    """The templates of a cloud assembly, each with the construct paths of its resources by logical id.

    Only templates in the manifest, and those of their nested stacks: the folder may hold files of an earlier synthesis.
    Raises ``NotScanned``.
    """
    try:
        found = {
            file: {each.id: each.construct_path for each in template.resources}
            for stack in all_stacks(assembly)
            for file, template in _with_nested(stack.template_file)
        }
    except (OSError, AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise NotScanned(f"{assembly} is no cloud assembly ({error!r}): `make synth` writes one") from error
    if not found:
        raise NotScanned(f"{assembly} holds no template")
    return found


def _with_nested(file: Path) -> Iterator[tuple[Path, Template]]:
    """A template, and those of its nested stacks. checkov itself reads the files that it is given, and no other."""
    template = Template(json.loads(file.read_text()))
    yield file, template
    for stack in template.of(NESTED):
        if (nested := nested_file(stack, file.parent)) is None:
            raise NotScanned(f"the template of the nested stack {stack.construct_path} is not in {file.parent}")
        yield from _with_nested(nested)


def scan(constructs: Mapping[Path, Mapping[str, str]]) -> list[Finding]:
    """checkov's findings in these templates, sorted. Raises ``NotScanned``."""
    report = _run([path.resolve() for path in constructs])
    resolved = {str(path.resolve()): of_template for path, of_template in constructs.items()}
    try:
        results = report["results"]
        if results["parsing_errors"]:
            raise NotScanned(f"checkov can't read {', '.join(results['parsing_errors'])}")
        if results["skipped_checks"]:
            names = {each["resource"] for each in results["skipped_checks"]}
            raise NotScanned(f"{', '.join(sorted(names))} skips checks by itself: only {TABLE.name} may")
        checked = {each["file_abs_path"] for each in [*results["passed_checks"], *results["failed_checks"]]}
        if missed := set(resolved) - checked:
            raise NotScanned(f"checkov has no result for {', '.join(sorted(missed))}")
        return sorted(
            Finding(
                rule=f"{CHECKOV}::{each['check_id']}",
                construct=resolved[each["file_abs_path"]][each["resource"].split(".")[-1]],
                demand=each["check_name"],
            )
            for each in results["failed_checks"]
        )
    except (KeyError, TypeError) as error:
        raise NotScanned(f"checkov's report is not as expected: {error!r}") from error


def _run(templates: Sequence[Path]) -> Any:
    """checkov's report as JSON. checkov runs without network, and without settings from variables, home or folder."""
    if not (program := shutil.which("checkov")):
        raise NotScanned("the command checkov is not on the PATH: `make infrastructure` installs it")
    files = [argument for each in templates for argument in ("--file", str(each))]
    options = ["--framework", "cloudformation", "--output", "json", "--skip-download", "--soft-fail"]
    with tempfile.TemporaryDirectory(prefix="checkov-") as folder:
        done = subprocess.run(
            [program, *options, *files],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": folder},
            capture_output=True,
            text=True,
        )
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
        raise NotScanned(f"checkov ended with code {done.returncode} and without a report:\n{last}") from error


def find_faults(
    findings: Sequence[Finding], paths: Sequence[str], acknowledgements: Sequence[Acknowledgement], today: date
) -> Iterator[str]:
    """A sentence for each finding without an acknowledgement, and for each acknowledgement that no longer holds.

    ``paths``: the paths of all scanned constructs.
    """
    checkov_claims = [each for each in claims_about(acknowledgements, paths) if each.pack == CHECKOV]
    accepted = {(each.finding, each.path) for each in checkov_claims}
    for finding in findings:
        if finding.key not in accepted:
            _, _, inside = finding.construct.partition("/")
            construct = inside if inside.startswith(f"{PLATFORM}/") else finding.construct
            command = f"python -m pipeline.compliance acknowledge --construct {construct} --finding {finding.rule}"
            yield f"{finding.construct} breaks {finding.demand!r}. Fix it, or accept it: {command}"
    for each in stale(checkov_claims, {finding.key for finding in findings}, today):
        yield f"{each.claim.path}: {each.description}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.compliance.checkov",
        description=__doc__,
        epilog="Exit codes: 0 passed, 1 findings or acknowledgements need attention, 2 nothing could be checked.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "assembly", metavar="DIR", type=Path, nargs="?", default=Path("cdk.out"), help="default: %(default)s"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
