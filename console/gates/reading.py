"""The gates of the promotions of this machine: the progress file of one that runs, and the reports of the others.

The code of a commit writes both, so each value is one that a page can show, or the gate is said to be unreadable.
"""

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from console import text
from localcloud.files import read_object
from pipeline.local.run import Run
from pipeline.local.state import State

PROGRESS, RESULT = "progress.json", "gate.json"
"""As ``loadtest.reports`` names them: it is not imported here, because that starts gevent."""
REPORTS = ("gate.html", "locust.html", "release.html")
VERDICTS = ("pass", "fail", "inconclusive", "invalid", "error")
LATEST = 20
MOST_ROUTES = 50
MOST_REASONS = 10
ENVIRONMENT = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")
"""A folder of reports that has another name is no environment's."""
SILENT_SECONDS = 10.0
"""A running gate writes twice a second. One that was silent for longer was killed."""
LAST_MOMENT = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
SPOILT = (OSError, ArithmeticError, AttributeError, KeyError, TypeError, ValueError)
"""What reading a file raises that holds anything else than a gate."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """One route so far, or at the end. Latencies in ms; ``upper``: the upper confidence bound of the p99."""

    route: str
    verdict: str
    samples: int
    errors: int
    limit: float
    p99: float | None
    upper: float | None
    reasons: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Gate:
    """``verdict``: ``running`` while it runs; ``error`` and ``unreadable`` where there is none."""

    promotion: str
    environment: str
    subject: str
    at: float
    verdict: str
    reasons: Sequence[str]
    routes: Sequence[Route]
    rate: float | None = None
    """Requests a second that came to an end; so far, while it runs."""
    measured: float = 0.0
    planned: float = 0.0
    reports: Sequence[str] = ()

    @property
    def worst(self) -> Route | None:
        """The route whose p99 is nearest to its limit."""
        known = [route for route in self.routes if route.upper is not None or route.p99 is not None]
        return max(known, key=lambda route: (route.upper or route.p99 or 0.0) / route.limit, default=None)


class Gates(Protocol):
    def latest(self) -> Sequence[Gate]:
        """The last gates, newest first, with those that run."""
        ...

    def report(self, promotion: str, environment: str, name: str) -> Path | None:
        """The file of a report; ``None`` if there is none."""
        ...


class NoGates:
    """``Gates`` on AWS: the step's log, on the page of its promotion, is all that can be read of them live."""

    def latest(self) -> Sequence[Gate]:
        return ()

    def report(self, promotion: str, environment: str, name: str) -> Path | None:
        return None


class LocalGates:
    """``Gates`` of the run folders."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._read: dict[Path, tuple[int, Gate | None]] = {}

    def latest(self) -> Sequence[Gate]:
        folders = sorted(self._state.runs.glob("*/reports"), reverse=True)[:LATEST]
        ended = [gate for folder in folders for gate in self._ended(folder)]
        running = [gate for folder in folders[:1] for gate in self._running(folder.parent)]
        is_running = {(gate.promotion, gate.environment) for gate in running if gate.verdict == "running"}
        shown = [*running, *(gate for gate in ended if (gate.promotion, gate.environment) not in is_running)]
        return sorted(shown, key=lambda gate: gate.at, reverse=True)

    def report(self, promotion: str, environment: str, name: str) -> Path | None:
        known = name in REPORTS and any(
            (gate.promotion, gate.environment) == (promotion, environment) for gate in self.latest()
        )
        file = self._state.runs / promotion / "reports" / environment / name
        return file if known and file.is_file() and not file.is_symlink() else None

    def _ended(self, folder: Path) -> Iterator[Gate]:
        for file in sorted(folder.glob(f"*/{RESULT}"))[:LATEST]:
            with suppress(OSError):  # it was removed meanwhile
                changed = file.stat().st_mtime_ns
                if self._read.get(file, (None,))[0] != changed:
                    self._read[file] = (changed, _readable(_ended, folder.parent, file))
                if gate := self._read[file][1]:
                    yield gate

    def _running(self, folder: Path) -> Iterator[Gate]:
        for file in sorted((folder / "source/reports").glob(f"*/{PROGRESS}"))[:LATEST]:
            with suppress(OSError):  # the gate has ended meanwhile
                if gate := _readable(_running, folder, file):
                    yield gate


def is_under_way(state: State, environment: str) -> bool:
    """Whether the last promotion's gate of the environment runs now."""
    last = max(state.runs.glob("*/run.json"), default=None)
    if last is None:
        return False
    try:
        written = (last.parent / "source/reports" / environment / PROGRESS).stat().st_mtime
    except OSError:
        return False
    return abs(time.time() - written) < SILENT_SECONDS


def _readable(read: Callable[[Path, Path], Gate | None], folder: Path, file: Path) -> Gate | None:
    """The gate of ``file``, as ``read`` finds it; an unreadable one if it is spoilt."""
    try:
        return read(folder, file)
    except FileNotFoundError:
        raise
    except SPOILT as error:
        return Gate(
            promotion=folder.name,
            environment=text.line(file.parent.name),
            subject=_subject(folder),
            at=_changed(file),
            verdict="unreadable",
            reasons=(text.line(f"{file.name} can't be read: {type(error).__name__}: {error}"),),
            routes=(),
        )


def _ended(folder: Path, file: Path) -> Gate | None:
    found = read_object(file)
    if found["verdict"] == "unfinished":
        return None
    if found["verdict"] not in VERDICTS:
        raise ValueError(f"{found['verdict']!r} is no verdict")
    subject = found.get("subject", {})
    generator = found.get("generator", {})
    started = subject.get("started")
    return Gate(
        promotion=folder.name,
        environment=_environment(file),
        subject=_subject(folder),
        at=_moment(datetime.fromisoformat(started).timestamp()) if started else _changed(file),
        verdict=found["verdict"],
        reasons=_reasons(found),
        routes=_routes(found.get("routes", [])),
        rate=_known(generator.get("achieved_rate")),
        measured=_number(found.get("measured_seconds", 0.0)),
        planned=_number(found.get("measured_seconds", 0.0)),
        reports=tuple(name for name in REPORTS if (file.parent / name).is_file()),
    )


def _running(folder: Path, file: Path) -> Gate | None:
    state = read_object(file)
    at = _moment(state["at"])
    if abs(time.time() - at) >= SILENT_SECONDS:
        return None
    routes, measured = _routes(state["routes"]), _number(state["measured_seconds"])
    answers = sum(route.samples + route.errors for route in routes)
    return Gate(
        promotion=folder.name,
        environment=_environment(file),
        subject=_subject(folder),
        at=at,
        verdict="running",
        reasons=(),
        routes=routes,
        rate=answers / measured if measured >= 1 else None,
        measured=measured,
        planned=_number(state["planned_seconds"]),
    )


def _subject(folder: Path) -> str:
    with suppress(AttributeError, KeyError, OSError, TypeError, ValueError):
        run = Run.load(folder)
        return text.line(f"{run.revision[:10]} {run.subject}")
    return ""


def _environment(file: Path) -> str:
    if not ENVIRONMENT.fullmatch(file.parent.name):
        raise ValueError(f"{file.parent.name!r} is no name of an environment")
    return file.parent.name


def _routes(raw: Sequence[Mapping[str, Any]]) -> tuple[Route, ...]:
    if len(raw) > MOST_ROUTES:
        raise ValueError(f"{len(raw)} routes are more than any API of ours has")
    return tuple(map(_route, raw))


def _reasons(raw: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(text.line(str(reason)) for reason in islice(raw.get("reasons", []), MOST_REASONS))


def _route(raw: Mapping[str, Any]) -> Route:
    limit = _number(raw["limit_ms"])
    if limit <= 0:
        raise ValueError(f"a limit of {limit:g} ms is none")
    return Route(
        route=text.line(str(raw["route"])),
        verdict=text.line(str(raw["verdict"])),
        samples=int(_number(raw["samples"])),
        errors=int(_number(raw["errors"])),
        limit=limit,
        p99=_known(raw.get("p99_ms")),
        upper=_known(raw.get("p99_upper_ms")),
        reasons=_reasons(raw),
    )


def _number(raw: object) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw):
        raise ValueError(f"{raw!r} is no finite number")
    return float(raw)


def _known(raw: object) -> float | None:
    return None if raw is None else _number(raw)


def _moment(raw: object) -> float:
    """Seconds since the epoch."""
    at = _number(raw)
    if not 0 <= at < LAST_MOMENT:
        raise ValueError(f"{at:g} is no time of a gate")
    return at


def _changed(file: Path) -> float:
    """When ``file`` was changed. The commit's code can set this, too, so it is brought to what a page can show."""
    return min(max(0.0, file.stat().st_mtime), time.time())
