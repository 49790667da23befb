"""When a run is judged, and how much of the error probability each time."""

from loadtest.verdict import samples_needed
from pipeline.environments import GateSettings

GROWTH = 1.5
"""Each look has half as many samples again as the one before: few looks, so that none is left with little."""


def look_times(settings: GateSettings) -> list[float]:
    """When the run is judged, in measured seconds (whole milliseconds): after ``duration_seconds``, but not before the
    rarest route has enough samples to pass; while undecided after half as long again, and so on; at last at
    ``max_seconds``."""
    rarest = settings.rate * min(share for _, share in settings.mix) / sum(share for _, share in settings.mix)
    first = max(settings.duration_seconds, (samples_needed((1 - settings.confidence) / 2) + 1) / rarest)
    times = [min(first, settings.max_seconds)]
    while times[-1] < settings.max_seconds:
        times.append(min(times[-1] * GROWTH, settings.max_seconds))
    return [round(time, 3) for time in times]


def alphas(settings: GateSettings) -> list[float]:
    """The error probability that each look may spend, all together ``1 - confidence``: the first, which most runs end
    with, half of it, and the others equal parts of the rest. A single look has all of it."""
    alpha, later = 1 - settings.confidence, len(look_times(settings)) - 1
    return [alpha / 2, *[alpha / 2 / later] * later] if later else [alpha]
