"""How fast an import writes: evenly, beside the payments, and slower when the table is busy."""

import threading
import time
from collections.abc import Callable
from typing import Final

_SLOWEST: Final = 10.0
"""Writes a second, however busy the table is."""
_RECOVERY: Final = 1.05
"""The factor of a second without a refusal."""
_SLOW_SECONDS: Final = 0.015
"""A write that usually takes longer has met a queue, in which payments wait, too. DynamoDB answers in single-digit
milliseconds ("single-digit millisecond performance", DynamoDB Developer Guide)."""
_MEMORY: Final = 20
"""The last so many writes count for what is usual."""
_LEAST_SHARE: Final = 0.1
"""Of the rate, for writes that are only slow: somewhere they may always be."""


class Pace:
    """Gives each of several threads its turn: at most ``rate`` turns a second, evenly.

    A refused write halves the rate, once a second at most, so that ten threads that are refused at once do not stop the
    import. Writes that usually are slow halve it too. Each second without either raises it by a twentieth, up to
    ``rate`` (additive increase would take minutes to come back from a short peak).
    """

    def __init__(
        self, rate: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._most = self.rate = rate
        self._clock = clock
        self._sleep = sleep
        self._next = self._changed = clock()
        self._usual_seconds = 0.0
        self._lock = threading.Lock()

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

    def wrote(self, seconds: float) -> None:
        """A write took ``seconds``."""
        with self._lock:
            self._usual_seconds += (seconds - self._usual_seconds) / _MEMORY
            if self._usual_seconds > _SLOW_SECONDS:
                self._halve(self._most * _LEAST_SHARE)

    def refuse(self) -> None:
        """The table refused a write, or took it only when it was repeated."""
        with self._lock:
            self._halve(_SLOWEST)

    def _halve(self, least: float) -> None:
        now = self._clock()
        if self.rate == self._most or now - self._changed >= 1:
            self.rate = min(self.rate, max(least, self.rate / 2))
            self._changed = now
