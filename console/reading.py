"""A value that is read again and again, with its age: a page never waits for a source, and never hides its silence."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

T = TypeVar("T")

FIRST_WAIT_SECONDS = 0.15
"""A page waits this long for the first value of a source: half of the time in which people do not notice a wait. What
comes later comes by the stream."""


@dataclass(frozen=True, kw_only=True)
class Reading(Generic[T]):
    """The last value of a source. Times are seconds since the epoch."""

    value: T | None = None
    """``None`` until the source has answered once."""
    at: float | None = None
    """When ``value`` was read."""
    failure: str | None = None
    """Why the last attempt failed; ``None`` if it did not."""
    asked: float | None = None
    """Since when an attempt is under way."""

    @property
    def version(self) -> object:
        """Differs from that of a reading with another value or failure."""
        return self.value, self.failure


class Cached(Generic[T]):
    """Reads a source in the background, ``seconds`` after the last time, and only while somebody looks."""

    def __init__(
        self,
        read: Callable[[], T],
        *,
        seconds: Callable[[], float] = lambda: 2.0,
        errors: tuple[type[Exception], ...] = (Exception,),
    ) -> None:
        self._read, self._seconds, self._errors = read, seconds, errors
        self._lock = threading.Lock()
        self._reading: Reading[T] = Reading()
        self._last = -math.inf
        self._answered = threading.Event()

    def get(self) -> Reading[T]:
        """The last value. Starts the next attempt if it is due, and waits only when there has been none yet."""
        with self._lock:
            if self._reading.asked is None and time.monotonic() >= self._last + self._seconds():
                self._reading = replace(self._reading, asked=time.time())
                threading.Thread(target=self._attempt, daemon=True).start()
        if self._reading.value is None:
            self._answered.wait(FIRST_WAIT_SECONDS)
        return self._reading

    def expire(self) -> None:
        """Have the next ``get`` read again, because something was changed."""
        self._last = -math.inf

    def _attempt(self) -> None:
        try:
            found = Reading(value=self._read(), at=time.time())
        except self._errors as error:
            text = str(error) or type(error).__name__
            found = replace(self._reading, failure=text, asked=None)
        with self._lock:
            self._reading = found
            self._last = time.monotonic()
        self._answered.set()
