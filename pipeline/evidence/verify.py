"""Verifies a bundle. This needs only the file and, for a signed bundle, the public key."""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from pipeline.evidence.bundle import FORMAT, LOCAL, MANIFEST, SIGNATURE
from pipeline.evidence.errors import Mismatch

LIMIT = 64 * 1024 * 1024
"""The most bytes of a bundle, and of all files in it together. The pipeline's bundles have a few million."""
UNREADABLE = (ValueError, KeyError, RuntimeError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)
"""The exceptions that reading a forged archive, UTF-8 text or JSON document can raise."""


def verify(bundle: bytes, public_key: bytes | None = None) -> dict[str, Any]:
    """Check every file of ``bundle`` against its manifest, and the manifest against ``public_key`` (DER).

    Returns the manifest. Raises ``Mismatch`` when ``bundle`` is no bundle; for the first file that is missing, changed
    or not in the manifest; for a missing or wrong signature; and for a signature without a ``public_key`` to check it.
    """
    content = _content(bundle)
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
    return manifest


def _content(bundle: bytes) -> dict[str, bytes]:
    if len(bundle) > LIMIT:
        raise Mismatch(f"this is no bundle: it has more than {LIMIT} bytes")
    content: dict[str, bytes] = {}
    left = LIMIT
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            for entry in archive.infolist():
                if entry.filename in content:
                    raise Mismatch(f"{entry.filename} is in the bundle twice")
                content[entry.filename] = _read(archive, entry, left)
                left -= len(content[entry.filename])
    except UNREADABLE as error:
        raise Mismatch(f"this is no zip file, or a damaged one: {error}") from error
    return content


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int) -> bytes:
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Mismatch(f"{entry.filename} is packed with an unknown method")
    try:
        with archive.open(entry) as file:
            data = file.read(limit + 1)  # the size that the entry claims is not trusted
    except UNREADABLE as error:
        raise Mismatch(f"{entry.filename} is damaged: {error}") from error
    if len(data) > limit:
        raise Mismatch(f"{entry.filename} is too long: a bundle holds {LIMIT} bytes at most")
    return data


def _manifest(content: Mapping[str, bytes]) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(content[MANIFEST])
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
            if _are_conclusions(manifest.get("failure"), manifest.get("traffic")):
                return manifest
    raise Mismatch(f"{MANIFEST} is missing, or is no manifest")


def _are_conclusions(failure: Any, traffic: Any) -> bool:
    """Older bundles have neither."""
    match failure, traffic:
        case (None | str(), None):
            return True
        case (None | str(), dict(counts)):
            return all(isinstance(name, str) and isinstance(count, int) for name, count in counts.items())
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
