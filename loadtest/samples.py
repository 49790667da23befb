"""The measurements, without loss: every latency in whole microseconds, rounded up.

Rounding up keeps comparisons with a limit of whole microseconds exact: 200.0001 ms is over 200 ms. Raw samples of
several processes merge by concatenation, which loses nothing; histograms and percentiles are views of them.
"""

import math
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

from loadtest.faults import Fault, FaultKind

HIGHEST_US = 3_600_000_000
SIGNIFICANT_DIGITS = 4


def microseconds(seconds: float) -> int:
    """``seconds`` in whole microseconds, rounded up (the nanosecond digits of a clock reading are kept apart first)."""
    return math.ceil(round(seconds * 1e9) / 1000)


@dataclass(slots=True)
class Series:
    """The answers of one route: intended starts (ms into the run) and latencies (microseconds)."""

    starts_ms: "array[int]" = field(default_factory=lambda: array("I"))
    latencies_us: "array[int]" = field(default_factory=lambda: array("I"))

    def add(self, start: float, latency: float) -> None:
        self.starts_ms.append(int(start * 1000))
        self.latencies_us.append(microseconds(latency))

    def extend(self, other: "Series") -> None:
        self.starts_ms.extend(other.starts_ms)
        self.latencies_us.extend(other.latencies_us)

    def __len__(self) -> int:
        return len(self.latencies_us)

    def window(self, begin: float, end: float) -> NDArray[np.uint32]:
        """Latencies (microseconds) of requests meant to start in [begin, end), seconds into the run."""
        starts = np.frombuffer(self.starts_ms, np.uint32)
        latencies = np.frombuffer(self.latencies_us, np.uint32)
        return latencies[(starts >= begin * 1000) & (starts < end * 1000)]


@dataclass(slots=True)
class Samples:
    """All measurements of one process or of several.

    ``answers``: right answers, by route. ``errors``: the others, by (route, fault); their latencies are kept apart so
    that fast errors can't improve a percentile. ``versions``: answers by (route, function version). ``processor``: the
    processor time of right answers, by route, as far as the functions told it.
    """

    answers: dict[str, Series] = field(default_factory=dict)
    errors: dict[tuple[str, Fault], Series] = field(default_factory=dict)
    versions: Counter[tuple[str, str]] = field(default_factory=Counter)
    reconnects: int = 0
    processor: dict[str, Series] = field(default_factory=dict)

    def answer(self, route: str, start: float, latency: float) -> None:
        self.answers.setdefault(route, Series()).add(start, latency)

    def error(self, route: str, start: float, latency: float, fault: Fault) -> None:
        self.errors.setdefault((route, fault), Series()).add(start, latency)

    def merge(self, other: "Samples") -> None:
        for route, series in other.answers.items():
            self.answers.setdefault(route, Series()).extend(series)
        for route, series in other.processor.items():
            self.processor.setdefault(route, Series()).extend(series)
        for key, series in other.errors.items():
            self.errors.setdefault(key, Series()).extend(series)
        self.versions.update(other.versions)
        self.reconnects += other.reconnects

    def counts(self) -> tuple[int, int]:
        """How many requests have failed so far, and how many got a right answer."""
        return sum(map(len, self.errors.values())), sum(map(len, self.answers.values()))

    def count_before(self, end: float) -> int:
        """The number of requests with a planned start before ``end`` that have ended, right or wrong."""
        every = [*self.answers.values(), *self.errors.values()]
        return sum(int(np.count_nonzero(np.frombuffer(s.starts_ms, np.uint32) < end * 1000)) for s in every)

    def ended(self, begin: float, end: float) -> int:
        """The number of requests that ended in [begin, end). Their planned start may be earlier."""
        count = 0
        for series in (*self.answers.values(), *self.errors.values()):
            ends_ms = np.frombuffer(series.starts_ms, np.uint32) + np.frombuffer(series.latencies_us, np.uint32) / 1000
            count += int(np.count_nonzero((ends_ms >= begin * 1000) & (ends_ms < end * 1000)))
        return count

    def latencies(self, route: str, begin: float, end: float) -> NDArray[np.uint32]:
        """Latencies (microseconds) of the right answers."""
        series = self.answers.get(route)
        return series.window(begin, end) if series else np.empty(0, np.uint32)

    def processor_times(self, route: str, begin: float, end: float) -> NDArray[np.uint32]:
        """Processor times (microseconds) of the right answers that told it."""
        series = self.processor.get(route)
        return series.window(begin, end) if series else np.empty(0, np.uint32)

    def faults(self, route: str, begin: float, end: float) -> dict[str, int]:
        """The number of wrong answers by reason, the most frequent first."""
        counts = {
            fault.text: len(series.window(begin, end))
            for (of_route, fault), series in self.errors.items()
            if of_route == route
        }
        return {reason: count for reason, count in Counter(counts).most_common() if count}

    def versions_by_route(self) -> dict[str, dict[str, int]]:
        """The number of answers of each function version, by route."""
        found: dict[str, dict[str, int]] = {}
        for (route, version), count in sorted(self.versions.items()):
            found.setdefault(route, {})[version] = count
        return found

    def to_message(self) -> dict[str, Any]:
        """The samples in a form for locust's transport (msgpack)."""
        return {
            "answers": [[route, s.starts_ms.tobytes(), s.latencies_us.tobytes()] for route, s in self.answers.items()],
            "processor": [
                [route, s.starts_ms.tobytes(), s.latencies_us.tobytes()] for route, s in self.processor.items()
            ],
            "errors": [
                [route, fault.kind, fault.text, s.starts_ms.tobytes(), s.latencies_us.tobytes()]
                for (route, fault), s in self.errors.items()
            ],
            "versions": [[*key, count] for key, count in self.versions.items()],
            "reconnects": self.reconnects,
        }

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "Samples":
        samples = cls(reconnects=message["reconnects"])
        for route, starts, latencies in message["answers"]:
            samples.answers[route] = Series(array("I", starts), array("I", latencies))
        for route, starts, times in message["processor"]:
            samples.processor[route] = Series(array("I", starts), array("I", times))
        for route, kind, text, starts, latencies in message["errors"]:
            samples.errors[route, Fault(FaultKind(kind), text)] = Series(array("I", starts), array("I", latencies))
        for route, version, count in message["versions"]:
            samples.versions[route, version] = count
        return samples


def histogram(latencies_us: Iterable[int]) -> HdrHistogram:
    """The latencies as an HDR histogram: microseconds, 4 significant digits (8 microseconds at 200 ms)."""
    result = HdrHistogram(1, HIGHEST_US, SIGNIFICANT_DIGITS)
    values, counts = np.unique(np.fromiter(latencies_us, np.int64), return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        result.record_value(value, count)
    return result
