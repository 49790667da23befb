"""The processor time that other programs take, on a machine that runs both the load test and the API.

There, a browser that starts makes the API's answers late, and the candidate is not at fault.
"""

import ipaddress
import os
import platform
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

WINDOW_SECONDS = 5.0
"""A browser that starts keeps a machine busy for so long. Over a whole run nobody would see it."""


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """``at``: of a clock. ``busy``: seconds of all processors until then; ``ours``: those of load test and API."""

    at: float
    busy: float
    ours: float


class Machine:
    """Watches this machine, from its creation on."""

    def __init__(self, host: str, port: int) -> None:
        """``host``, ``port``: where the API answers. Its process there is found when it is on this machine."""
        self._own = [os.getpid(), *_listeners(host, port)]
        self._api_is_here = len(self._own) > 1
        self._begin = self._read()
        self._window: _Reading | None = None
        self._shares: list[float] = []
        """Of other programs, by window."""

    def look(self) -> None:
        """End a window, if it is time. Call it often while answers are judged."""
        if self._window is None:
            self._window = self._read()
        elif time.perf_counter() - self._window.at >= WINDOW_SECONDS:
            self._end_window(self._window)

    def shares(self) -> tuple[float, float | None]:
        """The load of all processors of this machine, from 0 to 1: by all programs since the beginning, and by other
        programs than the load test and the API in the busiest window (``None``: the API is on another machine)."""
        begin, now = self._begin, self._read()
        total = (now.busy - begin.busy) / _capacity(begin, now)
        if not self._api_is_here:
            return min(total, 1.0), None
        window = self._window or begin
        if not self._shares or now.at - window.at >= WINDOW_SECONDS / 2:
            self._shares.append(_others(window, now))
        return min(total, 1.0), max(self._shares)

    def wait_for_calm(self, share: float, *, most_seconds: float) -> None:
        """Return when other programs have taken at most ``share`` of this machine in a window, or after
        ``most_seconds``; at once when the API is on another machine."""
        deadline = time.perf_counter() + most_seconds
        while self._api_is_here and time.perf_counter() < deadline:
            before = self._read()
            time.sleep(WINDOW_SECONDS)
            if _others(before, self._read()) <= share:
                return

    def _end_window(self, window: _Reading) -> None:
        self._window = self._read()
        self._shares.append(_others(window, self._window))

    def _read(self) -> _Reading:
        own = sum(_seconds(process) for process in set().union(*map(_tree, self._own)))
        return _Reading(at=time.perf_counter(), busy=_busy_seconds(), ours=own)


def _others(before: _Reading, after: _Reading) -> float:
    return max(0.0, after.busy - before.busy - (after.ours - before.ours)) / _capacity(before, after)


def _capacity(before: _Reading, after: _Reading) -> float:
    return (after.at - before.at) * (psutil.cpu_count() or 1)


def machine_class(host: str) -> str:
    """What latencies depend on beside the candidate: this machine, when it runs the API too; else where the API is.

    ``host``: of the API's connections.
    """
    if is_here(host):
        return f"{_processor()}, {psutil.cpu_count() or 1} processors"
    return host.partition(".")[2] or host


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def is_here(host: str) -> bool:
    """Whether ``host`` is a loopback address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, so another machine
        return False


def _listeners(host: str, port: int) -> set[int]:
    """The processes of this machine that accept connections to a loopback address ``host``."""
    if not is_here(host):
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
