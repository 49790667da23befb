"""The folder ``.pipeline``: run folders, local clouds, and the lock that allows one promotion at a time."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.local.errors import Busy


class State:
    """The paths of everything that local runs keep on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / ".pipeline"
        self.runs = self.folder / "runs"
        self.clouds = self.folder / "clouds"
        self.remote = self.folder / "remote.git"

    def prepare(self) -> None:
        for folder in (self.runs, self.clouds):
            folder.mkdir(parents=True, exist_ok=True)

    def removable(self) -> list[Path]:
        """Every entry of ``.pipeline`` except the lock file. Deleting the lock would let a waiting process and a new
        one both acquire it."""
        return sorted(path for path in self.folder.glob("*") if path.is_dir())

    @contextmanager
    def lock(self, command: str) -> Iterator[None]:
        """Hold the promotion lock for ``command``. The kernel releases it when the process ends, so it cannot go stale.

        Raises ``Busy`` at once when another process holds it.
        """
        self.prepare()
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not _locked(descriptor):
                time.sleep(0.2)  # the holder may be `is_locked`, which releases the lock at once
                if not _locked(descriptor):
                    raise Busy(self._describe_holder(descriptor))
            os.ftruncate(descriptor, 0)
            holder = {"pid": os.getpid(), "what": command, "since": time.strftime("%H:%M:%S")}
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def is_locked(self) -> bool:
        """Whether a command holds the lock. The check itself holds it, shared with other checks, for an instant."""
        self.prepare()
        with (self.folder / "lock").open("a") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @staticmethod
    def _describe_holder(descriptor: int) -> str:
        try:
            holder = json.loads(os.pread(descriptor, 4096, 0))
            command = f"{holder['what']} (pid {holder['pid']}, since {holder['since']})"
        except (ValueError, KeyError):
            command = "another command"
        sentence = f"{command} is at work in {Path.cwd()}."
        return f"{sentence} Wait for it (`make status` shows it), or end it: Ctrl-C there, or `kill` with its pid."


def _locked(descriptor: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
