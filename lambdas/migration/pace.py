"""How fast an import writes: evenly, beside the payments, and slower when the table refuses a write."""

import threading
import time
from collections.abc import Callable
from typing import Final

_SLOWEST: Final = 10.0
"""Writes a second, however often the table refuses one."""
_RECOVERY: Final = 1.05
"""The factor of a second without a refusal."""


class Pace:
    """Gives each of several threads its turn: at most ``rate`` turns a second, evenly.

    A refused write halves the rate, once a second at most, so that ten threads that are refused at once do not stop the
    import. Each second without a refusal raises it by a twentieth, up to ``rate`` (additive increase would take minutes
    to come back from a short peak).
    """

    def __init__(
        self, rate: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._most = self.rate = rate
        self._clock = clock
        self._sleep = sleep
        self._next = self._changed = clock()
        self._lock = threading.Lock()
        self.refused = 0

    def turn(self) -> None:
        """Wait for the next turn."""
        with self._lock:
            now = self._clock()
            while self.rate < self._most and now - self._changed >= 1:
                self.rate = min(self._most, self.rate * _RECOVERY)
                self._changed += 1
            begin = max(now, self._next)
            self._next = begin + 1 / self.rate
        if begin > now:
            self._sleep(begin - now)

    def refuse(self) -> None:
        """The table refused a write, or took it only when it was repeated."""
        with self._lock:
            self.refused += 1
            now = self._clock()
            if self.rate == self._most or now - self._changed >= 1:
                self.rate = max(_SLOWEST, self.rate / 2)
                self._changed = now
