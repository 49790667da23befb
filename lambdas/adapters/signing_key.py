"""An asymmetric key in KMS, which it never leaves."""

import hashlib
from typing import Any

ALGORITHM = "ECDSA_SHA_256"
"""KMS's name of the algorithm. The key is on the curve NIST P-256; signatures are in DER."""


class SigningKey:
    """``seals.Signer`` and ``seals.Check`` with the key ``key`` (its ARN)."""

    def __init__(self, kms: Any, key: str) -> None:
        self.key = key
        self._kms = kms

    def sign(self, message: bytes) -> bytes:
        return bytes(self._kms.sign(KeyId=self.key, SigningAlgorithm=ALGORITHM, **_digest(message))["Signature"])

    def __call__(self, message: bytes, signature: bytes) -> bool:
        try:
            self._kms.verify(KeyId=self.key, SigningAlgorithm=ALGORITHM, Signature=signature, **_digest(message))
        except self._kms.exceptions.KMSInvalidSignatureException:
            return False
        return True


def _digest(message: bytes) -> dict[str, Any]:
    """KMS takes messages up to 4096 bytes, or the digest of a longer one."""
    return {"Message": hashlib.sha256(message).digest(), "MessageType": "DIGEST"}
