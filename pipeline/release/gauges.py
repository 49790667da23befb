"""What the metrics of a release say about it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from names import ReleaseMetric
from pipeline.release.record import Phase, Release


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """The value of one metric now."""

    metric: ReleaseMetric
    value: float
    unit: Literal["Count", "None", "Percent", "Seconds"] = "Count"
    outcome: Phase | None = None
    """The metric's second dimension, if it has one."""


def gauges(release: Release, *, now: float, failed_rounds: int) -> Sequence[Gauge]:
    """The metrics of ``release``. The one that counts releases is among them at the end only."""
    moving = release.phase in (Phase.SHIFTING, Phase.BAKING, Phase.PAUSED, Phase.PROMOTING)
    found = [
        Gauge(metric=ReleaseMetric.CANDIDATE_WEIGHT, value=0 if release.finished else release.weight, unit="Percent"),
        Gauge(metric=ReleaseMetric.STEP, value=release.step + 1 if moving else 0, unit="None"),
        Gauge(metric=ReleaseMetric.HELD_SECONDS, value=_held_seconds(release, now), unit="Seconds"),
        Gauge(metric=ReleaseMetric.FAILED_ROUNDS, value=failed_rounds),
    ]
    if release.finished:
        found.append(Gauge(metric=ReleaseMetric.RELEASES_ENDED, value=1, outcome=release.phase))
    return found


def _held_seconds(release: Release, now: float) -> float:
    match release.phase:
        case Phase.PAUSED:
            return max(0.0, now - release.since)
        case Phase.BAKING:
            return max(0.0, now - release.since - release.plan.bake_seconds)
        case _:
            return 0.0
