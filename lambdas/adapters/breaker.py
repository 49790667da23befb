"""A circuit breaker: while a dependency is down, requests are refused at once and do not wait for it each.

One per dependency and execution environment. A failure opens it for a pause; then the next request is the probe. If the
probe fails too, the pause doubles; if it succeeds, the breaker closes.
Source: Nygard, "Release It!", 2nd edition, 5.2 (Circuit Breaker).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lambdas.payments.errors import Unavailable

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 15.0


class Breaker:
    """Guards the calls to ``dependency``."""

    def __init__(self, dependency: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._dependency = dependency
        self._clock = clock
        self._pause = 0.0
        self._closed_at = 0.0

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Around a call that raises ``Unavailable`` when the dependency can't serve. Raises it at once while open."""
        if self._pause and self._clock() < self._closed_at:
            raise Unavailable(self._dependency)
        try:
            yield
        except Unavailable:
            self._pause = min(2 * self._pause or _FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
            self._closed_at = self._clock() + self._pause
            raise
        self._pause = 0.0
