"""Optionally, the processor share that Lambda gives a function: memory / 1,769 MB of one processor.

Source: AWS Lambda Developer Guide, "Configure Lambda function memory". The limit begins after the initialisation, which
Lambda limits less (see ``lambdas/api/initialisation.py``). AWS does not document the period of the limit; here it is
20 ms. Linux limits by control groups where this process may make them. Elsewhere a thread stops an environment that has
used more than its share until that is made up for: the same on average, but coarser.
"""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import psutil

ONE_PROCESSOR_MB = 1769
PERIOD_SECONDS = 0.02
TICK_SECONDS = 0.01
PREFIX = "localcloud-"
CPU_V1, UNIFIED = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")


def limit(pid: int, memory_mb: int) -> None:
    """Limit a process to the processor share of a function with so much memory, until it ends."""
    share = memory_mb / ONE_PROCESSOR_MB
    try:
        _limit_by_group(pid, share)
    except OSError:
        _stopper.watch(pid, share)


def _limit_by_group(pid: int, share: float) -> None:
    """Raises ``OSError`` where this process can make no control group that limits the processor."""
    unified = (UNIFIED / "cgroup.controllers").exists()
    root = UNIFIED if unified else CPU_V1
    _remove_empty_groups(root)
    group = root / f"{PREFIX}{os.getpid()}-{pid}"
    group.mkdir()
    period, quota = round(PERIOD_SECONDS * 1e6), round(PERIOD_SECONDS * 1e6 * share)
    try:
        if unified:
            (root / "cgroup.subtree_control").write_text("+cpu")
            (group / "cpu.max").write_text(f"{quota} {period}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(period))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        (group / "cgroup.procs").write_text(str(pid))
    except OSError:
        group.rmdir()
        raise


def _remove_empty_groups(root: Path) -> None:
    """Remove the groups of environments that have ended, and those that an ended local cloud left."""
    for group in root.glob(f"{PREFIX}*-*"):
        pid = int(group.name.rpartition("-")[2])
        if not psutil.pid_exists(pid):
            with contextlib.suppress(OSError):
                group.rmdir()


class _Stopper:
    """Stops processes (SIGSTOP) while they have used more than their share of processor time."""

    def __init__(self) -> None:
        self._watched: dict[int, tuple[psutil.Process, float]] = {}
        self._lock = threading.Lock()
        self._running = False

    def watch(self, pid: int, share: float) -> None:
        with self._lock:
            self._watched[pid] = (psutil.Process(pid), share)
            if not self._running:
                self._running = True
                threading.Thread(target=self._watch_until_all_have_ended, name="processor-share", daemon=True).start()

    def _watch_until_all_have_ended(self) -> None:
        credit: dict[int, float] = {}
        used: dict[int, float] = {}
        stopped: set[int] = set()
        last = time.monotonic()
        while self._is_needed():
            time.sleep(TICK_SECONDS)
            now = time.monotonic()
            elapsed, last = now - last, now
            for pid, (process, share) in list(self._watched.items()):
                try:
                    times = process.cpu_times()
                    before, used[pid] = used.get(pid, times.user + times.system), times.user + times.system
                    gained = credit.get(pid, 0.0) + share * elapsed - (used[pid] - before)
                    credit[pid] = min(gained, share * PERIOD_SECONDS)
                    if credit[pid] < 0 and pid not in stopped:
                        process.send_signal(signal.SIGSTOP)
                        stopped.add(pid)
                    elif credit[pid] >= 0 and pid in stopped:
                        process.send_signal(signal.SIGCONT)
                        stopped.discard(pid)
                except psutil.Error:  # it has ended
                    stopped.discard(pid)
                    for known in (self._watched, credit, used):
                        known.pop(pid, None)

    def _is_needed(self) -> bool:
        """Whether there is a process to watch. If not, the next one starts another thread."""
        with self._lock:
            self._running = bool(self._watched)
            return self._running


_stopper = _Stopper()
