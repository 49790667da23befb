"""The system's time, and the signals that end a process."""

import signal
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import FrameType


class SystemClock:
    """``Clock`` that notes signals instead of dying: no signal leaves traffic half-shifted.

    From ``listen`` on, it counts the seconds itself. When the system's clock is set meanwhile, no bake ends early, and
    no lease is taken for one that was just renewed.

    SIGINT, SIGTERM and SIGHUP interrupt. ``loadtest.traffic`` tells that its requests are lost: by SIGUSR1, if the
    candidate is at fault; by SIGUSR2, if both versions lose them, or all traffic is the candidate's.
    """

    def __init__(self) -> None:
        self._signals = 0
        self._loses_requests = False
        self._lost_everywhere_at = 0.0
        self._epoch: float | None = None
        """The time at which ``time.monotonic`` was 0."""
        self._wake: SimpleQueue[None] = SimpleQueue()  # a signal handler may put into it, unlike an Event

    def listen(self) -> None:
        """Take over the signals that end this process. Main thread only. Under nohup, SIGHUP stays ignored."""
        self._epoch = time.time() - time.monotonic()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)
        signal.signal(signal.SIGUSR1, self._note_losses)
        signal.signal(signal.SIGUSR2, self._note_losses_everywhere)

    def _note(self, _signal: int, _frame: FrameType | None) -> None:
        self._signals += 1
        self._wake.put(None)

    def _note_losses(self, _signal: int, _frame: FrameType | None) -> None:
        self._loses_requests = True
        self._wake.put(None)

    def _note_losses_everywhere(self, _signal: int, _frame: FrameType | None) -> None:
        self._lost_everywhere_at = self.now()
        self._wake.put(None)

    def now(self) -> float:
        return time.time() if self._epoch is None else self._epoch + time.monotonic()

    def sleep(self, seconds: float) -> None:
        with suppress(Empty):
            self._wake.get(timeout=seconds)

    @property
    def interrupted(self) -> bool:
        return self._signals > 0

    @property
    def interrupted_twice(self) -> bool:
        return self._signals > 1

    @property
    def loses_requests(self) -> bool:
        return self._loses_requests

    @property
    def lost_everywhere_at(self) -> float:
        return self._lost_everywhere_at
