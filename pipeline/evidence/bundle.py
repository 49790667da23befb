"""The bundle: a zip file of evidence with a manifest, which holds the SHA-256 of every other file.

With a key, ``manifest.sig`` signs the bytes of ``manifest.json``, and through their hashes all files. The same content
gives the same zip, byte by byte, except the signature: ECDSA signatures are random.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any, Protocol

FOLDER = "evidence"
"""The folder of bundles, in the bucket or in a run."""
FORMAT = 2
"""Format 1 named neither checks nor source, and the oldest of it no assembly, artefact, traffic or failure."""
LOCAL = "local"
"""The engine on one machine, which has no signing key. Every other engine signs."""
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
ALGORITHM = "ECDSA_SHA_256"
"""KMS's name of the algorithm. The key is on the curve NIST P-256; the signature is in DER."""
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can hold, given to every file. The manifest holds the time of the bundle."""


class Signer(Protocol):
    """Holds a private key."""

    @property
    def key(self) -> str:
        """The key's name or ARN."""

    def sign(self, data: bytes) -> bytes: ...


def pack(facts: Mapping[str, Any], files: Mapping[str, bytes], signer: Signer | None) -> bytes:
    """The zip of ``files`` and of a manifest that contains ``facts``."""
    manifest = {
        "format": FORMAT,
        **facts,
        "signature": {"key": signer.key, "algorithm": ALGORITHM, "file": SIGNATURE} if signer else None,
        "files": {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)},
    }
    text = (json.dumps(manifest, indent=2) + "\n").encode()
    signature = {SIGNATURE: signer.sign(text)} if signer else {}
    return zipped({MANIFEST: text} | signature | dict(sorted(files.items())))


def zipped(files: Mapping[str, bytes]) -> bytes:
    """``files`` in a zip, in their order. ``container.read`` accepts no other form."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, date_time=ZIP_EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return target.getvalue()
