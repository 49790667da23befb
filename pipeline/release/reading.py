"""Reading the traffic part by part: a part that can't be read is unknown, and keeps no other from being read."""

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from names import Colour, Function
from pipeline.release.ports import TrafficRouter, Unavailable
from pipeline.release.traffic import Traffic

T = TypeVar("T")


class Attempt(Protocol):
    """Makes a call; ``None`` when it fails."""

    def __call__(self, call: Callable[[], T], /) -> T | None: ...


class Attempts:
    """An ``Attempt`` that keeps the failures."""

    def __init__(self) -> None:
        self.failures: list[Unavailable] = []

    def __call__(self, call: Callable[[], T], /) -> T | None:
        try:
            return call()
        except Unavailable as error:
            self.failures.append(error)
            return None


def read_parts(router: TrafficRouter, attempt: Attempt) -> Traffic:
    """The traffic, without the parts that can't be read."""
    listener = attempt(router.weights)
    blue = {function: attempt(partial(router.alias, function, Colour.STABLE)) for function in Function}
    green = attempt(partial(router.alias, Function.PROCESSING, Colour.CANDIDATE))
    known = {function: alias for function, alias in blue.items() if alias is not None}
    return Traffic(listener=listener, blue=known, green=green.version if green else None)
