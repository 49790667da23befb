"""Login roles of PostgreSQL. The server gets only the SCRAM verifier of a password, so no log can show the password."""

import base64
import hashlib
import hmac
import os
from typing import Any

_ITERATIONS = 4096


def set_password(connection: Any, role: str, password: str) -> None:
    """Set the password of ``role``, which must exist. A role may set its own password."""
    from pg8000.native import identifier, literal

    verifier = scram_verifier(password, os.urandom(16))
    connection.run(f"ALTER ROLE {identifier(role)} PASSWORD {literal(verifier)}")


def scram_verifier(password: str, salt: bytes) -> str:
    """The verifier that PostgreSQL stores for an ASCII ``password`` (RFC 5803)."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encoded = (base64.b64encode(part).decode() for part in (salt, stored_key, server_key))
    return "SCRAM-SHA-256${}:{}${}:{}".format(_ITERATIONS, *encoded)
