"""The loop that carries decisions out: observe, decide, write the decision down, make the calls, observe again."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from pipeline.release.machine import Observation, advance, roll_back, wants_samples
from pipeline.release.ports import (
    Alarms,
    Announcer,
    Clock,
    LeaseLost,
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
LONGEST_TRACEBACK = 4000
"""The record keeps so many characters from the end of a traceback, where the exception is."""
WRITES_AT_THE_END = 10
"""Attempts to record a finished release. If all fail, the next controller reads the result from the traffic."""

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
    """Shows one line on the terminal of this process."""


class Controller:
    """Drives a release to its end. It must hold the lease, and renews it before every read and every move."""

    def __init__(self, world: World):
        self._world = world
        self._errors: list[str] = []
        self._failed_rounds = 0
        self._store_failed = False
        self._defect: str | None = None
        """The traceback of an exception that is not ``Unavailable``: a defect of this program."""

    def begin(self, release: Release) -> Release:
        """Write down that this controller takes ``release`` on, and say so. Raises ``Unavailable`` or ``LeaseLost``."""
        self._world.tell(release.events[-1].text)
        self._world.records.renew()
        saved = self._world.records.save(release)
        self._announce(saved)
        return saved

    def drive(self, release: Release) -> Release:
        """Take ``release`` to ``promoted`` or ``rolled-back`` and return its last record.

        Every failure, also a defect of the controller itself, leads to a rollback. Raises ``LeaseLost`` when another
        controller has taken over: this one then makes no more calls. Raises ``RollbackUnconfirmed`` when AWS can't be
        reached for the rollback and an operator interrupts twice.
        """
        self._release, self._written = release, True
        while not self._release.finished:
            before, self._errors, self._store_failed = self._release, [], False
            try:
                settled = self._round()
            except LeaseLost:
                raise
            except Exception as error:
                settled = True
                self._note(error)
                if back := self._back_from_defect(self._world.clock.now()):
                    self._write(back)
            self._failed_rounds = self._failed_rounds + 1 if self._errors else 0
            if len(self._release.events) > len(before.events):
                self._announce(self._release)
            if self._release.phase is Phase.ROLLING_BACK and self._failed_rounds >= release.plan.failures_allowed:
                self._may_give_up(self._release)
            if self._errors or (settled and self._release.phase is before.phase):
                self._world.clock.sleep(self._pause(self._release))
        for _ in range(WRITES_AT_THE_END):
            if self._written:
                break
            self._world.clock.sleep(1.0)
            self._store_failed = False
            self._write(self._release)
        return self._release

    def _round(self) -> bool:
        """Observe, decide, write, move. Returns whether there was nothing to move."""
        seen = self._look(self._release)
        self._write(self._back_from_defect(seen.now) or advance(self._release, seen))
        return self._make_calls(self._release, seen)

    def _back_from_defect(self, now: float) -> Release | None:
        """The first record of a rollback after a defect of the controller, if there was one. The machine may have the
        defect, so it is not asked."""
        if self._defect is None or self._release.finished or self._release.phase is Phase.ROLLING_BACK:
            return None
        cause = f"a defect of the controller: {self._defect.strip().splitlines()[-1]}"
        return roll_back(self._release, now, cause, defect=self._defect)

    def _may_give_up(self, release: Release) -> None:
        """Try the rollback until it succeeds. Raises ``RollbackUnconfirmed`` when an operator interrupted it twice."""
        if self._world.clock.interrupted_twice:
            raise RollbackUnconfirmed(release)
        if self._failed_rounds == release.plan.failures_allowed or self._tells_of_failures:
            self._world.tell(f"  still rolling back after {self._failed_rounds} failed rounds; Ctrl-C twice gives up")

    @property
    def _tells_of_failures(self) -> bool:
        """Failed rounds repeat one message. Only rounds 1, 2, 4, 8, 16, ... show it."""
        return self._failed_rounds & (self._failed_rounds - 1) <= 0

    def _detail(self, text: str) -> None:
        if self._tells_of_failures:
            self._world.tell(f"  {text}")

    def _look(self, release: Release) -> Observation:
        world, now = self._world, self._world.clock.now()
        traffic = self._read(world.router.read)
        watching = release.phase is not Phase.ROLLING_BACK  # a rollback needs to know only where traffic goes
        samples: tuple[Samples, Samples] | None = None
        if watching and wants_samples(release, now):
            samples = self._read(partial(self._samples, release, now))
        return Observation(
            now=now,
            traffic=traffic,
            deployed=self._read(world.router.deployed) if watching else None,
            alarms=self._read(world.alarms.ringing) if watching else None,
            samples=samples,
            request=self._try_store(world.records.asked) if watching else None,
            failures=self._failed_rounds + bool(self._errors),
            last_failure=self._errors[-1] if self._errors else "a call was refused",
            interrupted=world.clock.interrupted,
            loses_requests=world.clock.loses_requests,
        )

    def _read(self, call: Callable[[], T]) -> T | None:
        """Renew the lease, then ``_try``. Two slow reads can last longer than the lease."""
        self._try_store(self._world.records.renew)
        return self._try(call)

    def _samples(self, release: Release, now: float) -> tuple[Samples, Samples]:
        return self._world.metrics.read(release.stable, release.candidate, release.since, now)

    def _write(self, decided: Release) -> None:
        """Write the decision down before anything moves.

        A step forward waits for its record. A rollback and the end of a release do not: when the store fails, traffic
        moves first, and the write is tried again in the next round.
        """
        if decided is self._release and self._written:
            return
        if decided.events != self._release.events:
            self._world.tell(decided.events[-1].text)
        if saved := self._try_store(partial(self._world.records.save, decided)):
            self._release, self._written = saved, True
        elif decided.finished or decided.phase is Phase.ROLLING_BACK:
            self._release, self._written = decided, False

    def _make_calls(self, release: Release, seen: Observation) -> bool:
        """Make the calls that bring traffic to the state in the record. Returns whether none was needed."""
        if seen.traffic is None and release.phase is not Phase.ROLLING_BACK:
            return True
        if seen.traffic is not None and seen.traffic.satisfies(release.traffic):
            return True
        for chain in moves(seen.traffic, release.traffic):
            for move in chain:
                self._detail(str(move))
                if not self._made(release, move):
                    break
        return False

    def _made(self, release: Release, move: Move) -> bool:
        """Make one call while this controller holds the lease. When the store can't tell, only a rollback makes it."""
        self._try_store(self._world.records.renew)
        if self._store_failed and release.phase is not Phase.ROLLING_BACK:
            return False
        errors = len(self._errors)
        self._try(partial(self._world.router.make, move))
        return len(self._errors) == errors

    def _announce(self, release: Release) -> None:
        """Publish the last event, after traffic has moved. A failure to publish stops no release."""
        try:
            self._world.announcer.announce(release)
        except Exception as error:
            self._world.tell(f"  not announced: {error}")

    def _try_store(self, call: Callable[[], T]) -> T | None:
        """``_try``, but only until the first failure of a round. A store that hangs must not delay a rollback."""
        if self._store_failed:
            return None
        errors = len(self._errors)
        answer = self._try(call)
        self._store_failed = len(self._errors) > errors
        return answer

    def _try(self, call: Callable[[], T]) -> T | None:
        try:
            return call()
        except LeaseLost:
            raise
        except Exception as error:
            self._note(error)
            return None

    def _note(self, error: Exception) -> None:
        """Keep a failure and show it. An exception that no port declares is a defect: it is kept with its traceback."""
        text = str(error)
        if not isinstance(error, Unavailable):
            text = self._defect = traceback.format_exc()[-LONGEST_TRACEBACK:]
        self._errors.append(text)
        self._detail(f"failed: {text}")

    def _pause(self, release: Release) -> float:
        if self._errors:
            return min(LONGEST_RETRY_SECONDS, 2.0 ** min(self._failed_rounds - 1, 4))
        left = release.since + release.plan.bake_seconds - self._world.clock.now()
        ends_soon = release.phase is Phase.BAKING and 0 < left < release.plan.poll_seconds
        return left if ends_soon else release.plan.poll_seconds
