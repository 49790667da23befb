"""The course of a run: answers, errors and percentiles of each route, stretch by stretch."""

import math

import numpy as np

from loadtest.result import TimelinePoint
from loadtest.samples import Samples

ANSWERS_A_POINT = 20
"""Percentiles of fewer samples are not worth drawing."""
MOST_POINTS = 120
LEAST_POINTS = 12


def timeline(samples: Samples, routes: list[str], end: float) -> list[TimelinePoint]:
    """The candidate's course from the beginning of the warm-up to ``end``, in stretches of whole seconds."""
    rarest = min(len(samples.latencies(route, 0, end)) for route in routes)
    points = max(LEAST_POINTS, min(MOST_POINTS, rarest // ANSWERS_A_POINT))
    step = float(max(1, math.ceil(end / points)))
    edges = [float(edge) for edge in np.arange(0, max(end - step / 2, step / 2), step)]
    stretches = zip(edges, [*edges[1:], end], strict=True)  # the last one is up to half a step longer
    return [_point(samples, route, *stretch) for stretch in stretches for route in routes]


def _point(samples: Samples, route: str, begin: float, end: float) -> TimelinePoint:
    ordered = np.sort(samples.latencies(route, begin, end)) / 1000

    def at(share: float) -> float | None:
        return float(ordered[max(0, math.ceil(len(ordered) * share) - 1)]) if len(ordered) else None

    return TimelinePoint(
        route=route,
        second=begin,
        seconds=end - begin,
        answers=len(ordered),
        errors=sum(samples.faults(route, begin, end).values()),
        p50_ms=at(0.5),
        p90_ms=at(0.9),
        p99_ms=at(0.99),
        max_ms=at(1.0),
    )
