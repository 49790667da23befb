"""The plan of a release: its steps, their bakes, and the limits at which it continues or rolls back."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from environments import Count, MetricSettings, Reaction, ReleaseSettings, StepSettings
from names import Function
from pipeline.release.analysis import Limits
from pipeline.release.stored import known

SHORTEST_SCALE = 0.0166
"""1/60, rounded down: CloudWatch's shortest period is a second, and stands for its minute."""


def bake_scale(environ: Mapping[str, str] = os.environ) -> float:
    """The factor ``BAKE_SCALE`` on bakes, and on the minutes and the delay of the metrics that judge them: 1 on AWS.

    Raises ``ValueError`` for what is no such factor, and on AWS for another than 1.
    """
    text = environ.get("BAKE_SCALE") or "1"
    scale = float(text)
    if not SHORTEST_SCALE <= scale <= 1:
        raise ValueError(f"BAKE_SCALE must be from 1/60, with which a minute is a second, to 1; it is {text}")
    if scale != 1 and not environ.get("AWS_ENDPOINT_URL"):
        raise ValueError(
            f"BAKE_SCALE is {text}, but this is no local cloud: on AWS minutes can't be scaled. Unset it, or set "
            '`AWS_ENDPOINT_URL` (eval "$(python -m localcloud env dev)")'
        )
    return scale


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Stored in the release's record at its start, so that every controller of the release follows the same plan."""

    weights: tuple[int, ...]
    """Percent of traffic on the candidate, step by step; the last is 100."""
    bake_seconds: float
    """The time for which each step is watched, if ``steps`` says no other."""
    hold_seconds: float
    """The time for which an inconclusive step is held after its bake. Then it is rolled back."""
    pause_seconds: float = 1800.0  # of records written before pauses had an end
    """The time of a pause without `pause --for`. Then the release is rolled back."""
    limits: Limits = field(default_factory=Limits)
    steps: tuple[StepSettings, ...] = ()
    """The steps that differ."""
    metrics: tuple[MetricSettings, ...] = ()
    """Shares that are judged, too."""
    on_failure: Reaction = "roll back"
    on_inconclusive: Reaction = "roll back"
    deadline_seconds: float | None = None
    """The time from its start after which a release that is not promoted is rolled back."""
    failures_allowed: int = 5
    """Failed calls in a row (reading or moving) after which the release is rolled back."""

    def __post_init__(self) -> None:
        if not self.weights or self.weights[-1] != 100 or sorted({*self.weights}) != list(self.weights):
            raise ValueError(f"weights must rise to 100, not {self.weights}")
        if self.weights[0] <= 0 or len(self.weights) < 2:
            raise ValueError(f"weights need a first step between 0 and 100, to compare the versions: {self.weights}")

        if unknown := {step.weight for step in self.steps} - {*self.weights}:
            raise ValueError(f"settings of steps that the weights do not have: {sorted(unknown)}")

    def bake_of(self, weight: int) -> float:
        """The bake of a step, in seconds."""
        own = self._step(weight).bake_seconds
        return self.bake_seconds if own is None else own

    def limits_of(self, weight: int) -> Limits:
        """The limits of a step."""
        step, limits = self._step(weight), self.limits
        if step.error_margin is not None:
            limits = replace(limits, error_margin=step.error_margin)
        if step.minimum_requests is not None:
            # On each route, what an even share leaves to chance.
            each = min(limits.minimum_per_route, step.minimum_requests // 4)
            limits = replace(limits, minimum_requests=step.minimum_requests, minimum_per_route=each)
        return limits

    def needs_approval(self, weight: int) -> bool:
        """Whether a person must let the release go on after a step."""
        return self._step(weight).approval

    def _step(self, weight: int) -> StepSettings:
        return next((step for step in self.steps if step.weight == weight), StepSettings(weight=weight))

    @property
    def poll_seconds(self) -> float:
        """Seconds between two rounds: a tenth of a bake, but at least one second and at most five."""
        return min(5.0, max(1.0, self.bake_seconds / 10))

    @property
    def analysis_seconds(self) -> float:
        """Seconds until the first analysis, and at least between two: a fifth of a bake, but at most half a minute."""
        return max(self.poll_seconds, min(30.0, self.bake_seconds / 5))

    @classmethod
    def of(cls, settings: ReleaseSettings, environ: Mapping[str, str] = os.environ) -> "Plan":
        """The plan of an environment; ``bake_scale`` multiplies bake times. Raises ``ValueError`` for a bad scale."""
        scale = bake_scale(environ)
        return cls(
            weights=settings.weights,
            bake_seconds=settings.bake_seconds * scale,
            hold_seconds=settings.hold_seconds,
            pause_seconds=settings.pause_seconds,
            limits=Limits(minimum_requests=settings.minimum_requests),
            steps=tuple(
                step if step.bake_seconds is None else replace(step, bake_seconds=step.bake_seconds * scale)
                for step in settings.steps
            ),
            metrics=settings.metrics,
            on_failure=settings.on_failure,
            on_inconclusive=settings.on_inconclusive,
            deadline_seconds=settings.deadline_seconds,
        )

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> "Plan":
        """Read the plan in a record of this or another version of the controller."""
        return known(
            cls,
            raw
            | {
                "weights": tuple(raw["weights"]),
                "limits": known(Limits, raw["limits"]),
                "steps": tuple(known(StepSettings, step) for step in raw.get("steps", ())),
                "metrics": tuple(map(_metric, raw.get("metrics", ()))),
            },
        )


def _metric(raw: dict[str, Any]) -> MetricSettings:
    counts = {name: raw[name] and _count(raw[name]) for name in ("some", "all")}
    return known(MetricSettings, raw | counts | {"functions": tuple(map(Function, raw["functions"]))})


def _count(raw: dict[str, Any]) -> Count:
    return known(Count, raw | {"dimensions": tuple((name, value) for name, value in raw["dimensions"])})
