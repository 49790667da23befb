"""The bundle: a zip file of evidence and its manifest, which holds the SHA-256 of every other file in it.

Where there is a key, ``manifest.sig`` signs the bytes of ``manifest.json``, and so everything. The same content makes
the same zip, byte by byte, but for the signature: ECDSA never signs twice alike.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any, Protocol

FOLDER = "evidence"
"""Of a bucket, or of a run: where bundles are kept."""
FORMAT = 1
LOCAL = "local"
"""The engine that runs where nobody holds a key. Every other one signs."""
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
ALGORITHM = "ECDSA_SHA_256"
"""As KMS names it; the key is of the curve NIST P-256, the signature in DER."""
BEGINNING = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can hold; when a bundle was made stands in its manifest."""


class Signer(Protocol):
    """Holds a private key."""

    @property
    def key(self) -> str:
        """What the key is called where it is kept."""

    def sign(self, data: bytes) -> bytes: ...


def pack(facts: Mapping[str, Any], files: Mapping[str, bytes], signer: Signer | None) -> bytes:
    """The zip of ``files`` and of a manifest with ``facts`` in it."""
    manifest = {
        "format": FORMAT,
        **facts,
        "signature": {"key": signer.key, "algorithm": ALGORITHM, "file": SIGNATURE} if signer else None,
        "files": {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)},
    }
    text = (json.dumps(manifest, indent=2) + "\n").encode()
    signature = {SIGNATURE: signer.sign(text)} if signer else {}
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in ({MANIFEST: text} | signature | dict(sorted(files.items()))).items():
            entry = zipfile.ZipInfo(name, date_time=BEGINNING)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return target.getvalue()
