"""How an environment stands at one moment: what could be read of it, and what follows from that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from names import Colour, Function
from pipeline.release.controller import World
from pipeline.release.guards import unexplained
from pipeline.release.machine import moved_by_others
from pipeline.release.plan import bake_scale
from pipeline.release.ports import Freeze, Lease, Unavailable
from pipeline.release.reading import Attempts, read_parts
from pipeline.release.record import EventKind, Phase, Release
from pipeline.release.samples import Samples, total
from pipeline.release.traffic import ROUTED, Traffic, Versions

HEALTH_SECONDS = 240.0
"""So far back the health is asked for. CloudWatch has whole minutes, two minutes late: one or two of these."""


@dataclass(frozen=True, kw_only=True)
class State:
    """``None``: it could not be read, and ``failures`` say why."""

    environment: str
    at: float
    """Seconds since the epoch."""
    traffic: Traffic
    """Without the parts that could not be read."""
    deployed: Versions | None
    """The versions of the aliases green."""
    ringing: Sequence[str] | None
    """The rollback alarms that ring."""
    health: tuple[Samples, Samples] | None
    """The requests of stable and candidate in the last minutes that CloudWatch has."""
    last: Release | None
    """The last release on record."""
    lease: Lease | None
    freeze: Freeze | None
    closed: Sequence[Function] = ()
    """The functions that answer customers with 503, because no release of them was ever promoted."""
    failures: Sequence[Unavailable] = ()

    @property
    def under_way(self) -> Release | None:
        return self.last if self.last and not self.last.finished else None

    @property
    def driver(self) -> Lease | None:
        """The lease, if its holder lives."""
        return self.lease if self.lease and self.at <= self.lease.until else None

    @property
    def drift(self) -> str | None:
        """Why the traffic is not where the record says; ``None`` if it is, or if that is not known."""
        if not self.traffic.is_known:
            return None
        if self.under_way:
            return moved_by_others(self.under_way, self.traffic, self.deployed)
        return unexplained(self.traffic, self.last)

    @property
    def closure(self) -> str | None:
        """Who is answered with 503, and what ends it; ``None`` if nobody is."""
        if not self.closed:
            return None
        whom = "customers" if len(self.closed) == len(self.traffic.stable) else f"customers of {', '.join(self.closed)}"
        return f"{whom} get 503, because no release was promoted yet: `shift` opens it"

    @property
    def waits_for(self) -> str | None:
        """What the release under way waits for: ``bake``, ``analysis``, ``approval`` or ``resume``."""
        release = self.under_way
        if release is None or release.phase not in (Phase.BAKING, Phase.PAUSED):
            return None
        if release.phase is Phase.PAUSED:
            return "resume"
        if release.events[-1].kind is EventKind.APPROVAL:
            return "approval"
        return "bake" if self.at < release.bake_ends and not release.skips_bakes else "analysis"

    @property
    def seconds_left(self) -> float | None:
        """Until the bake ends, or until the release goes back if nothing happens."""
        release = self.under_way
        if release is None:
            return None
        ends = {"bake": release.bake_ends, "resume": release.pause_ends, "analysis": release.hold_ends}.get(
            self.waits_for or ""
        )
        return None if ends is None else max(0.0, ends - self.at)

    def percent(self, function: Function) -> Mapping[str, float] | None:
        """Who answers the production requests of ``function``: percent by version, and by the name of what is no
        version of it. Empty when nobody does; ``None`` if that is not known."""
        alias, listener = self.traffic.blue.get(function), self.traffic.listener
        if alias is None:
            return None
        if function in ROUTED:
            main = 100 - sum(alias.shares.values())
            return {version: share for version, share in {alias.version: main, **alias.shares}.items() if share}
        if listener is None or self.traffic.green is None:
            return None
        behind: dict[str, str] = {Colour.STABLE: alias.version, Colour.CANDIDATE: self.traffic.green}
        found: dict[str, float] = {}
        for group, share in listener.percent.items():
            found[behind.get(group, group)] = found.get(behind.get(group, group), 0.0) + share
        return found

    def document(self) -> dict[str, Any]:
        """The same for programs: ``status`` in docs/release-outcome.schema.json."""
        release, listener = self.under_way, self.traffic.listener
        runs = self.last.analysis_runs[-1:] if self.last else ()
        return {
            "at": self.at,
            "stable": self.traffic.stable,
            "closed": list(self.closed),
            "deployed": self.deployed,
            "traffic": {
                "listener": listener and vars(listener),
                "aliases": {f: alias and vars(alias) for f in Function for alias in [self.traffic.blue.get(f)]},
                "green": self.traffic.green,
                "percent": {function.path: self.percent(function) for function in Function},
            },
            "drift": self.drift,
            "alarms": self.ringing,
            "health": self.health
            and {label: _figures(each) for label, each in zip(("stable", "candidate"), self.health, strict=True)},
            "step": release
            and {
                "number": release.step + 1,
                "of": len(release.plan.weights),
                "weight": release.weight,
                "waits_for": self.waits_for,
                "seconds_left": self.seconds_left,
            },
            "findings": [vars(finding) for run in runs for finding in run.findings],
            "lease": self.lease
            and {
                "holder": self.lease.holder,
                "since": self.lease.since,
                "until": self.lease.until,
                "expired": self.driver is None,
            },
            "freeze": self.freeze and vars(self.freeze),
            "unknown": [str(failure) for failure in self.failures],
        }


def read_state(environment: str, world: World) -> State:
    """Read everything that answers. Changes nothing. Drift is looked at twice: traffic and record may change between
    the two readings, and AWS may answer once with an older state."""
    state = _read(environment, world)
    if state.drift:
        world.clock.sleep(1.0)
        state = _read(environment, world)
    return state


def _read(environment: str, world: World) -> State:
    attempts = Attempts()
    traffic, deployed = read_parts(world.router, attempts), attempts(world.router.deployed)
    now = world.clock.now()
    # While nothing is divided, an alias has no metrics by version.
    candidate = traffic.stable if deployed is None or traffic.is_steady else deployed
    since = now - HEALTH_SECONDS * bake_scale()
    last = attempts(world.records.last)
    return State(
        environment=environment,
        at=now,
        traffic=traffic,
        deployed=deployed,
        ringing=attempts(world.alarms.ringing),
        health=attempts(partial(world.metrics.read, traffic.stable, candidate, since, now)),
        last=last,
        lease=attempts(world.records.lease),
        freeze=attempts(world.records.freeze),
        closed=_closed(world, traffic, last, attempts),
        failures=attempts.failures,
    )


def _closed(world: World, traffic: Traffic, last: Release | None, attempts: Attempts) -> list[Function]:
    """The functions whose stable version is closed. After a promotion none is, unless it was an undo."""
    if last and last.phase is Phase.PROMOTED and not last.undoes:
        return []
    return [f for f, version in traffic.stable.items() if attempts(partial(world.router.is_closed, f, version))]


def _figures(samples: Samples) -> dict[str, Any]:
    sample = total(samples.values())
    quantiles = {f"p{share}_ms": sample.quantile(share / 100) for share in (50, 90, 99)}
    return {"requests": sample.requests, "errors": sample.errors, **quantiles}
