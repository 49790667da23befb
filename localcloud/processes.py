"""How a process is recognised again, later and from another process."""

from collections.abc import Mapping

import psutil


def record_of(pid: int) -> dict[str, float]:
    """The number of a process and its start, in seconds since the boot.

    The kernel gives numbers again. Times of day change when the clock is set, as it is when a laptop wakes.
    """
    return {"pid": pid, "started": round(psutil.Process(pid).create_time() - psutil.boot_time(), 2)}


def recorded(record: Mapping[str, float]) -> psutil.Process:
    """The process of this record. Raises ``psutil.NoSuchProcess`` when it has ended, even if another one has its
    number now."""
    pid = int(record["pid"])
    if record_of(pid) != record or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
        raise psutil.NoSuchProcess(pid)
    return psutil.Process(pid)
