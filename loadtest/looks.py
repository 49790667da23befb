"""When a run is judged, and how much of the error probability each time."""

from loadtest.verdict import alpha_of_look
from pipeline.environments import GateSettings


def look_times(settings: GateSettings) -> list[float]:
    """When the run is judged, in measured seconds: after ``duration_seconds``, then after each further half of it, at
    last at ``max_seconds``. Whole milliseconds."""
    times = [settings.duration_seconds]
    while times[-1] < settings.max_seconds:
        times.append(min(times[-1] + settings.duration_seconds / 2, settings.max_seconds))
    return [round(time, 3) for time in times]


def alphas(settings: GateSettings) -> list[float]:
    """The error probability that each look may spend."""
    looks = len(look_times(settings))
    return [alpha_of_look(settings.confidence, look, looks) for look in range(1, looks + 1)]
