"""The faults of a soak: what each does to a process of ours, for how long, and how it is undone."""

import contextlib
import random
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psutil

from localcloud import LocalCloud
from localcloud.files import read_object

JUMPS = (-3600, 3600)
"""Seconds by which a clock may jump."""
KILL_SECONDS = 30
"""A process that waits for a disk ends later."""


class TooLate(Exception):
    """The process that the fault is for has ended already, so nothing was done."""


@dataclass(frozen=True)
class Victims:
    """The processes of one round. ``controller`` and ``load`` are those that this round started."""

    cloud: LocalCloud
    controller: int
    load: int

    def emulator(self) -> list[psutil.Process]:
        return [psutil.Process(int(read_object(self.cloud.folder / "process.json")["pid"]))]

    def functions(self) -> list[psutil.Process]:
        return [each for each in self.emulator()[0].children(recursive=True) if not _is_database(each)]

    def database(self) -> list[psutil.Process]:
        """PostgreSQL's first process, whose end ends the others."""
        servers = [each for each in self.emulator()[0].children(recursive=True) if each.name() == "postgres"]
        return [each for each in servers if each.ppid() not in {other.pid for other in servers}]

    def controllers(self) -> list[psutil.Process]:
        return _living(self.controller)

    def loads(self) -> list[psutil.Process]:
        return _living(self.load)

    def all_but_database(self) -> list[psutil.Process]:
        """PostgreSQL ends itself when it can't write. A killed one is a fault of its own."""
        return [*self.emulator(), *self.functions(), *self.controllers(), *self.loads()]


Pick = Callable[[Victims], list[psutil.Process]]
Act = Callable[[Victims, random.Random, float], None]
"""Does the fault to the victims, for so many seconds. Raises ``TooLate``."""


def lives(process: psutil.Process) -> bool:
    """Whether it runs: one that has ended is there until its parent has looked."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _living(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process] if lives(process) else []
    return []


def _is_database(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.name() == "postgres" or "localcloud.database" in process.cmdline()
    return False


def _one(pick: Pick, victims: Victims, chance: random.Random) -> psutil.Process:
    found = [each for each in pick(victims) if lives(each)]
    if not found:
        raise TooLate
    return chance.choice(found)


def kill(pick: Pick) -> Act:
    """SIGKILL for one of the processes, and the time until it has ended: a busy machine takes a while."""

    def fault(victims: Victims, chance: random.Random, seconds: float) -> None:
        killed = _one(pick, victims, chance)
        killed.kill()
        ends = time.monotonic() + KILL_SECONDS
        while lives(killed) and time.monotonic() < ends:
            time.sleep(0.01)

    return fault


def stop(pick: Pick) -> Act:
    """One of the processes stands still for a while, as under a debugger or on a host that swaps."""

    def fault(victims: Victims, chance: random.Random, seconds: float) -> None:
        stopped = _one(pick, victims, chance)
        stopped.send_signal(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                stopped.send_signal(signal.SIGCONT)

    return fault


def disk_full(victims: Victims, chance: random.Random, seconds: float) -> None:
    """No process of ours but PostgreSQL can write to a file for a while. Pipes and sockets work."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    _limit(victims, (0, before[1]))
    try:
        time.sleep(seconds)
    finally:
        _limit(victims, before)  # also of those that were started meanwhile


def _limit(victims: Victims, limit: tuple[int, int]) -> None:
    for process in victims.all_but_database():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            process.rlimit(resource.RLIMIT_FSIZE, limit)


def clock_jump(victims: Victims, chance: random.Random, seconds: float) -> None:
    """The controller was started with a clock that jumps now (``benchmarks/_jumping_clock.py``)."""
    _one(Victims.controllers, victims, chance)


@dataclass(frozen=True)
class Fault:
    what: str
    act: Act
    seconds: float = 0.0
    """How long it lasts."""
    noticed: bool = True
    """Whether customers may lose requests by it. No payment passes the controller."""

    def __str__(self) -> str:
        return f"{self.what} for {self.seconds:g} s" if self.seconds else self.what

    @property
    def jump(self) -> bool:
        """Whether the controller needs a clock that jumps."""
        return self.act is clock_jump


FAULTS = (
    Fault("kill -9 of the controller", kill(Victims.controllers), noticed=False),
    Fault("disk full", disk_full, seconds=10),
    Fault("the controller stops", stop(Victims.controllers), seconds=10, noticed=False),
    Fault("the controller's clock jumps by an hour", clock_jump, noticed=False),
    Fault("kill -9 of a function", kill(Victims.functions)),
    Fault("kill -9 of PostgreSQL", kill(Victims.database)),
    Fault("the cloud stops", stop(Victims.emulator), seconds=10),
    Fault("kill -9 of the load generator", kill(Victims.loads), noticed=False),
    Fault("a function stops", stop(Victims.functions), seconds=10),
    Fault("PostgreSQL stops", stop(Victims.database), seconds=10),
)
USABLE = tuple(each for each in FAULTS if each.act is not disk_full or sys.platform == "linux")
"""Only Linux limits another process."""


def chosen(words: str) -> tuple[Fault, ...]:
    """The faults that ``words`` name, such as ``disk full, kill -9 of a function``; all for none. Raises ``ValueError``
    for an unknown one."""
    known = {each.what: each for each in USABLE}
    names = [name for word in words.split(",") if (name := word.strip())]
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"no fault {', '.join(unknown)}; there are: {', '.join(known)}")
    return tuple(known[name] for name in names) or USABLE


def faults(chance: random.Random, some: tuple[Fault, ...] = USABLE) -> Iterator[Fault]:
    """These faults, again and again, each time in another order."""
    while True:
        yield from chance.sample(some, len(some))
