"""When a run is judged, and how much of the error probability each time."""

from loadtest.verdict import alpha_of_look, samples_needed
from pipeline.environments import GateSettings


def look_times(settings: GateSettings) -> list[float]:
    """When the run is judged, in measured seconds (whole milliseconds): after ``duration_seconds``, but not before the
    rarest route has enough samples to pass; then after each further half of that; at last at ``max_seconds``."""
    rarest = settings.rate * min(share for _, share in settings.mix) / sum(share for _, share in settings.mix)
    first = max(settings.duration_seconds, (samples_needed((1 - settings.confidence) / 2) + 1) / rarest)
    times = [min(first, settings.max_seconds)]
    while times[-1] < settings.max_seconds:
        times.append(min(times[-1] + first / 2, settings.max_seconds))
    return [round(time, 3) for time in times]


def alphas(settings: GateSettings) -> list[float]:
    """The error probability that each look may spend."""
    looks = len(look_times(settings))
    return [alpha_of_look(settings.confidence, look, looks) for look in range(1, looks + 1)]
