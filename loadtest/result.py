"""What a gate run found: the one structure that every report is written from."""

from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any

from loadtest.verdict import RouteJudgement, Verdict


class ExitCode(IntEnum):
    """One per kind of end, so that a script can tell a slow candidate from a broken set-up."""

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
    """The gate could not judge; ``code`` says which kind of trouble."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Warmth:
    """How a route began: the very first answer and the slowest of the warm-up (ms), where cold starts show."""

    first_ms: float | None
    slowest_ms: float | None
    requests: int


@dataclass(frozen=True, kw_only=True)
class GeneratorHealth:
    """The generator's own state during the run. ``target_rate``, ``achieved_rate``: requests a second."""

    target_rate: float
    achieved_rate: float
    cpu_share: float
    lag_p99_ms: float
    lag_max_ms: float
    reconnects: int


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished run. ``measured_seconds``: the judged time, after the warm-up; ``looks``: how often it was judged."""

    environment: str
    url: str
    run_id: str
    started: str
    verdict: Verdict
    exit_code: ExitCode
    reasons: list[str]
    limit_ms: float
    confidence: float
    alpha: float
    error_budget: float
    rate: float
    warm_up_seconds: float
    measured_seconds: float
    looks: int
    aborted: bool
    routes: list[RouteJudgement]
    warmth: dict[str, Warmth]
    versions: dict[str, dict[str, int]]
    generator: GeneratorHealth
    histograms: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
