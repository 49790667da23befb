"""The folder ``.pipeline``: run folders, local clouds, and the lock that keeps promotions one at a time."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.local.errors import Busy


class State:
    """Where everything that local runs leave behind lives."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / ".pipeline"
        self.runs = self.folder / "runs"
        self.clouds = self.folder / "clouds"
        self.remote = self.folder / "remote.git"

    def prepare(self) -> None:
        for folder in (self.runs, self.clouds):
            folder.mkdir(parents=True, exist_ok=True)

    def leavings(self) -> list[Path]:
        """All that is in the folder but the lock: whoever deletes that while others wait for it lets two of them in."""
        return sorted(path for path in self.folder.glob("*") if path.is_dir())

    @contextmanager
    def lock(self, what: str) -> Iterator[None]:
        """Hold the promotion lock. The kernel drops it with the process, so a lock can't go stale.

        Raises ``Busy`` at once when another process holds it.
        """
        self.prepare()
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not _locked(descriptor):
                time.sleep(0.2)  # it may have been `is_locked`, which lets go at once
                if not _locked(descriptor):
                    raise Busy(self._who_holds(descriptor))
            os.ftruncate(descriptor, 0)
            holder = {"pid": os.getpid(), "what": what, "since": time.strftime("%H:%M:%S")}
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def is_locked(self) -> bool:
        """Whether somebody is at work right now. For an instant this holds the lock too, shared with its like."""
        self.prepare()
        with (self.folder / "lock").open("a") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @staticmethod
    def _who_holds(descriptor: int) -> str:
        try:
            holder = json.loads(os.pread(descriptor, 4096, 0))
            who = f"{holder['what']} (pid {holder['pid']}, since {holder['since']})"
        except (ValueError, KeyError):
            who = "another command"
        where = f"{who} is at work in {Path.cwd()}."
        return f"{where} Wait for it (`make status` shows it), or end it: Ctrl-C there, or `kill` with its pid."


def _locked(descriptor: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
