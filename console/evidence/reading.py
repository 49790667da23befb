"""The bundles of the promotions of this machine, and the findings and acknowledgements of its commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Protocol

from console import text
from pipeline.compliance.acknowledgements import MalformedAcknowledgements, load
from pipeline.evidence.bundle import FOLDER
from pipeline.evidence.container import LIMIT
from pipeline.evidence.errors import Mismatch
from pipeline.evidence.verify import verify
from pipeline.local.run import all_runs
from pipeline.local.state import State
from pipeline.review.findings import REPORT
from pipeline.review.findings.reading import NoFindings, read

LATEST = 30
SOON_DAYS = 30
"""An acknowledgement that ends within so many days is marked."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """``fault``: why it is not trustworthy; empty when it is whole."""

    name: str
    promotion: str
    environment: str
    commit: str
    created: str
    files: int
    gate: str
    shift: str
    approvals: Sequence[str]
    signed: bool
    fault: str = ""
    failure: str = ""
    """Of a promotion that failed: why."""


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """An entry of the table of acknowledgements."""

    line: int
    findings: Sequence[str]
    constructs: Sequence[str]
    reason: str
    owner: str
    expires: date
    days: int
    """Until it ends; negative when it has."""


@dataclass(frozen=True, kw_only=True)
class Open:
    """A finding that nobody has accepted."""

    rule: str
    construct: str
    description: str


@dataclass(frozen=True, kw_only=True)
class Compliance:
    """The findings of the last synthesis. ``trouble``: why they can't be read. It never means that there are none."""

    commit: str = ""
    open: Sequence[Open] = ()
    accepted: int = 0
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """The acknowledgements of this checkout; those that end first come first. ``trouble``: why they can't be read."""

    entries: Sequence[Accepted] = ()
    trouble: str = ""


class Evidence(Protocol):
    def bundles(self) -> Sequence[Bundle]:
        """The last bundles, newest first, each verified."""
        ...

    def compliance(self) -> Compliance: ...

    def acknowledgements(self) -> "Table": ...


class LocalEvidence:
    """``Evidence`` of the run folders and of this checkout."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._verified: dict[Path, tuple[int, Bundle]] = {}
        self._found: tuple[Path, int, Compliance] | None = None

    def bundles(self) -> Sequence[Bundle]:
        found = (file for file in self._state.runs.glob(f"*/{FOLDER}/*.zip") if file.is_file())  # no pipe, no device
        files = sorted(found, reverse=True)[:LATEST]
        return [bundle for file in files if (bundle := self._bundle(file))]

    def _bundle(self, file: Path) -> Bundle | None:
        """A bundle is verified again when its file has changed."""
        try:
            changed = file.stat().st_mtime_ns
            if self._verified.get(file, (None,))[0] != changed:
                with file.open("rb") as opened:
                    self._verified[file] = (changed, verified(file, opened.read(LIMIT + 1)))
        except OSError:
            return None
        return self._verified[file][1]

    def compliance(self) -> Compliance:
        """Of the last promotion that came as far as its synthesis."""
        for run in reversed(all_runs(self._state.runs)):
            report = run.assembly / REPORT
            if report.is_file():
                changed = report.stat().st_mtime_ns
                if self._found is None or self._found[:2] != (report, changed):
                    commit = text.line(f"{run.revision[:10]} {run.subject}")
                    self._found = (report, changed, _compliance(report, run.source, commit))
                return self._found[2]
        return Compliance(trouble="No promotion has been synthesised yet.")

    def acknowledgements(self) -> Table:
        return accepted()


class AwsEvidence:
    """``Evidence`` on AWS: the bundles are in S3, where only an auditor's role may read them."""

    def bundles(self) -> Sequence[Bundle]:
        return ()

    def compliance(self) -> Compliance:
        return Compliance(trouble="The findings of a synthesis on AWS are among the reports of its build.")

    def acknowledgements(self) -> Table:
        return accepted()


def accepted() -> Table:
    """The table of this checkout."""
    today = date.today()
    try:
        entries = [
            Accepted(
                line=each.line,
                findings=each.findings,
                constructs=each.constructs,
                reason=text.line(each.reason),
                owner=text.line(each.owner),
                expires=each.expires,
                days=(each.expires - today).days,
            )
            for each in load()
        ]
    except (MalformedAcknowledgements, OSError) as error:
        return Table(trouble=text.line(str(error)))
    return Table(entries=sorted(entries, key=lambda each: (each.expires, each.line)))


def verified(file: Path, content: bytes) -> Bundle:
    """The bundle in ``file``, with its fault if it has one."""
    promotion = file.parents[1].name
    try:
        manifest, _ = verify(content)
    except Mismatch as fault:
        return Bundle(
            name=file.name, promotion=promotion, environment=file.name.partition("-")[0], commit="", created="",
            files=0, gate="", shift="", approvals=(), signed=False, fault=text.line(str(fault)),
        )  # fmt: skip
    return Bundle(
        name=file.name,
        promotion=promotion,
        environment=text.line(str(manifest["environment"])),
        commit=text.line(str(manifest["commit"])),
        created=text.line(str(manifest["created"])),
        files=len(manifest["files"]),
        gate=text.line(str(manifest["gate"])),
        shift=text.line(str(manifest["shift"])),
        approvals=tuple(
            text.line(f"{each['step']} by {each['by']}, {each['at']}{_comment(each)}") for each in manifest["approvals"]
        ),
        signed=bool(manifest["signature"]),
        failure=text.line(str(manifest.get("failure") or "")),
    )


def _comment(approval: dict[str, str]) -> str:
    return f": {approval['comment']}" if approval.get("comment") else ""


def _compliance(report: Path, source: Path, commit: str) -> Compliance:
    try:
        findings = read(report, source)
    except NoFindings as error:
        return Compliance(commit=commit, trouble=text.line(str(error)))
    return Compliance(
        commit=commit,
        open=tuple(
            Open(rule=each.rule, construct=text.line(each.construct), description=text.line(each.description))
            for each in findings
            if each.reason is None
        ),
        accepted=sum(each.reason is not None for each in findings),
    )
