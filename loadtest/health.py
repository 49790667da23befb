"""The generator's own health: its slowness would appear in the measured latencies, so it is measured too."""

import time
from array import array
from dataclasses import dataclass, field
from typing import Any

import gevent
import numpy as np

from loadtest.samples import microseconds

TICK_SECONDS = 0.02


@dataclass(slots=True)
class Health:
    """The health of one process or several: CPU and wall time (seconds), and the event loop's delays (microseconds,
    fifty readings a second)."""

    cpu: float = 0.0
    wall: float = 0.0
    lags_us: "array[int]" = field(default_factory=lambda: array("I"))

    @property
    def cpu_share(self) -> float:
        """CPU time per wall time and process: 1.0 is a whole core, all that one process can use."""
        return self.cpu / self.wall if self.wall else 0.0

    def lag_ms(self, share: float) -> float:
        """The event-loop lag (ms) that a ``share`` of the readings does not exceed."""
        if not self.lags_us:
            return 0.0
        return float(np.quantile(np.frombuffer(self.lags_us, np.uint32), share, method="higher")) / 1000

    def merge(self, other: "Health") -> None:
        self.cpu += other.cpu
        self.wall += other.wall
        self.lags_us.extend(other.lags_us)

    def to_message(self) -> dict[str, Any]:
        return {"cpu": self.cpu, "wall": self.wall, "lags_us": self.lags_us.tobytes()}

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "Health":
        return cls(message["cpu"], message["wall"], array("I", message["lags_us"]))


class Monitor:
    """Watches this process, from a greenlet of its own."""

    def __init__(self) -> None:
        self._health = Health()
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        self._ticker = gevent.spawn(self._tick)

    def take(self) -> Health:
        """The readings since the last call."""
        cpu, wall = time.process_time(), time.perf_counter()
        taken, self._health = self._health, Health()
        taken.cpu, taken.wall = cpu - self._cpu, wall - self._wall
        self._cpu, self._wall = cpu, wall
        return taken

    def close(self) -> None:
        self._ticker.kill(block=False)

    def _tick(self) -> None:
        while True:
            due = time.perf_counter() + TICK_SECONDS
            gevent.sleep(TICK_SECONDS)
            self._health.lags_us.append(microseconds(max(0.0, time.perf_counter() - due)))
