"""The reports of gate and shift about one environment, and what they conclude."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import names
from names import Function
from pipeline.evidence.errors import EvidenceError

PASS = "pass"  # noqa: S105  # the load gate's verdict
NOT_BEGUN = "not begun"
DONE = 0
REPORTS = ("gate.json", "gate.junit.xml", "gate.md", "gate.html", "locust.html", "outcome.json", "traffic.json")
RELEASE_REPORTS = ("release.json", "release.md", "release.html")
"""Written unless there was nothing to shift, and no record says how the running version became stable."""
GATE_REPORTS = Path(names.GATE_REPORTS)


@dataclass(frozen=True, kw_only=True)
class Conclusions:
    """How gate and shift ended."""

    gate: str
    """The load gate's verdict."""
    shift: str
    """The conclusion of the release controller."""
    traffic: Mapping[str, int] | None
    """The requests that were ``sent``, ``lost`` and answered ``wrong`` during the shift; ``None`` without a shift."""
    release: Mapping[str, Any] | None
    """Id and commit of the shifted release, or of the one that made the running version stable before. The commit may
    be older, because a shift first finishes a release that was interrupted."""
    failure: str | None = None
    """Why the release failed; ``None`` for one that went through."""


@dataclass(frozen=True)
class Reports:
    """``files``: content by name, as found in ``folders``."""

    environment: str
    folders: Sequence[Path]
    files: Mapping[str, bytes]

    @classmethod
    def read(cls, environment: str, folders: Sequence[Path]) -> "Reports":
        """Raises ``EvidenceError`` when two have one name."""
        files: dict[str, bytes] = {}
        for name, file in _found(folders):
            if name in files:
                raise EvidenceError(f"{_names(folders)} holds {name} twice: it is unknown which one is of this release")
            files[name] = file.read_bytes()
        return cls(environment, folders, files)

    def checked(self) -> Conclusions:
        """Of a release that went through. Raises ``EvidenceError`` unless gate and shift succeeded, on the same
        versions, and left all their reports."""
        gate = self._report("gate.json")
        if gate["verdict"] != PASS:
            raise EvidenceError(f"gate.json: the verdict is {gate['verdict']!r}, not {PASS!r}")
        outcome = self._report("outcome.json")
        if outcome["command"] != "shift" or outcome["exit_code"] != DONE:
            raise EvidenceError(f"outcome.json: `{outcome['command']}` ended with {outcome['text']!r}")
        if release := outcome["release"]:
            if release != self._report("release.json"):
                raise EvidenceError("release.json is of another release than outcome.json")
            if fault := loaded_otherwise(gate, release):
                raise EvidenceError(f"gate.json: {fault}")
        traffic = self._report("traffic.json")
        self._require([*REPORTS, *(RELEASE_REPORTS if release else ())])
        return Conclusions(gate=PASS, shift=outcome["text"], traffic=counts(traffic), release=identity(release))

    def of_failure(self) -> Conclusions:
        """Of a release that failed, by the reports that there are."""
        gate = self._report("gate.json") if "gate.json" in self.files else {"verdict": "none"}
        if gate["verdict"] != PASS:
            why = "; ".join(gate.get("reasons", ())) or "it left no report"
            failure = f"the load gate did not pass: {why}"
            return Conclusions(gate=gate["verdict"], shift=NOT_BEGUN, traffic=None, release=None, failure=failure)
        traffic = self._report("traffic.json") if "traffic.json" in self.files else None
        if "outcome.json" not in self.files:
            return Conclusions(
                gate=PASS,
                shift="no outcome",
                traffic=counts(traffic),
                release=None,
                failure="the shift did not begin, or left no outcome",
            )
        outcome = self._report("outcome.json")
        failure = outcome["text"]
        if outcome["exit_code"] == DONE:
            failure = "a step failed after the shift; what the shift did stands"
            if traffic and traffic["budget"]["overspent"]:
                failure = "requests were lost or answered wrongly beyond the budget; what the shift did stands"
        return Conclusions(
            gate=PASS,
            shift=outcome["text"],
            traffic=counts(traffic),
            release=identity(outcome["release"]),
            failure=failure,
        )

    def _require(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self.files:
                raise EvidenceError(
                    f"{name} is missing in {_names(self.folders)}: did its step run, and keep its reports?"
                )

    def _report(self, name: str) -> dict[str, Any]:
        self._require([name])
        try:
            report: dict[str, Any] = json.loads(self.files[name])
            about = report["environment"]
        except (ValueError, KeyError, TypeError) as error:
            raise EvidenceError(f"{name} in {_names(self.folders)} is no report: {error!r}") from error
        if about != self.environment:
            raise EvidenceError(f"{name} is about {about}, not about {self.environment}")
        return report


def _found(folders: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    for folder in folders:
        for file in sorted([*folder.glob("*"), *folder.glob("*/*")]):
            if file.is_file():
                yield file.name, file


def _names(folders: Iterable[Path]) -> str:
    return " and ".join(str(folder) for folder in folders if folder.is_dir()) or str(next(iter(folders)))


def loaded_otherwise(gate: Mapping[str, Any], release: Mapping[str, Any]) -> str | None:
    """How the versions that the gate loaded differ from those of the release. ``None``: they do not."""
    for function in Function:  # the gate counts versions by route, the release controller by function
        loaded, shifted = sorted(gate["versions"].get(function.path, ())), release["candidate"][function]
        if loaded != [shifted]:
            return f"version {' and '.join(loaded) or 'none'} answered {function.path}, but {shifted} was shifted"
    return None


def counts(traffic: Mapping[str, Any] | None) -> Mapping[str, int] | None:
    return {count: traffic[count] for count in ("sent", "lost", "wrong")} if traffic else None


def identity(release: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    return {"id": release["release_id"], "commit": release["commit"]} if release else None
