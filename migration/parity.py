"""Do two systems decide alike? Counts where they differ, by cause, and says what that proves.

Each request is a trial that differs or not. The bounds of the true share are Clopper and Pearson's, each one-sided.
They rest on the binomial distribution itself, so they hold for no difference in few requests too. A request of which
nothing is known (no answer, an unreadable line) counts as different for the upper bound, and as alike for the lower.

Source: Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial", 1934.
"""

import math
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from migration.recording import Decision, Recorded

EXAMPLES = 5
"""The most examples that are kept of a cause."""
OLD = "old system"
"""Whose latencies stand beside those of the routes."""


class Verdict(StrEnum):
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


def most(differences: int, requests: int, confidence: float) -> float:
    """The largest true share that ``differences`` of ``requests`` leave possible, at ``confidence``."""
    from scipy.stats import beta  # it takes two seconds to load

    return 1.0 if differences >= requests else float(beta.ppf(confidence, differences + 1, requests - differences))


def least(differences: int, requests: int, confidence: float) -> float:
    """The smallest."""
    from scipy.stats import beta

    return 0.0 if not differences else float(beta.ppf(1 - confidence, differences, requests - differences + 1))


def percent(share: float, *, up: bool) -> str:
    """``share`` in percent, rounded up or down and never to the better: two digits after the point, more below 0.01."""
    value = 100 * share
    digits = 2 if value == 0 or value >= 0.01 else math.ceil(-math.log10(value))
    scaled = value * 10**digits
    return f"{(math.ceil(scaled) if up else math.floor(scaled)) / 10**digits:.{digits}f} %"


@dataclass(slots=True)
class Cause:
    """Differences of one kind."""

    text: str
    expected: bool
    """Named beforehand as no fault, and not judged."""
    requests: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)


class Parity:
    """The comparison so far. ``expected``: reason codes by which the systems are meant to differ."""

    def __init__(self, expected: Iterable[str] = ()) -> None:
        self._expected = frozenset(expected)
        self._causes: dict[tuple[str, ...], Cause] = {}
        self.compared = 0
        self.alike = 0
        self.unknown: Counter[str] = Counter()
        """Requests of which nothing is known, by why."""
        self.latencies: dict[str, array[float]] = {}
        """In milliseconds, by route and of the old system."""

    @property
    def causes(self) -> list[Cause]:
        """The most frequent first, the expected ones last."""
        return sorted(self._causes.values(), key=lambda cause: (cause.expected, -cause.requests, cause.text))

    @property
    def differences(self) -> int:
        return sum(cause.requests for cause in self.causes if not cause.expected)

    @property
    def requests(self) -> int:
        return self.compared + self.unknown.total()

    def add(self, recorded: Recorded, here: Decision, latencies: dict[str, float]) -> None:
        """Compare the old system's decision with the one ``here``. ``latencies``: ms by route."""
        self.compared += 1
        if recorded.latency_ms is not None:
            latencies = {OLD: recorded.latency_ms, **latencies}
        for name, latency in latencies.items():
            self.latencies.setdefault(name, array("d")).append(latency)
        there = recorded.decision
        if here == there:
            self.alike += 1
            return
        only_there, only_here = sorted(there.reasons - here.reasons), sorted(here.reasons - there.reasons)
        key = (there.outcome, here.outcome, *only_there, "|", *only_here)
        reasons = {*only_there, *only_here}
        cause = self._causes.setdefault(
            key, Cause(_text(there, here, only_there, only_here), bool(reasons) and reasons <= self._expected)
        )
        cause.requests += 1
        if len(cause.examples) < EXAMPLES:
            cause.examples.append({**recorded.shown(), "old": str(there), "new": str(here)})

    def judged(self, most_share: float, confidence: float) -> "Judgement":
        """The verdict, when at most ``most_share`` of all requests may differ."""
        differences, requests = self.differences, self.requests
        unknown = self.unknown.total()
        upper, lower = most(differences + unknown, requests, confidence), least(differences, requests, confidence)
        verdict = Verdict.PASS if upper <= most_share else Verdict.FAIL if lower > most_share else Verdict.INCONCLUSIVE
        return Judgement(
            verdict=verdict, requests=requests, differences=differences, unknown=unknown, upper=upper, lower=lower,
            most_share=most_share, confidence=confidence,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict, and what it rests on. ``upper`` and ``lower`` bound the true share of differences."""

    verdict: Verdict
    requests: int
    differences: int
    unknown: int
    upper: float
    lower: float
    most_share: float
    confidence: float

    def __str__(self) -> str:
        """``0 of 12,400 differ: at most 0.03 % with 95 %``."""
        bound = f"at most {percent(self.upper, up=True)}"
        if self.verdict is Verdict.FAIL:
            bound = f"at least {percent(self.lower, up=False)}"
        unknown = f", and of {self.unknown:,} nothing is known" if self.unknown else ""
        return f"{self.differences:,} of {self.requests:,} differ{unknown}: {bound} with {100 * self.confidence:g} %"

    @property
    def needed(self) -> int:
        """How many requests without a difference would pass."""
        return math.ceil(math.log(1 - self.confidence) / math.log1p(-self.most_share))


def _text(there: Decision, here: Decision, only_there: list[str], only_here: list[str]) -> str:
    outcome = there.outcome if there.outcome == here.outcome else f"{there.outcome} there, {here.outcome} here"
    there_too = [f"{', '.join(only_there)} only there"] if only_there else []
    here_too = [f"{', '.join(only_here)} only here"] if only_here else []
    return "; ".join([outcome, *there_too, *here_too])
