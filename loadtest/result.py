"""The result of a gate run. Every report is written from this structure."""

import time
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

from loadtest.baseline import Comparison
from loadtest.p99 import GateVerdict, RouteJudgement


def timestamp() -> str:
    """Now, in UTC (ISO 8601), as the reports write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class ExitCode(IntEnum):
    """One code for each kind of end. A script can tell a slow candidate from a broken set-up."""

    PASS = 0
    FAIL = 1
    USAGE = 2
    INCONCLUSIVE = 3
    INVALID = 4
    UNREACHABLE = 5
    REFUSED = 6
    NOT_DEPLOYED = 7
    BROKEN_ROUTE = 8
    GENERATOR_DIED = 9
    INTERRUPTED = 130


class GateError(Exception):
    """The gate could not judge. ``code`` says why."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The candidate under test, and the run that tests it."""

    environment: str
    url: str
    run_id: str
    started: str
    workers: int


@dataclass(frozen=True, kw_only=True)
class Warmth:
    """The first answers of a route: the very first and the slowest of the warm-up (ms). They show cold starts."""

    first_ms: float | None
    slowest_ms: float | None
    requests: int


@dataclass(frozen=True, kw_only=True)
class ProcessorTime:
    """The processor time of a request in the function (ms); ``None`` if the function did not tell it."""

    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, kw_only=True)
class GeneratorHealth:
    """The generator's own state during the run. Rates: requests a second. ``unaccounted``: requests that were due and
    have no known end. ``reconnects``: kept-alive connections that the server had closed.
    ``machine_cpu_share``: the load of the controlling machine by all its processes; ``others_cpu_share``: by others
    than load test and API in its busiest seconds, ``None`` when the API is on another machine."""

    target_rate: float
    achieved_rate: float
    unaccounted: int
    cpu_share: float
    lag_p99_ms: float
    lag_max_ms: float
    machine_cpu_share: float
    others_cpu_share: float | None
    reconnects: int


@dataclass(frozen=True, kw_only=True)
class TimelinePoint:
    """One route in one stretch of the run, which begins ``second`` seconds into it (warm-up included) and lasts
    ``seconds``. Latencies in ms."""

    route: str
    second: float
    seconds: float
    answers: int
    errors: int
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    max_ms: float | None


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished run.

    ``measured_seconds``: the judged time, after the warm-up. ``looks``: the number of judgements; ``alpha``: the share
    of the error probability for the last look. ``aborted``: failure was certain before the end. ``histograms``: HDR
    histograms of the right answers (microseconds), in the library's own encoding. ``machine_was_busy``: it is invalid,
    because other programs kept the machine from serving the API. ``machine``: its class; only runs on the same class
    are compared. ``comparison``: with the last promoted release.
    """

    subject: Subject
    verdict: GateVerdict
    exit_code: ExitCode
    reasons: list[str]
    limit_ms: float
    confidence: float
    alpha: float
    error_budget: float
    rate: float
    seed: int
    warm_up_seconds: float
    measured_seconds: float
    looks: int
    aborted: bool
    routes: list[RouteJudgement]
    warmth: dict[str, Warmth]
    processor: dict[str, ProcessorTime]
    versions: dict[str, dict[str, int]]
    generator: GeneratorHealth
    machine: str
    machine_was_busy: bool
    comparison: Comparison
    timeline: list[TimelinePoint]
    histograms: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        return {"environment": self.subject.environment} | asdict(self)
