"""The loop that carries decisions out: observe, decide, write the decision down, make the calls, observe again."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from pipeline.release.gauges import gauges
from pipeline.release.machine import Observation, advance, moved_by_others, roll_back, wants_samples
from pipeline.release.ports import (
    Alarms,
    Announcer,
    Clock,
    LeaseLost,
    Metrics,
    Missing,
    Records,
    RollbackUnconfirmed,
    TrafficRouter,
    Unavailable,
)
from pipeline.release.reading import read_parts
from pipeline.release.record import Phase, Release
from pipeline.release.samples import Samples
from pipeline.release.traffic import Move, Traffic, Versions, moves

LONGEST_RETRY_SECONDS = 15.0
RENEWAL_SECONDS = 2.0
"""Reads in so many seconds share one renewal of the lease. Each call that moves traffic has its own."""
MEASURE_SECONDS = 60.0
"""The time between two values of a metric, when nothing happens."""
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
    moved_by: str = "ELB and Lambda"
    """The services that move traffic: what an emergency exit needs."""


class Controller:
    """Drives a release to its end. It must hold the lease, and renews it before every read and every move."""

    def __init__(self, world: World):
        self._world = world
        self._errors: list[str] = []
        self._missing = ""
        """What this round found missing."""
        self._failed_rounds = 0
        self._failing_since = self._failed_at = 0.0
        self._insists = False
        """Whether it was told that the way back is tried on and on."""
        self._unexplained_rounds = 0
        self._renewed = -RENEWAL_SECONDS
        self._measured = 0.0
        self._parts = Traffic()
        """The traffic of this round, as far as it could be read."""
        self._store_failed = False
        self._defect: str | None = None
        """The traceback of an exception that is not ``Unavailable``: a defect of this program."""

    def begin(self, release: Release) -> Release:
        """Write down that this controller takes ``release`` on, and say so. Raises ``Unavailable`` or ``LeaseLost``."""
        self._world.tell(release.events[-1].text)
        self._renew()
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
            before, self._errors, self._missing, self._store_failed = self._release, [], "", False
            began = self._world.clock.now()
            try:
                settled = self._round()
            except LeaseLost:
                raise
            except Exception as error:
                settled = True
                self._note(error)
                if back := self._back_from_defect(self._world.clock.now()):
                    self._write(back)
            self._count_failures(began)
            self._report(self._release, before)
            if self._release.leaves_bad_version and self._failed_rounds >= release.plan.failures_allowed:
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

    def _count_failures(self, began: float) -> None:
        """Rounds in a row in which a call failed; this one began at ``began``."""
        if self._errors:
            self._failing_since, self._failed_at = (self._failing_since if self._failed_rounds else began), began
        self._failed_rounds = self._failed_rounds + 1 if self._errors else 0

    def _failing_seconds(self, now: float) -> float:
        """From the first failed round in a row to the last one, which may be this one."""
        if not self._failed_rounds:
            return 0.0
        return (now if self._errors else self._failed_at) - self._failing_since

    def _round(self) -> bool:
        """Observe, decide, write, move. Returns whether there was nothing to move."""
        seen = self._look(self._release)
        self._write(self._back_from_defect(seen.now) or advance(self._release, seen))
        return self._make_calls(self._release, seen)

    def _back_from_defect(self, now: float) -> Release | None:
        """The first record of a rollback after a defect of the controller, if there was one. The machine may have the
        defect, so it is not asked."""
        if self._defect is None or self._release.finished or self._release.leaves_bad_version:
            return None
        cause = f"a defect of the controller: {self._defect.strip().splitlines()[-1]}"
        return roll_back(self._release, now, cause, defect=self._defect)

    def _may_give_up(self, release: Release) -> None:
        """Try the way back until it succeeds. Raises ``RollbackUnconfirmed`` when an operator interrupted it twice."""
        if self._world.clock.interrupted_twice:
            raise RollbackUnconfirmed(release, self._parts)
        if not self._insists or self._tells_of_failures:
            self._insists = True
            what = f"{release.phase} after {self._failed_rounds} failed rounds; Ctrl-C twice gives up"
            self._world.tell(f"  still {what.replace('-', ' ')}")

    @property
    def _tells_of_failures(self) -> bool:
        """Failed rounds repeat one message. Only rounds 1, 2, 4, 8, 16, ... show it."""
        return self._failed_rounds & (self._failed_rounds - 1) <= 0

    def _detail(self, text: str) -> None:
        if self._tells_of_failures:
            self._world.tell(f"  {text}")

    def _look(self, release: Release) -> Observation:
        """Read everything that the phase needs. Traffic that leaves a bad version needs no alarm and no metric."""
        world, now = self._world, self._world.clock.now()
        parts = self._parts = read_parts(world.router, self._read)
        traffic = parts if parts.is_known or release.leaves_bad_version else None
        watching = not release.leaves_bad_version
        deployed: Versions | None = self._read(world.router.deployed) if watching else None
        alarms = self._read(world.alarms.ringing) if watching else None
        samples: tuple[Samples, Samples] | None = None
        if watching and wants_samples(release, now):
            samples = self._read(partial(self._samples, release, now))
        request = self._try_store(world.records.asked)
        unexplained = moved_by_others(release, traffic, deployed) or self._missing
        self._unexplained_rounds = self._unexplained_rounds + 1 if unexplained else 0
        return Observation(
            now=now,
            traffic=traffic,
            deployed=deployed,
            alarms=alarms,
            samples=samples,
            request=request,
            unexplained=unexplained,
            unexplained_rounds=self._unexplained_rounds,
            failures=self._failed_rounds + bool(self._errors),
            failing_seconds=self._failing_seconds(now),
            last_failure=self._errors[-1] if self._errors else "a call was refused",
            interrupted=world.clock.interrupted,
            loses_requests=world.clock.loses_requests,
            lost_everywhere_at=world.clock.lost_everywhere_at,
        )

    def _read(self, call: Callable[[], T], /) -> T | None:
        """Keep the lease, then ``_try``. Two slow reads can last longer than the lease."""
        if self._world.clock.now() - self._renewed >= RENEWAL_SECONDS:
            self._try_store(self._renew)
        return self._try(call)

    def _renew(self) -> None:
        self._world.records.renew()
        self._renewed = self._world.clock.now()

    def _samples(self, release: Release, now: float) -> tuple[Samples, Samples]:
        return self._world.metrics.read(release.stable, release.candidate, release.since, now)

    def _write(self, decided: Release) -> None:
        """Write the decision down before anything moves.

        A step forward waits for its record. The way back and the end of a release do not: when the store fails, traffic
        moves first, and the write is tried again in the next round.
        """
        if decided is self._release and self._written:
            return
        if decided.events != self._release.events:
            self._world.tell(decided.events[-1].text)
        if saved := self._try_store(partial(self._world.records.save, decided)):
            self._release, self._written = saved, True
        elif decided.finished or decided.leaves_bad_version:
            self._release, self._written = decided, False

    def _make_calls(self, release: Release, seen: Observation) -> bool:
        """Make the calls that bring traffic to the state in the record. Returns whether none was needed."""
        if not release.leaves_bad_version and (seen.traffic is None or seen.unexplained_rounds):
            return True
        if self._parts.satisfies(release.traffic):
            return True
        for chain in moves(self._parts, release.traffic, back=release.phase is Phase.ROLLING_BACK):
            for move in chain:
                self._detail(str(move))
                if not self._made(release, move):
                    break
        return False

    def _made(self, release: Release, move: Move) -> bool:
        """Make one call while this controller holds the lease. When the store can't tell, only a call that leaves a bad
        version is made."""
        self._try_store(self._renew)
        if self._store_failed and not release.leaves_bad_version:
            return False
        errors = len(self._errors)
        self._try(partial(self._world.router.make, move))
        return len(self._errors) == errors

    def _report(self, release: Release, before: Release) -> None:
        if len(release.events) > len(before.events):
            self._announce(release)
        elif self._world.clock.now() - self._measured >= MEASURE_SECONDS:
            self._measure(release)

    def _announce(self, release: Release) -> None:
        """Publish the last event, after traffic has moved, and the metrics."""
        announcer = self._world.announcer
        for publish in (announcer.announce, announcer.publish, announcer.post):
            self._publish(partial(publish, release))
        self._measure(release)

    def _measure(self, release: Release) -> None:
        self._measured = self._world.clock.now()
        found = gauges(release, now=self._measured, failed_rounds=self._failed_rounds)
        self._publish(partial(self._world.announcer.measure, release.environment, found))

    def _publish(self, publish: Callable[[], None]) -> None:
        """A failure to publish stops no release, and a slow one does not cost the lease."""
        try:
            publish()
        except Exception as error:
            self._detail(f"not announced: {error}")
        self._try_store(self._renew)

    def _try_store(self, call: Callable[[], T]) -> T | None:
        """``_try``, but only until the first failure of a round. A store that hangs must not delay the way back."""
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
        if isinstance(error, Missing):
            self._missing = text
        if not isinstance(error, Unavailable):
            text = self._defect = traceback.format_exc()[-LONGEST_TRACEBACK:]
        self._errors.append(text)
        self._detail(f"failed: {text}")

    def _pause(self, release: Release) -> float:
        if self._errors:
            return min(LONGEST_RETRY_SECONDS, 2.0 ** min(self._failed_rounds - 1, 4))
        if self._unexplained_rounds and not release.leaves_bad_version:
            return 1.0
        left = release.bake_ends - self._world.clock.now()
        ends_soon = release.phase is Phase.BAKING and 0 < left < release.plan.poll_seconds
        return left if ends_soon else release.plan.poll_seconds
