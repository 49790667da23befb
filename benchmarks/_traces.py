"""What a run has on this machine outside of its folder, so that nothing of it is left. Other runs do not count."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil

from localcloud.postgres import SOCKETS

END_SECONDS = 15
"""How long the processes of a run may take to end by themselves."""
SHARED_MEMORY = Path("/proc/sysvipc/shm")
"""Linux: a line for each segment; its second column is the id, its fifth the process that made it."""


def processes(folder: Path) -> list[psutil.Process]:
    """Those that work in ``folder``, or that name something of it in their command line or their variables."""
    return [each for each in psutil.process_iter() if each.pid != os.getpid() and _names(each, f"{folder}/")]


def lasting(folder: Path) -> list[psutil.Process]:
    """Those of ``processes`` that do not end by themselves in time."""
    return list(psutil.wait_procs(processes(folder), timeout=END_SECONDS)[1])


def _names(process: psutil.Process, folder: str) -> bool:
    for words in (process.cmdline, lambda: process.environ().values(), lambda: [process.cwd()]):
        with contextlib.suppress(psutil.Error, OSError):
            if any(f"{word}/".startswith(folder) or folder in word for word in words()):
                return True
    return False


class Traces:
    """Of the run whose files are in ``folder``. ``look`` while it is under way, and ask what is ``left`` afterwards."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pids, self._ports, self._folders = set[int](), set[int](), set[str]()

    def look(self) -> None:
        """Remember its processes, the ports on which they listen, and the folders of PostgreSQL's sockets."""
        for process in processes(self._folder):
            with contextlib.suppress(psutil.Error):
                self._pids.add(process.pid)
                listening = [each for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
                self._ports |= {each.laddr.port for each in listening}
                self._folders |= {word for word in process.cmdline() if Path(word).name.startswith(SOCKETS)}

    def left(self) -> Iterator[str]:
        """What is there still, each in a sentence."""
        yield from (f"the process {each} is left" for each in lasting(self._folder))
        yield from (f"the port {port} is left" for port in sorted(self._ports) if _answers(port))
        yield from (f"the folder {each} is left" for each in sorted(self._folders) if Path(each).exists())
        yield from (f"the shared memory {id} is left" for id in self._segments())

    def _segments(self) -> Iterator[str]:
        lines = SHARED_MEMORY.read_text().splitlines()[1:] if SHARED_MEMORY.exists() else []
        yield from (line.split()[1] for line in lines if int(line.split()[4]) in self._pids)


def _answers(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0
