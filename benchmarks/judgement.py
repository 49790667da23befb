"""How often a sound release is rolled back, and a bad one promoted: ``python -m benchmarks judgement``.

The release controller's own decision (``machine.advance``), its analysis and the expression of its alarms judge
simulated traffic with the timing of AWS: metrics by the minute, complete after two. Nothing waits, and no AWS is
called. The pipeline's own traffic comes on top of the customers' requests, as in each shift of the pipeline.

A sound release must be promoted, a bad one must not. Each cell is ``RELEASES`` simulated releases of prod. ``ONLY``
chooses cases by a part of their names. Causes and times go to stderr.
"""

import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import NormalDist, median

import numpy as np
from numpy.typing import NDArray

from environments import APPROVALS, CLIENT_ERRORS, PROD
from localcloud.emulator.metric_math import evaluate
from names import Function
from pipeline.release.aws.metrics import MetricTiming
from pipeline.release.machine import Observation, advance, wants_samples
from pipeline.release.plan import Plan
from pipeline.release.record import Phase, Release
from pipeline.release.samples import EDGES_MS, Sample, Samples
from stages.candidate_alarms import worse

RELEASES = int(os.environ.get("RELEASES", "300"))
RATES = (1, 5, 20, 100, 500)
"""Requests a second of the customers."""
MEDIAN_MS = {
    Function.VALIDATION: 30.0,
    Function.FRAUD_DETECTION: 40.0,
    Function.PROCESSING: 60.0,
    Function.TRANSACTIONS: 40.0,
}
SPREAD = 0.5
"""Standard deviation of the logarithm of latencies: the 99th percentile of /process is 192 ms, just under the limit."""
DRIFT = 0.06
"""Standard deviation of the steps in which the latencies of both versions wander together, round by round."""
COLD_START_MS = 600.0
FAIL_OVER_SECONDS = 40.0
MOST_SECONDS = 30.0
"""The longest time between two rounds. Those of the controller are shorter; its data come by the minute."""
ALARM_DELAY_SECONDS = 75.0
"""The age of the last minute that an alarm has seen."""
ALARM = worse("candidate_errors", "stable_errors", "candidate_requests", "stable_requests")
VERSIONS = ({function: "1" for function in Function}, {function: "2" for function in Function})
Counts = NDArray[np.int64]
Shares = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Version:
    """How one version answers."""

    errors: Mapping[Function, float]
    """Share of requests that fail."""
    slower: float = 1.0
    """Factor on all latencies."""
    spread: float = SPREAD
    tail: tuple[float, float] = (0.0, 1.0)
    """A share of requests, and the factor by which they are slower."""
    refused: float = 0.01
    """Share of requests that are answered with 4xx."""
    declined: float = 0.1
    """Share of payments that are declined."""

    def classes(self, drift: float) -> Shares:
        """``[function, class]``: the share of requests in each latency class."""
        middle, (share, factor) = np.array(list(MEDIAN_MS.values())) * drift * self.slower, self.tail
        if not share:
            return _classes(middle, self.spread)
        return (1 - share) * _classes(middle, self.spread) + share * _classes(middle * factor, self.spread)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kind of release."""

    name: str
    stable: Version
    candidate: Version
    sound: bool = False
    cold_starts: int = 0
    """Slow first requests of the candidate on each route and at each step."""
    fails_over: bool = False
    """The database fails over at some time of the release, and half of the requests of both versions fail meanwhile."""


def everywhere(share: float) -> dict[Function, float]:
    return dict.fromkeys(Function, share)


GOOD = Version(errors=everywhere(0.0001))
WORSE_ROUTE = everywhere(0.0001) | {Function.PROCESSING: 0.0101}
DOUBLED_P99 = SPREAD + math.log(2) / NormalDist().inv_cdf(0.99)
CASES = (
    *(
        Case(name=f"sound, {share:.2%} errors", stable=same, candidate=same, sound=True)
        for share in (0.0001, 0.0003, 0.001)
        for same in (Version(errors=everywhere(share)),)
    ),
    Case(name="sound, a cold start a step and route", stable=GOOD, candidate=GOOD, sound=True, cold_starts=1),
    Case(name="sound, 3 cold starts a step and route", stable=GOOD, candidate=GOOD, sound=True, cold_starts=3),
    Case(name="sound, a fail-over hits both", stable=GOOD, candidate=GOOD, sound=True, fails_over=True),
    Case(name="1 % more errors on one route", stable=GOOD, candidate=replace(GOOD, errors=WORSE_ROUTE)),
    Case(name="p99 doubled", stable=GOOD, candidate=replace(GOOD, spread=DOUBLED_P99)),
    Case(name="2 % of requests four times slower", stable=GOOD, candidate=replace(GOOD, tail=(0.02, 4.0))),
    Case(name="median +20 %, over the gate's limit", stable=GOOD, candidate=replace(GOOD, slower=1.2)),
    Case(name="answers every payment 4xx", stable=GOOD, candidate=replace(GOOD, refused=1.0)),
    Case(name="declines twice as many", stable=GOOD, candidate=replace(GOOD, declined=0.2)),
    Case(name="totally broken", stable=GOOD, candidate=Version(errors=everywhere(1.0))),
)


@dataclass
class Minutes:
    """The counts of each minute: ``[version, function]`` of requests, errors, 4xx answers and approved payments, and
    also ``[class]`` of latencies."""

    requests: dict[int, Counts] = field(default_factory=dict)
    errors: dict[int, Counts] = field(default_factory=dict)
    refused: dict[int, Counts] = field(default_factory=dict)
    approved: dict[int, Counts] = field(default_factory=dict)
    latencies: dict[int, Counts] = field(default_factory=dict)

    def add(self, at: float, *counts: Counts) -> None:
        """``counts``: in the order of the fields."""
        minute = int(at // 60)
        for kept, new in zip(vars(self).values(), counts, strict=True):
            kept[minute] = kept[minute] + new if minute in kept else new

    def samples(self, version: int, begin: int, end: int) -> Samples:
        """Of the time from second ``begin`` to ``end``."""
        minutes = [minute for minute in self.requests if begin <= 60 * minute < end]
        if not minutes:
            return {function: Sample() for function in Function}
        requests, errors, refused, approved, latencies = (
            np.sum([counts[minute][version] for minute in minutes], axis=0).tolist() for counts in vars(self).values()
        )
        return {
            function: Sample(
                requests=requests[i],
                errors=errors[i],
                latencies=tuple(latencies[i]),
                shares={
                    CLIENT_ERRORS.name: (refused[i], requests[i]),
                    APPROVALS.name: (approved[i], requests[i] - refused[i]),
                },
            )
            for i, function in enumerate(Function)
        }


@dataclass(frozen=True, kw_only=True)
class Result:
    promoted: bool
    cause: str
    seconds: float
    hurt: int
    """Requests that failed at the candidate."""


class Simulation:
    """One release of prod on simulated traffic."""

    def __init__(self, case: Case, rate: float, chance: np.random.Generator) -> None:
        self.case, self.rate, self.chance = case, rate, chance
        self.plan = Plan.of(PROD.release, {})
        self.minutes = Minutes()
        self.drift = 1.0
        self.hurt = 0
        self.fails_over_at = math.inf

    def run(self) -> Result:
        began = now = 1_800_000_000.0 + float(self.chance.uniform(0, 60))
        if self.case.fails_over:
            bakes = sum(map(self.plan.bake_of, self.plan.weights))
            self.fails_over_at = began + float(self.chance.uniform(0, bakes))
        stable, candidate = VERSIONS
        release = Release(
            environment="prod",
            release_id="simulated",
            stable=stable,
            candidate=candidate,
            plan=self.plan,
            started_by="benchmark",
            since=now,
        ).note(now, "started")
        while not release.finished and release.phase is not Phase.ROLLING_BACK:
            if release.phase is Phase.BAKING:
                if now == release.since and self.case.cold_starts:
                    self._start_cold(now)
                ends = [now + MOST_SECONDS, (now // 60 + 1) * 60]
                ends += [end for end in (release.bake_ends, release.hold_ends) if end > now]
                self._traffic(now, min(ends) - now, release.weight / 100)
                now = min(ends)
            release = advance(release, self._seen(release, now))
        return Result(
            promoted=release.phase is Phase.PROMOTED, cause=release.cause or "", seconds=now - began, hurt=self.hurt
        )

    def _seen(self, release: Release, now: float) -> Observation:
        samples = None
        if wants_samples(release, now):
            begin, end = MetricTiming().whole_minutes(release.since, now) or (0, 0)
            samples = (self.minutes.samples(0, begin, end), self.minutes.samples(1, begin, end))
        return Observation(
            now=now, traffic=release.traffic, deployed=VERSIONS[1], alarms=self._ringing(now), samples=samples
        )

    def _traffic(self, now: float, seconds: float, weight: float) -> None:
        """The requests of some seconds of one minute, from ``now`` on."""
        self.drift = math.exp(0.8 * math.log(self.drift) + self.chance.normal(0, DRIFT))
        share = np.array([[1 - weight], [weight]]) * np.ones((2, len(Function)))
        requests = self.chance.poisson(self.rate / len(Function) * seconds * share)
        versions = (self.case.stable, self.case.candidate)
        failing = np.array([list(version.errors.values()) for version in versions])
        classes = np.array([version.classes(self.drift) for version in versions])
        if self.fails_over_at <= now < self.fails_over_at + FAIL_OVER_SECONDS:
            failing, classes = np.maximum(failing, 0.5), classes * 0.5
            classes[:, :, -1] += 0.5
        errors = self.chance.binomial(requests, failing)
        self.hurt += int(errors[1].sum())
        refused = self.chance.binomial(requests, [[version.refused] for version in versions])
        approved = self.chance.binomial(requests - refused, [[1 - version.declined] for version in versions])
        self.minutes.add(now, requests, errors, refused, approved, self.chance.multinomial(requests, classes))

    def _start_cold(self, now: float) -> None:
        cold = np.zeros((2, len(Function), len(EDGES_MS)), np.int64)
        cold[1, :, np.searchsorted(EDGES_MS, COLD_START_MS) - 1] = self.case.cold_starts
        requests = cold.sum(axis=2)
        none = np.zeros_like(requests)
        self.minutes.add(now, requests, none, none, requests, cold)

    def _ringing(self, now: float) -> list[str]:
        """The alarms that were bad in both of the last two minutes that they have seen."""
        last = int((now - ALARM_DELAY_SECONDS) // 60)
        return [
            f"candidate-errors-{function}"
            for index, function in enumerate(Function)
            if all(self._is_bad(minute, index) for minute in (last, last - 1))
        ]

    def _is_bad(self, minute: int, index: int) -> bool:
        if minute not in self.minutes.errors or not self.minutes.errors[minute][1, index]:
            return False
        requests, errors = self.minutes.requests[minute][:, index], self.minutes.errors[minute][:, index]
        values = {
            "candidate_errors": float(errors[1]),
            "stable_errors": float(errors[0]),
            "candidate_requests": float(requests[1]),
            "stable_requests": float(requests[0]),
        }
        return bool(evaluate(ALARM, values))


def main() -> None:
    traffic = PROD.release.traffic_rate
    print(f"{RELEASES} releases of prod each, at customers' requests a second and {traffic:g} of the pipeline's own")
    print(f"| {'':38} | {' | '.join(f'{rate:>5}/s' for rate in RATES)} |")
    print(f"|---|{'---:|' * len(RATES)}", flush=True)
    for case in (case for case in CASES if os.environ.get("ONLY", "") in case.name):
        chance = np.random.default_rng(1)
        runs = [[Simulation(case, rate + traffic, chance).run() for _ in range(RELEASES)] for rate in RATES]
        wrong = [sum(result.promoted is not case.sound for result in results) / RELEASES for results in runs]
        print(f"| {case.name:38} | {' | '.join(f'{share:7.1%}' for share in wrong)} |", flush=True)
        ends = [(median(r.seconds for r in results), median(r.hurt for r in results)) for results in runs]
        shown = ", ".join(f"{seconds:.0f} s with {hurt:.0f} failed" for seconds, hurt in ends)
        print(f"  median {shown}", file=sys.stderr)
        for rate, results in zip(RATES, runs, strict=True):
            for cause in sorted({r.cause for r in results if case.sound and r.cause})[:3]:
                print(f"  {rate}/s: {cause[:200]}", file=sys.stderr)


def _classes(middle: Shares, spread: float) -> Shares:
    """``[function, class]``: the classes of log-normal latencies with these medians."""
    from scipy.special import ndtr

    below = ndtr(np.log(np.array(EDGES_MS[1:]) / middle[:, None]) / spread)
    edges = [np.zeros((len(middle), 1)), below, np.ones((len(middle), 1))]
    return np.diff(np.concatenate(edges, axis=1))


if __name__ == "__main__":
    main()
