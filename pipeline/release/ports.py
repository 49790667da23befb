"""The services that the controller uses, as protocols. ``pipeline.release.aws`` implements them on AWS."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from names import Colour, Function
from pipeline.release.gauges import Gauge
from pipeline.release.record import Phase, Release
from pipeline.release.samples import Samples
from pipeline.release.traffic import Alias, Move, Traffic, Versions, Weights
from pipeline.release.view import command


class Unavailable(Exception):
    """The service behind a port refused or could not be reached. The message says which call and why."""


class Denied(Unavailable):
    """AWS does not accept the credentials, or they lack a right. To try again does not help."""


class Missing(Unavailable):
    """Something that the platform needs is not there: an alias, a version, an alarm. A person must repair it."""


class Unreadable(Unavailable):
    """The record of a release is not one that this version of the program can read."""


class LeaseHeld(Exception):
    """Another controller works on this environment."""

    def __init__(self, holder: str, seconds_left: float):
        super().__init__(f"{holder} (its lease ends in {seconds_left:.0f} s, unless it renews it)")
        self.holder = holder
        self.seconds_left = seconds_left


class LeaseLost(Exception):
    """Another controller has taken over: this one must make no more calls."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The controller that works on the environment, or the last one. Times are seconds since the epoch."""

    holder: str
    since: float
    renewed: float
    until: float


class RollbackUnconfirmed(Exception):
    """An operator ended the way back of ``release`` before it was read back, after it had failed again and again.
    ``parts``: the traffic, as far as it could be read."""

    def __init__(self, release: Release, parts: Traffic):
        words = "undo --now" if release.undoes and release.phase is Phase.PROMOTING else "rollback"
        super().__init__(
            f"roll-back not confirmed: run `{command(release.environment, words)}`, "
            "or any other release command, as soon as AWS answers"
        )
        self.release = release
        self.parts = parts


class TrafficRouter(Protocol):
    """Listener and aliases. Every method raises ``Unavailable``, or ``Missing`` for what does not exist."""

    def read(self) -> Traffic:
        """The traffic with all its parts."""
        ...

    def weights(self) -> Weights: ...

    def alias(self, function: Function, colour: Colour) -> Alias: ...

    def exists(self, function: Function, version: str) -> bool:
        """Whether the function has this version."""
        ...

    def is_closed(self, function: Function, version: str) -> bool:
        """Whether this version answers nobody: the one that is stable before a first release."""
        ...

    def deployed(self) -> Versions:
        """The versions of the aliases ``green``: what CloudFormation deployed last."""
        ...

    def make(self, move: Move) -> None:
        """Make one call. An alias that does not exist is created."""
        ...


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
    """Tells of the release's last event. Every method raises ``Unavailable``, and takes no longer than the lease."""

    def announce(self, release: Release) -> None:
        """Mail it to the people on duty, if they are to be told."""
        ...

    def post(self, release: Release) -> None:
        """Post it to the chat rooms that want to hear of it."""
        ...

    def publish(self, release: Release) -> None:
        """Put it on the event bus, for programs."""
        ...

    def measure(self, environment: str, gauges: Sequence[Gauge]) -> None:
        """Publish metrics. Raises ``Unavailable``."""
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
    reason: str | None = None

    @property
    def by(self) -> str:
        """Who asked, and why, as part of a sentence."""
        return f"asked for by {self.asked_by}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True, kw_only=True)
class Freeze:
    """The last word of operators on whether releases may start."""

    frozen: bool
    by: str
    reason: str
    at: float
    """Seconds since the epoch."""


class Records(Protocol):
    """The store of records, and the lease: only its holder moves traffic. Every method raises ``Unavailable``."""

    def latest(self, count: int) -> Sequence[Release]:
        """The last releases of the environment, newest first, without those whose record can't be read."""
        ...

    def last(self) -> Release | None:
        """The last release. Raises ``Unreadable`` if its record can't be read: it may be under way."""
        ...

    def unreadable(self, count: int) -> Sequence[str]:
        """Those of the last releases whose record can't be read: id and reason of each."""
        ...

    def save(self, release: Release) -> Release:
        """Write it, and return it with its new revision. Raises ``LeaseLost`` if another controller wrote meanwhile."""
        ...

    def ask(self, request: OperatorRequest) -> OperatorRequest:
        """Leave a request for the running controller, and return the one that stands: ``request``, or the abort of the
        same release that was there before. Nothing replaces an abort; otherwise the last request counts."""
        ...

    def asked(self) -> OperatorRequest | None:
        """The last request."""
        ...

    def set_freeze(self, freeze: Freeze) -> None: ...

    def freeze(self) -> Freeze | None:
        """The last one, if there was any."""
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
        """Whether the traffic around this process has lost more requests than its error budget allows, and the
        candidate is at fault."""
        ...

    @property
    def lost_everywhere_at(self) -> float:
        """When it did last, and the candidate was no worse than all; seconds since the epoch, 0 if never."""
        ...
