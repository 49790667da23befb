"""Reads what a promotion wrote about the release of one environment, and checks it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.assembly import top_level_stacks
from pipeline.compliance.acknowledgements import TABLE
from pipeline.evidence.errors import EvidenceError
from pipeline.evidence.reports import Conclusions, Reports
from pipeline.review.findings import REPORT, NoFindings
from pipeline.review.findings import read as read_findings

PLAN = "plan.json"


@dataclass(frozen=True, kw_only=True)
class ReleaseEvidence:
    """The evidence of a release. ``files``: content by name in the bundle."""

    stage: str
    """The environment's stage in the plan."""
    approvals: tuple[str, ...]
    """The plan's approval steps."""
    conclusions: Conclusions
    findings: int
    """The number of findings. All are acknowledged."""
    files: Mapping[str, bytes]
    templates: Sequence[Path]
    """Those of the environment."""


def read(environment: str, *, assembly: Path, reports: Sequence[Path], failed: bool = False) -> ReleaseEvidence:
    """Read the evidence of a release of ``environment``: the deployed cloud assembly, the reports of gate and shift.

    Each of the folders ``reports`` holds reports, or a folder of them for each step. Of a release that ``failed``,
    reports may be missing. Raises ``EvidenceError`` for any other missing file, and for a report that contradicts the
    release.
    """
    plan = _json(assembly / PLAN)
    stage = next((each for each in plan["stages"] if each["environment"] == environment), None)
    if stage is None:
        raise EvidenceError(f"{assembly / PLAN} has no environment {environment!r}")
    others = {each["name"] for each in plan["stages"]} - {stage["name"]}
    found = _findings(assembly, others)
    written = Reports.read(environment, reports)
    return ReleaseEvidence(
        stage=stage["name"],
        approvals=tuple(step["name"] for step in _asked(stage) if step["kind"] == "approval"),
        conclusions=written.of_failure() if failed else written.checked(),
        findings=len(found),
        files={
            **{f"reports/{name}": content for name, content in written.files.items()},
            **{f"templates/{name}": _bytes(file) for name, file in _templates(assembly, stage)},
            "findings.json": (json.dumps(found, indent=2) + "\n").encode(),
            TABLE.name: _bytes(TABLE),
        },
        templates=[assembly / stack["template"] for stack in stage["stacks"]],
    )


def _asked(stage: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The steps before a deployment is executed."""
    yield from stage["pre"]
    for stack in stage["stacks"]:
        yield from stack.get("change_set", ())


def _templates(assembly: Path, stage: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """The templates of the environment, and the pipeline's own, which is at the top of the assembly."""
    for stack in stage["stacks"]:
        yield f"{stack['name']}.template.json", assembly / stack["template"]
    try:
        for own in top_level_stacks(assembly):
            yield own.template_file.name, own.template_file
    except (OSError, ValueError, KeyError) as error:
        raise EvidenceError(f"the cloud assembly {assembly} can't be read: {error}") from error


def _findings(assembly: Path, other_stages: set[str]) -> list[dict[str, Any]]:
    """The findings about this environment and the pipeline itself, with the reasons of their acknowledgements."""
    try:
        everything = read_findings(assembly / REPORT, assembly)
    except NoFindings as error:
        raise EvidenceError(str(error)) from error
    found = [each for each in everything if each.construct.split("/")[0] not in other_stages]
    if unexplained := [each for each in found if each.reason is None]:
        raise EvidenceError(f"{unexplained[0].rule} at {unexplained[0].construct} is not acknowledged")
    return [{k: v for k, v in asdict(each).items() if k not in ("file", "line")} for each in found]


def _json(file: Path) -> Any:
    try:
        return json.loads(_bytes(file))
    except ValueError as error:
        raise EvidenceError(f"{file} is not JSON: {error}") from error


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise EvidenceError(f"{file} can't be read: {error.strerror}") from error
