"""Verifies a bundle. This needs only the file and, for a signed bundle, the public key.

A signature proves who wrote a bundle, and no more. So what the bundle says is checked, too.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from pipeline.evidence import bundle, container, meaning
from pipeline.evidence.bundle import FORMAT, LOCAL, MANIFEST, SIGNATURE
from pipeline.evidence.container import UNREADABLE
from pipeline.evidence.errors import Mismatch
from pipeline.inspection import unique

COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?|folder-[0-9a-f]{33}")
ENVIRONMENT, SHA256 = re.compile(r"[a-z0-9-]+"), re.compile(r"[0-9a-f]{64}")


def verify(file: bytes, public_key: bytes | None = None) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Check every file of a bundle against its manifest, and the manifest against ``public_key`` (DER).

    Returns the manifest and the files by name. Raises ``Mismatch`` when ``file`` is no bundle; for the first file that
    is missing, changed or not in the manifest; for a missing or wrong signature; for a signature without a
    ``public_key`` to check it; and for a bundle that contradicts itself.
    """
    content = container.read(file)
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
    meaning.check(manifest, content)
    return manifest, content


def _manifest(content: Mapping[str, bytes]) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(content[MANIFEST], object_pairs_hook=unique)
    except UNREADABLE as error:
        raise Mismatch(f"{MANIFEST} is missing, or is no manifest") from error
    match manifest:
        case {"format": int(written)} if written not in range(1, FORMAT + 1):
            raise Mismatch(f"{MANIFEST} is of format {written}; this command reads formats 1 to {FORMAT}")
        case {
            "format": int(written),
            "environment": str(environment),
            "commit": str(commit),
            "promotion": {"engine": str(), "id": str()},
            "created": str(created),
            "approvals": list(approvals),
            "gate": str(),
            "shift": str(),
            "release": None | {"id": str(), "commit": str() | None},
            "signature": None | {"key": str(), "algorithm": bundle.ALGORITHM, "file": bundle.SIGNATURE},
            "files": dict(files),
        } if all(
            [
                ENVIRONMENT.fullmatch(environment),
                COMMIT.fullmatch(commit),
                _is_time(created),
                all(_is_approval(each, created) for each in approvals),
                all(isinstance(each, str) for each in files.values()),
                _are_conclusions(manifest.get("failure"), manifest.get("traffic")),
                _is_origin(manifest.get("assembly"), manifest.get("artefact")),
                written == 1 or _is_complete(manifest),
            ]
        ):
            return manifest
    raise Mismatch(f"{MANIFEST} is missing, or is no manifest")


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
    given = [each for each in (assembly, artefact) if each is not None]
    return (artefact is None or assembly is not None) and all(
        isinstance(each, str) and SHA256.fullmatch(each) for each in given
    )


def _is_complete(manifest: Mapping[str, Any]) -> bool:
    """Whether a bundle says all that bundles of this format say."""
    match manifest:
        case {"artefact": str(), "failure": _, "traffic": _, "acknowledged_findings": int(), "source": dict(source)}:
            return all(isinstance(each, str | None) for each in source.values())
    return False


def _is_approval(entry: Any, created: str) -> bool:
    """An approval has a step, a person and a time before the bundle was made."""
    match entry:
        case {"step": str(step), "by": str(by), "at": str(at)} if step.strip() and by.strip():
            times = _is_time(at) and _is_time(created)
            known = isinstance(entry.get("is_author"), bool | None)
            return known and times and datetime.fromisoformat(at) <= datetime.fromisoformat(created)
    return False


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
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
