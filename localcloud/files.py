"""Files of the local clouds and promotions: written for their owner only, and read with distrust."""

import json
import os
import stat
from pathlib import Path
from typing import Any


def write_private(path: Path, content: bytes | str) -> None:
    """Write a file with mode 0600. A file that exists is replaced atomically."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        fresh.replace(path)
    except OSError:  # such as a full disk
        fresh.unlink(missing_ok=True)
        raise


LARGEST_OBJECT = 4 * 2**20
"""Bytes."""


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file that another version, a full disk or a person may have spoilt.

    Raises ``OSError`` when it can't be read, and ``ValueError`` when it holds anything else, or is no file: to open a
    pipe would wait for ever, and a device has no end.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path} is no regular file")
    if found.st_size > LARGEST_OBJECT:
        raise ValueError(f"{path} is longer than {LARGEST_OBJECT:,} bytes")
    try:
        read = json.loads(path.read_bytes())
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deep") from error
    if not isinstance(read, dict):
        raise ValueError(f"{path} holds no JSON object")
    return read
