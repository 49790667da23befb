"""Recognise a process again, later or from another process."""

from collections.abc import Mapping

import psutil


def process_record(pid: int) -> dict[str, float]:
    """The pid of a process, and its start in seconds since the boot.

    The pid alone is not enough because the kernel reuses it. The start is not a time of day because that changes when
    the clock is set, for example when a laptop wakes.
    """
    return {"pid": pid, "started": round(psutil.Process(pid).create_time() - psutil.boot_time(), 2)}


def find_process(record: Mapping[str, float]) -> psutil.Process:
    """The process of this record. Raises ``psutil.NoSuchProcess`` when it has ended, even if its pid was reused."""
    pid = int(record["pid"])
    if process_record(pid) != record or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
        raise psutil.NoSuchProcess(pid)
    return psutil.Process(pid)
