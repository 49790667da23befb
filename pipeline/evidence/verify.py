"""Is a bundle what was written? Needs nothing but the file and, if it is signed, the public key."""

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

from pipeline.evidence.bundle import FORMAT, MANIFEST, SIGNATURE
from pipeline.evidence.errors import Mismatch


def verify(bundle: bytes, public_key: bytes | None = None) -> dict[str, Any]:
    """Check every file of ``bundle`` against its manifest, and the manifest against ``public_key`` (DER).

    Returns the manifest. Raises ``Mismatch`` for the first file that is missing, changed or not in the manifest, for a
    signature that is missing or wrong, and for one that can't be checked because no key was given.
    """
    content = _content(bundle)
    manifest = _manifest(content)
    signature: dict[str, str] | None = manifest["signature"]
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
        raise Mismatch(f"{name} was added: the manifest does not know it")
    return manifest


def _content(bundle: bytes) -> dict[str, bytes]:
    content: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            for name in archive.namelist():
                if name in content:
                    raise Mismatch(f"{name} is in the bundle twice")
                try:
                    content[name] = archive.read(name)
                except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                    raise Mismatch(f"{name} is damaged: {error}") from error
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise Mismatch(f"this is no zip file, or a damaged one: {error}") from error
    return content


def _manifest(content: Mapping[str, bytes]) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(content[MANIFEST])
        written, _ = manifest["format"], (manifest["signature"], manifest["files"].items())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Mismatch(f"{MANIFEST} is missing, or is no manifest") from error
    if written != FORMAT:
        raise Mismatch(f"{MANIFEST} is of format {written}; this command reads format {FORMAT}")
    return manifest


def _check_signature(content: Mapping[str, bytes], public_key: bytes) -> None:
    try:
        key = load_der_public_key(public_key)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Mismatch("the public key is no key in DER") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Mismatch("the public key is of another kind than the pipeline's, which is of an elliptic curve")
    if SIGNATURE not in content:
        raise Mismatch(f"{SIGNATURE} is missing: nothing in the bundle is signed")
    try:
        key.verify(content[SIGNATURE], content[MANIFEST], ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Mismatch(f"{MANIFEST} was changed, or signed with another key") from None
