"""Reads the reports and templates that a promotion wrote about one environment, and checks them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from names import Function
from pipeline.assembly import top_level_stacks
from pipeline.compliance.acknowledgements import TABLE
from pipeline.evidence.errors import EvidenceError
from pipeline.review.findings import REPORT, NoFindings
from pipeline.review.findings import read as read_findings

PLAN = "plan.json"
PASS = "pass"  # noqa: S105  # the load gate's verdict
DONE = 0
REPORTS = ("gate.json", "gate.junit.xml", "gate.md", "gate.html", "locust.html", "outcome.json", "traffic.json")
RELEASE_REPORTS = ("release.json", "release.md", "release.html")
"""Written only when traffic was shifted."""


@dataclass(frozen=True, kw_only=True)
class ReleaseEvidence:
    """The evidence of a release that was gated and shifted. ``files``: content by name in the bundle."""

    stage: str
    """The environment's stage in the plan."""
    approvals: tuple[str, ...]
    """The plan's approval steps."""
    shift: str
    """The conclusion of the release controller."""
    release: Mapping[str, Any] | None
    """Id and commit of the shifted release. The commit may be older, because a shift first finishes a release that was
    interrupted."""
    findings: int
    """The number of findings. All are acknowledged."""
    files: Mapping[str, bytes]


def read(environment: str, *, assembly: Path, reports: Path) -> ReleaseEvidence:
    """Read the evidence of a release of ``environment``: the deployed cloud assembly, the reports of gate and shift.

    ``reports`` holds all reports in one folder, or a folder for each step. Raises ``EvidenceError`` for a missing file,
    and for a report that contradicts the release.
    """
    plan = _json(assembly / PLAN)
    stage = next((each for each in plan["stages"] if each["environment"] == environment), None)
    if stage is None:
        raise EvidenceError(f"{assembly / PLAN} has no environment {environment!r}")
    others = {each["name"] for each in plan["stages"]} - {stage["name"]}
    found = _findings(assembly, others)
    written = dict(_reports(reports))
    outcome = _checked_outcome(environment, written, reports)
    shifted = outcome["release"]
    return ReleaseEvidence(
        stage=stage["name"],
        approvals=tuple(step["name"] for step in stage["pre"] if step["kind"] == "approval"),
        shift=outcome["text"],
        release={"id": shifted["release_id"], "commit": shifted["commit"]} if shifted else None,
        findings=len(found),
        files={
            **{f"reports/{name}": content for name, content in written.items()},
            **{f"templates/{name}": _bytes(file) for name, file in _templates(assembly, stage)},
            "findings.json": (json.dumps(found, indent=2) + "\n").encode(),
            TABLE.name: _bytes(TABLE),
        },
    )


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


def _reports(folder: Path) -> Iterator[tuple[str, bytes]]:
    seen = set()
    for file in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        if file.is_file():
            if file.name in seen:
                raise EvidenceError(f"{folder} holds {file.name} twice: it is unknown which one is of this release")
            seen.add(file.name)
            yield file.name, file.read_bytes()


def _checked_outcome(environment: str, written: Mapping[str, bytes], folder: Path) -> dict[str, Any]:
    """The shift's outcome. Checks that gate and shift succeeded, on the same versions."""
    gate = _report("gate.json", environment, written, folder)
    if gate["verdict"] != PASS:
        raise EvidenceError(f"gate.json: the verdict is {gate['verdict']!r}, not {PASS!r}")
    outcome = _report("outcome.json", environment, written, folder)
    if outcome["command"] != "shift" or outcome["exit_code"] != DONE:
        raise EvidenceError(f"outcome.json: `{outcome['command']}` ended with {outcome['text']!r}")
    if release := outcome["release"]:
        if release != _report("release.json", environment, written, folder):
            raise EvidenceError("release.json is of another release than outcome.json")
        for function in Function:  # the gate counts versions by route, the release controller by function
            loaded, shifted = sorted(gate["versions"].get(function.path, ())), release["candidate"][function]
            if loaded != [shifted]:
                answered = " and ".join(loaded) or "none"
                raise EvidenceError(
                    f"gate.json: version {answered} answered {function.path}, but {shifted} was shifted"
                )
    _report("traffic.json", environment, written, folder)
    _require([*REPORTS, *(RELEASE_REPORTS if release else ())], written, folder)
    return outcome


def _require(names: Iterable[str], written: Mapping[str, bytes], folder: Path) -> None:
    for name in names:
        if name not in written:
            raise EvidenceError(f"{name} is missing in {folder}: did its step run, and keep its reports?")


def _report(name: str, environment: str, written: Mapping[str, bytes], folder: Path) -> dict[str, Any]:
    _require([name], written, folder)
    try:
        report: dict[str, Any] = json.loads(written[name])
        about = report["environment"]
    except (ValueError, KeyError, TypeError) as error:
        raise EvidenceError(f"{name} in {folder} is no report: {error!r}") from error
    if about != environment:
        raise EvidenceError(f"{name} is about {about}, not about {environment}")
    return report


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
