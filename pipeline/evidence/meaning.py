"""Checks what a bundle says: its reports must say what the manifest concludes, of the same release.

Bundles of format 1 may lack what their writers did not know yet.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from environments import PROMOTION_ORDER
from pipeline.evidence import checks, provenance, sbom
from pipeline.evidence.bundle import MANIFEST
from pipeline.evidence.container import UNREADABLE
from pipeline.evidence.errors import Mismatch
from pipeline.evidence.reports import (
    DONE,
    NOT_BEGUN,
    PASS,
    RELEASE_REPORTS,
    REPORTS,
    counts,
    identity,
    loaded_otherwise,
)
from pipeline.inspection import unique

FINDINGS, TABLE = "findings.json", "acknowledgements.toml"

Content = Mapping[str, bytes]


def check(manifest: Mapping[str, Any], content: Content) -> None:
    """Raises ``Mismatch`` unless the bundle proves a release, or says how it failed."""
    name, failure, gate_passed = manifest["environment"], manifest.get("failure"), manifest["gate"] == PASS
    whole = manifest["format"] > 1
    if name in {each.name for each in PROMOTION_ORDER if each.requires_approval} and not manifest["approvals"]:
        raise Mismatch(f"{name} requires an approval, and the bundle has none")
    if failure is None and not gate_passed:
        raise Mismatch(f"the gate's verdict is {manifest['gate']!r}, and the bundle calls it no failure")
    if not gate_passed and manifest["shift"] != NOT_BEGUN:
        raise Mismatch(f"the gate did not pass, and {MANIFEST} tells of a shift: {manifest['shift']!r}")
    _require([FINDINGS, TABLE], content)
    if failure is None:
        _require([f"reports/{each}" for each in (REPORTS if whole else ("gate.json", "outcome.json"))], content)
    gate, outcome, traffic = (_report(content, each, name) for each in ("gate", "outcome", "traffic"))
    if gate is not None and gate.get("verdict") != manifest["gate"]:
        raise Mismatch(f"reports/gate.json says {gate.get('verdict')!r}, and {MANIFEST} {manifest['gate']!r}")
    _check_traffic(manifest, traffic, whole=whole)
    if outcome is not None and gate_passed:
        _check_shift(manifest, outcome)
        _check_release(manifest, content, gate, outcome)
    _check_findings(manifest, content, whole=whole)
    if manifest.get("artefact") is not None:  # older bundles have none
        _check_origin(manifest, content)
    if whole:
        checks.check(_json(content, checks.FILE), commit=manifest["commit"])


def _check_shift(manifest: Mapping[str, Any], outcome: Mapping[str, Any]) -> None:
    if outcome.get("text") != manifest["shift"]:
        raise Mismatch(f"reports/outcome.json says {outcome.get('text')!r}, and {MANIFEST} {manifest['shift']!r}")
    if outcome.get("command", "shift") != "shift":
        raise Mismatch(f"reports/outcome.json is of the command {outcome['command']!r}, not of a shift")
    if manifest.get("failure") is None and outcome.get("exit_code") != DONE:
        raise Mismatch(f"the shift failed ({outcome.get('text')}), and the bundle calls it no failure")


def _check_release(
    manifest: Mapping[str, Any], content: Content, gate: Mapping[str, Any] | None, outcome: Mapping[str, Any]
) -> None:
    """Gate, shift and record are of one release. Outcomes of older controllers name none."""
    if "release" not in outcome:
        return
    try:
        release = outcome["release"]
        if manifest["release"] != identity(release):
            raise Mismatch(f"reports/outcome.json is of another release than {MANIFEST}")
        if release and gate is not None and manifest.get("failure") is None:
            _require([f"reports/{each}" for each in RELEASE_REPORTS], content)
            if release != _json(content, "reports/release.json"):
                raise Mismatch("reports/release.json is of another release than reports/outcome.json")
            if fault := loaded_otherwise(gate, release):
                raise Mismatch(f"reports/gate.json is of another release: {fault}")
    except (KeyError, TypeError, AttributeError) as error:
        raise Mismatch(f"reports/outcome.json is no report: {error!r}") from error


def _check_traffic(manifest: Mapping[str, Any], traffic: Mapping[str, Any] | None, *, whole: bool) -> None:
    said = manifest.get("traffic")
    try:
        if (said is not None or (whole and manifest["gate"] == PASS)) and said != counts(traffic):
            raise Mismatch(f"reports/traffic.json counts other requests than {MANIFEST}")
    except KeyError as error:
        raise Mismatch(f"reports/traffic.json is no report: {error!r}") from error


def _check_findings(manifest: Mapping[str, Any], content: Content, *, whole: bool) -> None:
    """Each finding has a reason, and there are as many as the manifest says."""
    match _json(content, FINDINGS):
        case [*found] if all(isinstance(each, dict) and str(each.get("reason") or "").strip() for each in found):
            if whole and len(found) != manifest["acknowledged_findings"]:
                raise Mismatch(f"{FINDINGS} has {len(found)} findings, and {MANIFEST} tells of another number")
        case _:
            raise Mismatch(f"{FINDINGS} has a finding without a reason, or is no list of findings")
    try:
        tomllib.loads(content[TABLE].decode())
    except ValueError as error:
        raise Mismatch(f"{TABLE} is no table: {error}") from error


def _check_origin(manifest: Mapping[str, Any], content: Content) -> None:
    _require([sbom.FILE, provenance.FILE], content)
    if not any(each.startswith("templates/") for each in content):
        raise Mismatch("the templates are missing: without them, nobody knows what was released")
    sbom.check(_json(content, sbom.FILE), commit=manifest["commit"], sha256=manifest["artefact"])
    provenance.check(_json(content, provenance.FILE), provenance.Release.of(manifest, content))


def _require(names: Iterable[str], content: Content) -> None:
    for name in names:
        if name not in content:
            raise Mismatch(f"{name} is missing: without it, the bundle proves nothing")


def _json(content: Content, name: str) -> Any:
    _require([name], content)
    try:
        return json.loads(content[name], object_pairs_hook=unique)
    except UNREADABLE as error:
        raise Mismatch(f"{name} is no JSON: {error}") from error


def _report(content: Content, name: str, environment: str) -> dict[str, Any] | None:
    file = f"reports/{name}.json"
    if file not in content:
        return None
    found = _json(content, file)
    if not isinstance(found, dict) or "environment" not in found:
        raise Mismatch(f"{file} is no report: it names no environment")
    if found["environment"] != environment:
        raise Mismatch(f"{file} is about {found['environment']}, not about {environment}")
    return found
