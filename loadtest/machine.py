"""The processor time that other programs take, on a machine that runs both the load test and the API.

There, a browser that starts makes the API's answers late, and the candidate is not at fault.
"""

import ipaddress
import os
import time
from contextlib import suppress

import psutil


class Machine:
    """Watches this machine, from its creation on."""

    def __init__(self, host: str, port: int) -> None:
        """``host``, ``port``: where the API answers. Its process there is found when it is on this machine."""
        self._own = [os.getpid(), *_listeners(host, port)]
        self._api_is_here = len(self._own) > 1
        self._began, self._busy, self._ours = time.perf_counter(), _busy_seconds(), self._own_seconds()

    def shares(self) -> tuple[float, float | None]:
        """The load of all processors of this machine since the beginning, from 0 to 1: by all programs, and by other
        programs than the load test and the API (``None`` when the API is on another machine)."""
        capacity = (time.perf_counter() - self._began) * (psutil.cpu_count() or 1)
        busy, ours = _busy_seconds() - self._busy, self._own_seconds() - self._ours
        others = max(0.0, busy - ours) / capacity if self._api_is_here else None
        return min(busy / capacity, 1.0), others

    def _own_seconds(self) -> float:
        return sum(_seconds(process) for process in set().union(*map(_tree, self._own)))


def _listeners(host: str, port: int) -> set[int]:
    """The processes of this machine that accept connections to a loopback address ``host``."""
    try:
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, so another machine
        here = False
    if not here:
        return set()
    with suppress(psutil.Error):  # the system may hide the connections
        return {
            found.pid
            for found in psutil.net_connections(kind="tcp")
            if found.status == psutil.CONN_LISTEN and found.laddr and found.laddr.port == port and found.pid
        }
    return set()


def _busy_seconds() -> float:
    """Processor seconds of all processors since the start of the machine, with those that its host took (steal)."""
    times = psutil.cpu_times()._asdict()
    idle = ("idle", "iowait", "guest", "guest_nice")  # time of guests is part of user and nice
    return sum(float(seconds) for kind, seconds in times.items() if kind not in idle)


def _tree(pid: int) -> set[psutil.Process]:
    """A process and all its descendants."""
    try:
        root = psutil.Process(pid)
        return {root, *root.children(recursive=True)}
    except psutil.Error:
        return set()


def _seconds(process: psutil.Process) -> float:
    """Processor seconds of a process, with those of its children that have ended."""
    with suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0
