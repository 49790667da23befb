"""An execution environment gets the processor share of its memory, and no more."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from localcloud.emulator import processor_share

SHARE = 512 / 1769
SECONDS = 1.5


@pytest.fixture
def busy() -> Iterator[psutil.Process]:
    """A process that computes without end."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield psutil.Process(process.pid)
    process.kill()
    process.wait()


def share_used(process: psutil.Process) -> float:
    """Processor time per time, over ``SECONDS``."""
    begin, before = time.monotonic(), sum(process.cpu_times()[:2])
    time.sleep(SECONDS)
    return float((sum(process.cpu_times()[:2]) - before) / (time.monotonic() - begin))


def by_group(pid: int) -> None:
    try:
        processor_share._limit_by_group(pid, SHARE)
    except OSError as error:
        pytest.skip(f"no control groups here: {error}")


def by_stopping(pid: int) -> None:
    processor_share._Stopper().watch(pid, SHARE)


@pytest.mark.parametrize("limit", [by_group, by_stopping])
def test_a_process_gets_its_share_of_a_processor(busy: psutil.Process, limit: Callable[[int], None]) -> None:
    limit(busy.pid)

    assert SHARE / 4 < share_used(busy) < SHARE * 1.25


def test_without_control_groups_a_process_is_stopped_in_time(
    busy: psutil.Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int, share: float) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(processor_share, "_limit_by_group", refuse)

    processor_share.limit(busy.pid, 512)

    assert share_used(busy) < SHARE * 1.25


def test_the_group_of_an_ended_process_goes(busy: psutil.Process) -> None:
    by_group(busy.pid)
    groups = [root for root in (processor_share.UNIFIED, processor_share.CPU_V1) if list(root.glob(f"*-{busy.pid}"))]
    busy.kill()
    busy.wait()

    for root in groups:
        processor_share._remove_empty_groups(root)

    assert groups
    assert not any(list(root.glob(f"*-{busy.pid}")) for root in groups)
