"""How long a request may go on beginning calls: an execution environment serves one request at a time.

With the longest single call (see ``aws`` and ``database``) it keeps a request under the function's timeout, so that
the client gets an answer that says what is down, not a broken connection.
"""

import time
from collections.abc import Callable

from lambdas.payments.errors import Unavailable

SECONDS = 8.0

_ends_at = float("inf")
_clock: Callable[[], float] = time.monotonic


def start(clock: Callable[[], float] = time.monotonic) -> None:
    """A new request begins now."""
    global _ends_at, _clock
    _clock = clock
    _ends_at = clock() + SECONDS


def check(dependency: str) -> None:
    """Raises ``Unavailable`` when no call may begin any more."""
    if _clock() > _ends_at:
        raise Unavailable(dependency)
