"""Files that only their owner may read."""

import os
from pathlib import Path


def write_private(path: Path, content: bytes | str) -> None:
    """Write a file with mode 0600. A file that exists is replaced atomically."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    fresh.replace(path)
