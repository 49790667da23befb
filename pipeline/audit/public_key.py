"""Checks signatures of seals with the public key: that of the account, or files that an auditor has kept."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key


class NoKey(Exception):
    """A file is no public key. The message names it."""


class PublicKeys:
    """``seals.Check``: whether one of ``files`` (DER), or else the key ``alias`` in KMS, made a signature."""

    def __init__(self, files: Sequence[Path], kms: Any, alias: str) -> None:
        """Raises ``NoKey``."""
        self._saved = [_key(_bytes(file), str(file)) for file in files]
        self._kms, self._alias = kms, alias
        self.source = " or ".join(map(str, files)) or f"KMS ({alias})"

    def __call__(self, message: bytes, signature: bytes) -> bool:
        return any(_made(key, message, signature) for key in self._keys)

    @cached_property
    def _keys(self) -> list[ec.EllipticCurvePublicKey]:
        if self._saved:
            return self._saved
        return [_key(self._kms.get_public_key(KeyId=self._alias)["PublicKey"], self._alias)]


def _made(key: ec.EllipticCurvePublicKey, message: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise NoKey(f"{file} can't be read: {error.strerror}") from error


def _key(der: bytes, name: str) -> ec.EllipticCurvePublicKey:
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise NoKey(f"{name} is no public key in DER") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise NoKey(f"{name} is no elliptic-curve key, as the seals' is")
    return key
