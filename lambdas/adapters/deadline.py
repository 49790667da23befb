"""The time after which a request may start no further call. An execution environment serves one request at a time.

This time and the longest single call (see ``aws`` and ``database``) stay below the function's timeout. The client
therefore gets an answer that names the unavailable dependency, and not a broken connection.
"""

import time
from collections.abc import Callable

from lambdas.payments.errors import Unavailable

SECONDS = 8.0

_ends_at = float("inf")
_clock: Callable[[], float] = time.monotonic


def start(clock: Callable[[], float] = time.monotonic) -> None:
    """Start the time of a new request."""
    global _ends_at, _clock
    _clock = clock
    _ends_at = clock() + SECONDS


def check(dependency: str) -> None:
    """Raises ``Unavailable`` when the time is over."""
    if _clock() > _ends_at:
        raise Unavailable(dependency)
