"""When each request is due: an open model, so that a slow system does not slow the load that examines it.

Time is cut into slots of ``1 / rate`` seconds, longer ones while the rate ramps up. Each slot holds one request, at a
seeded random point of the slot: the rate is exact in every stretch of time, and no request keeps step with anything
periodic in the system.
A latency counts from the intended start, also when the generator sent the request late.
"""

import math
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right and duty to send request ``index``, ``start`` seconds into the run."""

    index: int
    start: float


class Schedule:
    """The tickets of one process out of ``workers`` equal ones, in the order of their slots.

    ``rate``: slots a second, over all workers together, from ``ramp`` seconds on; before, it grows linearly from zero,
    so that a cold system meets its first requests one by one.
    """

    def __init__(self, *, rate: float, seed: int, ramp: float = 0.0, worker: int = 0, workers: int = 1) -> None:
        self._rate, self._seed, self._ramp, self._workers = rate, seed, ramp, workers
        self._slot = worker

    def take(self) -> Ticket:
        """The next ticket."""
        ticket = Ticket(self._slot, self._start(self._slot))
        self._slot += self._workers
        return ticket

    def count_before(self, end: float) -> int:
        """How many requests, over all workers, are meant to start before ``end`` seconds."""
        whole = int(self._slots_until(end))
        return whole + (self._start(whole) < end)

    def _start(self, slot: int) -> float:
        dice = random.Random((self._seed << 43) + slot)  # noqa: S311
        place, ramped = slot + dice.random(), self._rate * self._ramp / 2
        if place < ramped:
            return math.sqrt(2 * self._ramp * place / self._rate)
        return self._ramp + (place - ramped) / self._rate

    def _slots_until(self, end: float) -> float:
        if end < self._ramp:
            return self._rate * end * end / (2 * self._ramp)
        return self._rate * (end - self._ramp / 2)
