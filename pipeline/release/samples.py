"""The data of each colour in a bake: requests, errors, and the distribution of latencies."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from names import Function

EDGES_MS = (0, 5, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000, 3000)
"""Bounds of the latency classes: above one, up to and including the next; the last class is open."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One colour of one function (or of several, summed) over some minutes."""

    requests: int = 0
    errors: int = 0
    """The number of failed requests, at most ``requests``."""
    latencies: tuple[int, ...] = (0,) * len(EDGES_MS)
    """The number of requests in each class of ``EDGES_MS``."""
    shares: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Of each metric in the settings: how many of how many."""

    def __add__(self, other: "Sample") -> "Sample":
        return Sample(
            requests=self.requests + other.requests,
            errors=self.errors + other.errors,
            latencies=tuple(a + b for a, b in zip(self.latencies, other.latencies, strict=True)),
            shares={name: _sum(self.shares, other.shares, name) for name in {**self.shares, **other.shares}},
        )

    @property
    def error_rate(self) -> float:
        return self.errors / self.requests if self.requests else 0.0

    def above(self, edge: int) -> int:
        """The number of requests slower than the bound number ``edge`` of ``EDGES_MS``."""
        return sum(self.latencies[edge:])

    def quantile(self, share: float) -> float | None:
        """Latency in milliseconds that ``share`` of the requests stay under, interpolated in its class."""
        total = sum(self.latencies)
        if not total:
            return None
        below, rank = 0, share * total
        for count, (low, high) in zip(self.latencies, pairwise(EDGES_MS), strict=False):
            if below + count >= rank:
                return low + (high - low) * (rank - below) / count if count else float(low)
            below += count
        return float(EDGES_MS[-1])


def _sum(one: Mapping[str, tuple[int, int]], other: Mapping[str, tuple[int, int]], name: str) -> tuple[int, int]:
    (some, of), (others, of_others) = one.get(name, (0, 0)), other.get(name, (0, 0))
    return some + others, of + of_others


Samples = Mapping[Function, Sample]


def total(samples: Iterable[Sample]) -> Sample:
    """All routes together."""
    return sum(samples, start=Sample())
