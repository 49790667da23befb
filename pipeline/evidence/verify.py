"""Verifies a bundle. This needs only the file and, for a signed bundle, the public key.

A signature proves who wrote a bundle, and no more. So what the bundle says is checked, too.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from environments import PROMOTION_ORDER
from pipeline.evidence import container, provenance, sbom
from pipeline.evidence.bundle import FORMAT, LOCAL, MANIFEST, SIGNATURE
from pipeline.evidence.container import UNREADABLE
from pipeline.evidence.errors import Mismatch
from pipeline.evidence.reports import DONE, PASS, counts, identity


def verify(bundle: bytes, public_key: bytes | None = None) -> dict[str, Any]:
    """Check every file of ``bundle`` against its manifest, and the manifest against ``public_key`` (DER).

    Returns the manifest. Raises ``Mismatch`` when ``bundle`` is no bundle; for the first file that is missing, changed
    or not in the manifest; for a missing or wrong signature; and for a signature without a ``public_key`` to check it.
    """
    content = container.read(bundle)
    manifest = _manifest(content)
    signature: dict[str, str] | None = manifest["signature"]
    if not signature and manifest["promotion"]["engine"] != LOCAL:
        raise Mismatch(
            f"{MANIFEST} is not signed, but {manifest['promotion']['engine']} signs: the signature was removed"
        )
    if signature and public_key is None:
        raise Mismatch(f"{MANIFEST} is signed with {signature['key']}: give its public key with --key")
    if public_key is not None:
        _check_signature(content, public_key)
    digests: dict[str, str] = manifest["files"]
    for name, digest in digests.items():
        if name not in content:
            raise Mismatch(f"{name} is missing")
        if hashlib.sha256(content[name]).hexdigest() != digest:
            raise Mismatch(f"{name} was changed: its SHA-256 is not the manifest's")
    for name in content.keys() - digests.keys() - {MANIFEST, *([SIGNATURE] if signature else [])}:
        raise Mismatch(f"{name} was added: the manifest does not list it")
    if list(content) != [MANIFEST, *([SIGNATURE] if signature else []), *sorted(digests)]:
        raise Mismatch("the files are not in the order of `collect`")
    _check_meaning(manifest, content)
    return manifest


def _check_meaning(manifest: Mapping[str, Any], content: Mapping[str, bytes]) -> None:
    """The bundle proves a release: its reports say what the manifest concludes, and whoever had to approve did."""
    name, failure = manifest["environment"], manifest.get("failure")
    required = {each.name for each in PROMOTION_ORDER if each.requires_approval}
    if name in required and not manifest["approvals"]:
        raise Mismatch(f"{name} requires an approval, and the bundle has none")
    if failure is None and manifest["gate"] != PASS:
        raise Mismatch(f"the gate's verdict is {manifest['gate']!r}, and the bundle calls it no failure")
    for report in ("findings.json", "acknowledgements.toml", "reports/gate.json", "reports/outcome.json"):
        if report not in content and (failure is None or not report.startswith("reports/")):
            raise Mismatch(f"{report} is missing: without it, the bundle proves nothing")
    gate, outcome = (_report(content, each, name) for each in ("gate", "outcome"))
    if gate is not None and gate.get("verdict") != manifest["gate"]:
        raise Mismatch(f"reports/gate.json says {gate.get('verdict')!r}, and {MANIFEST} {manifest['gate']!r}")
    if outcome is not None and manifest["gate"] == PASS and outcome.get("text") != manifest["shift"]:
        raise Mismatch(f"reports/outcome.json says {outcome.get('text')!r}, and {MANIFEST} {manifest['shift']!r}")
    if outcome is not None and failure is None and outcome.get("exit_code") != DONE:
        raise Mismatch(f"the shift failed ({outcome.get('text')}), and the bundle calls it no failure")
    _check_counts(manifest, _report(content, "traffic", name))
    if outcome is not None and manifest["gate"] == PASS:
        _check_release(manifest, outcome)
    if manifest.get("artefact"):  # older bundles have none
        _check_origin(manifest, content)


def _check_counts(manifest: Mapping[str, Any], traffic: Mapping[str, Any] | None) -> None:
    try:
        if traffic is not None and manifest.get("traffic") not in (None, counts(traffic)):
            raise Mismatch(f"reports/traffic.json counts other requests than {MANIFEST}")
    except KeyError as error:
        raise Mismatch(f"reports/traffic.json is no report: {error!r}") from error


def _check_release(manifest: Mapping[str, Any], outcome: Mapping[str, Any]) -> None:
    """Outcomes of older controllers name no release."""
    try:
        if "release" in outcome and manifest["release"] != identity(outcome["release"]):
            raise Mismatch(f"reports/outcome.json is of another release than {MANIFEST}")
    except (KeyError, TypeError) as error:
        raise Mismatch(f"reports/outcome.json is no report: {error!r}") from error


def _check_origin(manifest: Mapping[str, Any], content: Mapping[str, bytes]) -> None:
    said = {name: _json(content, name) for name in (sbom.FILE, provenance.FILE)}
    sbom.check(said[sbom.FILE], commit=manifest["commit"], sha256=manifest["artefact"])
    provenance.check(said[provenance.FILE], provenance.Release.of(manifest, content))


def _json(content: Mapping[str, bytes], name: str) -> Any:
    if name not in content:
        raise Mismatch(f"{name} is missing: without it, nobody knows what was released")
    try:
        return json.loads(content[name], object_pairs_hook=_unique)
    except UNREADABLE as error:
        raise Mismatch(f"{name} is no JSON: {error}") from error


def _report(content: Mapping[str, bytes], name: str, environment: str) -> dict[str, Any] | None:
    if f"reports/{name}.json" not in content:
        return None
    try:
        found = json.loads(content[f"reports/{name}.json"])
        about = found["environment"]
    except (*UNREADABLE, TypeError) as error:
        raise Mismatch(f"reports/{name}.json is no report: {error!r}") from error
    if about != environment:
        raise Mismatch(f"reports/{name}.json is about {about}, not about {environment}")
    return dict(found)


def _manifest(content: Mapping[str, bytes]) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(content[MANIFEST], object_pairs_hook=_unique)
    except UNREADABLE as error:
        raise Mismatch(f"{MANIFEST} is missing, or is no manifest") from error
    match manifest:
        case {"format": int(written)} if written != FORMAT:
            raise Mismatch(f"{MANIFEST} is of format {written}; this command reads format {FORMAT}")
        case {
            "format": int(),
            "environment": str(),
            "commit": str(),
            "promotion": {"engine": str(), "id": str()},
            "created": str(),
            "approvals": list(approvals),
            "gate": str(),
            "shift": str(),
            "release": None | {"id": str(), "commit": str() | None},
            "signature": None | {"key": str()},
            "files": dict(files),
        } if all(map(_is_approval, approvals)) and all(isinstance(each, str) for each in files.values()):
            origin = (manifest.get("assembly"), manifest.get("artefact"))
            if _are_conclusions(manifest.get("failure"), manifest.get("traffic")) and _is_origin(*origin):
                return manifest
    raise Mismatch(f"{MANIFEST} is missing, or is no manifest")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two values with one name, another reader might show the other one."""
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


def _are_conclusions(failure: Any, traffic: Any) -> bool:
    """Older bundles have neither. A failure without a word would be none to people, and one to the checks."""
    if isinstance(failure, str) and not failure.strip():
        return False
    match failure, traffic:
        case (None | str(), None):
            return True
        case (None | str(), dict(counts)):
            return all(isinstance(name, str) and isinstance(count, int) for name, count in counts.items())
    return False


def _is_origin(assembly: Any, artefact: Any) -> bool:
    """Older bundles have no artefact, and the oldest no assembly."""
    match assembly, artefact:
        case (None | str(), None) | (str(), str()):
            return True
    return False


def _is_approval(entry: Any) -> bool:
    match entry:
        case {"step": str(), "by": str(), "at": str()}:
            return True
    return False


def _check_signature(content: Mapping[str, bytes], public_key: bytes) -> None:
    try:
        key = load_der_public_key(public_key)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Mismatch("the file is no public key in DER") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Mismatch("the public key is no elliptic-curve key, as the pipeline's is")
    if SIGNATURE not in content:
        raise Mismatch(f"{SIGNATURE} is missing: nothing in the bundle is signed")
    try:
        key.verify(content[SIGNATURE], content[MANIFEST], ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Mismatch(f"{MANIFEST} was changed, or signed with another key") from None
