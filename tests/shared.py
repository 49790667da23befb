"""Folders that the processes of a test run share, so that each thing is synthesised once."""

import fcntl
from collections.abc import Callable
from pathlib import Path


class Shared:
    folder: Path
    """Of the whole run. The fixture ``shared`` sets it."""


def once(name: str, fill: Callable[[Path], None]) -> Path:
    """The folder ``name``. The first process that asks for it fills it, and the others wait for that."""
    folder, done = Shared.folder / name, Shared.folder / f"{name}.done"
    with (Shared.folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            fill(folder)
            done.touch()
    return folder
