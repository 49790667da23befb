"""The system's time, and the signals that end a process."""

import signal
import threading
import time
from types import FrameType


class SystemClock:
    """``Clock`` that notes SIGINT and SIGTERM instead of dying, so that no signal leaves traffic half-shifted."""

    def __init__(self) -> None:
        self._asked_to_end = threading.Event()

    def listen(self) -> None:
        """Take over SIGINT and SIGTERM of this process. Main thread only."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, _signal: int, _frame: FrameType | None) -> None:
        self._asked_to_end.set()

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        if self._asked_to_end.is_set():
            time.sleep(seconds)
        else:
            self._asked_to_end.wait(seconds)

    @property
    def interrupted(self) -> bool:
        return self._asked_to_end.is_set()
