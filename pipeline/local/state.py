"""The folder ``.pipeline``: run folders, local clouds, and the lock that keeps promotions one at a time."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.local.errors import Busy


class State:
    """Where everything that local runs leave behind lives; deleting it is always safe once the clouds are down."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / ".pipeline"
        self.runs = self.folder / "runs"
        self.clouds = self.folder / "clouds"
        self.remote = self.folder / "remote.git"

    def prepare(self) -> None:
        for folder in (self.runs, self.clouds):
            folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def lock(self, what: str) -> Iterator[None]:
        """Hold the promotion lock. The kernel drops it with the process, so a lock can't go stale.

        Raises ``Busy`` at once when another process holds it.
        """
        self.prepare()
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(self._who_holds(descriptor)) from None
            os.ftruncate(descriptor, 0)
            holder = {"pid": os.getpid(), "what": what, "since": time.strftime("%H:%M:%S")}
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def is_locked(self) -> bool:
        """Whether somebody is at work right now."""
        try:
            with self.lock("make status"):
                return False
        except Busy:
            return True

    @staticmethod
    def _who_holds(descriptor: int) -> str:
        try:
            holder = json.loads(os.pread(descriptor, 4096, 0))
            who = f"{holder['what']} (pid {holder['pid']}, since {holder['since']})"
        except (ValueError, KeyError):
            who = "another command"
        where = f"{who} is at work in {Path.cwd()}."
        return f"{where} Wait for it (`make status` shows it), or end it: Ctrl-C there, or `kill` with its pid."
