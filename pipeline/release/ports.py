"""The services that the controller uses, as protocols. ``pipeline.release.aws`` implements them on AWS."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pipeline.release.record import Release
from pipeline.release.samples import Samples
from pipeline.release.traffic import Move, Traffic, Versions


class Unavailable(Exception):
    """The service behind a port refused or could not be reached. The message says which call and why."""


class LeaseHeld(Exception):
    """Another controller works on this environment."""

    def __init__(self, holder: str, seconds_left: float):
        super().__init__(f"{holder} (its lease runs for {seconds_left:.0f} s more unless it renews it)")
        self.holder = holder
        self.seconds_left = seconds_left


class LeaseLost(Exception):
    """Another controller has taken over: this one must make no more calls."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The controller that works on the environment, or the last one. Times are seconds since the epoch."""

    holder: str
    since: float
    until: float


class RollbackUnconfirmed(Exception):
    """An operator ended the rollback of ``release`` before it was read back, after it had failed again and again."""

    def __init__(self, release: Release):
        super().__init__(
            f"roll-back not confirmed: run `python -m pipeline.release rollback --env {release.environment}`, "
            "or any other release command, as soon as AWS answers"
        )
        self.release = release


class TrafficRouter(Protocol):
    """Listener and aliases. Every method raises ``Unavailable``."""

    def read(self) -> Traffic: ...

    def deployed(self) -> Versions:
        """The versions of the aliases ``green``: what CloudFormation deployed last."""
        ...

    def make(self, move: Move) -> None: ...


class Alarms(Protocol):
    """CloudWatch alarms. Every method raises ``Unavailable``."""

    def ringing(self) -> Sequence[str]:
        """Names of the rollback alarms in state ALARM."""
        ...

    def beyond_green(self) -> Sequence[str]:
        """Names of the rollback alarms that also count requests outside of target group green."""
        ...

    def freezing(self) -> Sequence[str]:
        """Names of the freeze alarms in state ALARM."""
        ...


class Metrics(Protocol):
    def read(self, stable: Versions, candidate: Versions, since: float, now: float) -> tuple[Samples, Samples]:
        """What stable and candidate did since ``since``, over the same time; nothing at all where no metric of that
        time is there ``now``. A function whose version is the same on both sides has one sample for both. Raises
        ``Unavailable``."""
        ...


class Announcer(Protocol):
    def announce(self, release: Release) -> None:
        """Publish the release's last event. Raises ``Unavailable``."""
        ...


class RequestCommand(StrEnum):
    """The requests that an operator can make during a release."""

    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    PROMOTE = "promote"
    """End this bake."""
    PROMOTE_NOW = "promote-now"
    """Skip all bakes and analysis."""


@dataclass(frozen=True, kw_only=True)
class OperatorRequest:
    """An operator's request to the running controller."""

    request_id: str
    release_id: str
    command: str
    """A ``RequestCommand``. A word that only a newer version of this program knows is ignored."""
    asked_by: str
    seconds: float | None = None
    """The longest time of the pause."""


class Records(Protocol):
    """The store of records, and the lease: only its holder moves traffic. Every method raises ``Unavailable``."""

    def latest(self, count: int = 1) -> Sequence[Release]:
        """The last releases of the environment, newest first."""
        ...

    def save(self, release: Release) -> Release:
        """Write it, and return it with its new revision. Raises ``LeaseLost`` if another controller wrote meanwhile."""
        ...

    def ask(self, request: OperatorRequest) -> None:
        """Leave a request for the running controller. Only the last one counts."""
        ...

    def asked(self) -> OperatorRequest | None:
        """The last request."""
        ...

    def acquire(self) -> None:
        """Take the lease. Raises ``LeaseHeld``."""
        ...

    def renew(self) -> None:
        """Keep the lease. Raises ``LeaseLost``."""
        ...

    def lease(self) -> Lease | None:
        """The lease as it stands, expired or not."""
        ...

    def give_up(self) -> None:
        """Free the lease for the next controller, if it is still ours."""
        ...


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait. Each interruption ends one wait early."""
        ...

    @property
    def interrupted(self) -> bool:
        """Whether this process was asked to end (Ctrl-C, SIGTERM, a closed terminal)."""
        ...

    @property
    def interrupted_twice(self) -> bool:
        """Whether it was asked more than once."""
        ...

    @property
    def loses_requests(self) -> bool:
        """Whether the traffic around this process has lost more requests than its error budget allows."""
        ...
