"""The loop that carries decisions out: look, decide, write down, make the calls, look again."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from pipeline.release.machine import Observation, advance, wants_samples
from pipeline.release.ports import (
    Alarms,
    Announcer,
    Clock,
    Metrics,
    Records,
    RollbackUnconfirmed,
    TrafficRouter,
    Unavailable,
)
from pipeline.release.record import Phase, Release
from pipeline.release.samples import Samples
from pipeline.release.traffic import Move, moves

LONGEST_RETRY_SECONDS = 15.0
WRITES_AT_THE_END = 10
"""Attempts to record a finished release. Without it the next controller reads from the traffic how it ended."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class World:
    """The environment that is controlled, through its ports."""

    router: TrafficRouter
    alarms: Alarms
    metrics: Metrics
    records: Records
    announcer: Announcer
    clock: Clock
    tell: Callable[[str], None]
    """Shows one line to whoever watches this process."""


class Controller:
    """Drives a release to its end. It must hold the lease, and renews it at every look."""

    def __init__(self, world: World):
        self._world = world
        self._errors: list[str] = []
        self._failed_rounds = 0

    def begin(self, release: Release) -> Release:
        """Write down that this controller takes ``release`` on, and say so. Raises ``Unavailable`` or ``LeaseLost``."""
        self._world.tell(release.events[-1].text)
        saved = self._world.records.save(release)
        self._announce(saved)
        return saved

    def drive(self, release: Release) -> Release:
        """Take ``release`` to ``promoted`` or ``rolled-back`` and return its last record.

        Raises ``LeaseLost`` as soon as another controller has taken over; nothing is touched after that. Raises
        ``RollbackUnconfirmed`` when AWS can't be reached to roll back and someone insists on an end.
        """
        written = True
        while not release.finished:
            self._errors = []
            seen = self._look(release)
            before = release
            release, written = self._write(release, advance(release, seen), written)
            settled = self._make_calls(release, seen)
            self._failed_rounds = self._failed_rounds + 1 if self._errors else 0
            if len(release.events) > len(before.events):
                self._announce(release)
            if release.phase is Phase.ROLLING_BACK and self._failed_rounds >= release.plan.failures_allowed:
                self._despair(release)
            if self._errors or (settled and release.phase is before.phase):
                self._world.clock.sleep(self._pause(release))
        for _ in range(WRITES_AT_THE_END):
            if written:
                break
            self._world.clock.sleep(1.0)
            release, written = self._write(release, release, written)
        return release

    def _despair(self, release: Release) -> None:
        """The way back is tried until it succeeds, unless whoever waits for it has asked twice for an end."""
        if self._world.clock.insisted:
            raise RollbackUnconfirmed(release)
        if self._failed_rounds == release.plan.failures_allowed or self._is_loud:
            self._world.tell(f"  still rolling back after {self._failed_rounds} failed rounds; Ctrl-C twice gives up")

    @property
    def _is_loud(self) -> bool:
        """Rounds that fail all say the same, so only some of them do: after 1, 2, 4, 8, 16, ... failed ones."""
        return self._failed_rounds & (self._failed_rounds - 1) <= 0

    def _detail(self, text: str) -> None:
        if self._is_loud:
            self._world.tell(f"  {text}")

    def _look(self, release: Release) -> Observation:
        world, now = self._world, self._world.clock.now()
        self._try(world.records.renew)
        traffic = self._try(world.router.read)
        alarms = self._try(world.alarms.ringing)
        samples: tuple[Samples, Samples] | None = None
        if wants_samples(release, now):
            samples = self._try(partial(self._samples, release, now))
        return Observation(
            now=now,
            traffic=traffic,
            alarms=alarms,
            samples=samples,
            request=self._try(world.records.asked),
            failures=self._failed_rounds + bool(self._errors),
            last_failure=self._errors[-1] if self._errors else "a call was refused",
            interrupted=world.clock.interrupted,
        )

    def _samples(self, release: Release, now: float) -> tuple[Samples, Samples]:
        read = self._world.metrics.read
        return read("blue", release.stable, release.since, now), read("green", release.candidate, release.since, now)

    def _write(self, release: Release, decided: Release, written: bool) -> tuple[Release, bool]:
        """Write the decision down before anything moves. Returns the record to act on, and whether it is written.

        What leads forward waits for its record. A way back and an end do not: traffic goes first when the store fails,
        and the write is tried again at the next round.
        """
        if decided is release and written:
            return release, True
        if decided.events != release.events:
            self._world.tell(decided.events[-1].text)
        if saved := self._try(partial(self._world.records.save, decided)):
            return saved, True
        if decided.finished or decided.phase is Phase.ROLLING_BACK:
            return decided, False
        return release, written

    def _make_calls(self, release: Release, seen: Observation) -> bool:
        """Bring traffic to what the record says. Returns whether there was nothing to do."""
        if seen.traffic is None and release.phase is not Phase.ROLLING_BACK:
            return True
        if seen.traffic is not None and seen.traffic.satisfies(release.traffic):
            return True
        for chain in moves(seen.traffic, release.traffic):
            for move in chain:
                self._detail(str(move))
                if not self._made(move):
                    break
        return False

    def _announce(self, release: Release) -> None:
        """Tell the world, after traffic has moved. That it can't be told stops no release."""
        try:
            self._world.announcer.announce(release)
        except Unavailable as error:
            self._world.tell(f"  not announced: {error}")

    def _made(self, move: Move) -> bool:
        errors = len(self._errors)
        self._try(partial(self._world.router.make, move))
        return len(self._errors) == errors

    def _try(self, call: Callable[[], T]) -> T | None:
        try:
            return call()
        except Unavailable as error:
            self._errors.append(str(error))
            self._detail(f"failed: {error}")
            return None

    def _pause(self, release: Release) -> float:
        if self._errors:
            return min(LONGEST_RETRY_SECONDS, 2.0 ** min(self._failed_rounds - 1, 4))
        left = release.since + release.plan.bake_seconds - self._world.clock.now()
        ends_soon = release.phase is Phase.BAKING and 0 < left < release.plan.tick_seconds
        return left if ends_soon else release.plan.tick_seconds
