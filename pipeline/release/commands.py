"""What operators and the pipeline can ask for. Each command returns an ``Outcome``; the command line only prints it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

from pipeline.release.controller import Controller
from pipeline.release.machine import roll_back, take_over
from pipeline.release.plan import Plan
from pipeline.release.ports import Alarms, Clock, LeaseHeld, Records, TrafficRouter
from pipeline.release.record import Phase, Release
from pipeline.release.traffic import Traffic, Versions


class ExitCode(IntEnum):
    DONE = 0
    ROLLED_BACK = 1
    USAGE = 2
    UNAVAILABLE = 3
    HELD = 4
    REFUSED = 5


@dataclass(frozen=True, kw_only=True)
class Outcome:
    code: ExitCode
    text: str
    release: Release | None = None


@dataclass(frozen=True, kw_only=True)
class Commands:
    """The commands on one environment."""

    environment: str
    plan: Plan
    router: TrafficRouter
    alarms: Alarms
    records: Records
    clock: Clock
    tell: Callable[[str], None]
    started_by: str
    commit: str | None = None

    def shift(self) -> Outcome:
        """Bring the candidate to all production traffic, step by step; first finish what a dead controller left."""
        with self._lease():
            candidate = self.router.deployed()
            if left := self._unfinished():
                finished = self._drive(take_over(left, self.clock.now()))
                if finished.candidate == candidate:
                    return self._outcome(finished)
            traffic = self.router.read()
            if traffic.is_steady and traffic.stable == candidate:
                return Outcome(code=ExitCode.DONE, text=f"nothing to do: {name(candidate)} is stable already")
            if refusal := self._refusal(traffic, candidate):
                return Outcome(code=ExitCode.REFUSED, text=f"refused: {refusal}")
            return self._outcome(self._drive(self._new(traffic.stable, candidate)))

    def rollback(self) -> Outcome:
        """Put all production traffic on the stable version now, whatever the reason that it is not."""
        with self._lease():
            release = self._unfinished()
            traffic = self.router.read()
            if release is None:
                if traffic.is_steady:
                    return Outcome(code=ExitCode.DONE, text=f"nothing to do: all traffic is on {name(traffic.stable)}")
                self.tell("traffic is not at the steady state, and no release explains it")
                release = self._new(traffic.stable, self.router.deployed())
            self._drive(roll_back(release, self.clock.now(), f"asked for by {self.started_by}", rejected=True))
            return Outcome(code=ExitCode.DONE, text=f"all traffic is on {name(release.stable)}", release=release)

    def status(self) -> Outcome:
        """Where traffic goes now, and the last release. Changes nothing."""
        last = next(iter(self.records.latest()), None)
        traffic = self.router.read()
        lines = [
            f"{self.environment}: listener blue {traffic.listener.blue}, green {traffic.listener.green}",
            f"stable    {name(traffic.stable)}",
            f"candidate {name(self.router.deployed())}",
            f"alarms    {', '.join(self.alarms.ringing()) or 'none'}",
            f"release   {last.release_id} {last.phase}, {last.weight} %: {last.events[-1].text}"
            if last
            else "no release",
        ]
        return Outcome(code=ExitCode.DONE, text="\n".join(lines), release=last)

    def _refusal(self, traffic: Traffic, candidate: Versions) -> str | None:
        if not traffic.is_steady:
            return (
                f"drift: listener blue {traffic.listener.blue}, green {traffic.listener.green} is not the steady "
                f"state, and no release explains it; `rollback` puts all traffic on {name(traffic.stable)}"
            )
        if ringing := self.alarms.ringing():
            return f"alarm before any traffic moved: {', '.join(ringing)}"
        last = next(iter(self.records.latest()), None)
        if last and last.rejected and last.candidate == candidate and last.phase is Phase.ROLLED_BACK:
            return f"{name(candidate)} was rolled back in {last.release_id}: {last.cause}"
        return None

    def _new(self, stable: Versions, candidate: Versions) -> Release:
        now = self.clock.now()
        return Release(
            environment=self.environment,
            release_id=f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%S.%f}"[:-3] + "Z",
            stable=stable,
            candidate=candidate,
            plan=self.plan,
            started_by=self.started_by,
            commit=self.commit,
            since=now,
        ).note(now, f"{name(stable)} → {name(candidate)}, asked for by {self.started_by}")

    def _drive(self, release: Release) -> Release:
        controller = Controller(
            router=self.router, alarms=self.alarms, records=self.records, clock=self.clock, tell=self.tell
        )
        return controller.drive(release)

    def _outcome(self, release: Release) -> Outcome:
        if release.phase is Phase.PROMOTED:
            return Outcome(code=ExitCode.DONE, text=f"promoted: {name(release.candidate)} is stable", release=release)
        text = f"rolled back to {name(release.stable)}: {release.cause}"
        return Outcome(code=ExitCode.ROLLED_BACK, text=text, release=release)

    def _unfinished(self) -> Release | None:
        last = next(iter(self.records.latest()), None)
        return last if last and not last.finished else None

    @contextmanager
    def _lease(self) -> Iterator[None]:
        """Hold the lease. A dead holder's lease is waited for; one that is renewed meanwhile raises ``LeaseHeld``."""
        try:
            self.records.acquire()
        except LeaseHeld as held:
            self._outwait(held)
        try:
            yield
        finally:
            self.records.give_up()

    def _outwait(self, held: LeaseHeld) -> None:
        self.tell(f"held by {held}; waiting to see whether it is alive")
        left = held.seconds_left
        while True:
            self.clock.sleep(min(1.0, left + 0.1))
            try:
                return self.records.acquire()
            except LeaseHeld as still:
                if still.seconds_left >= left or self.clock.interrupted:
                    raise
                left = still.seconds_left


def name(versions: Versions) -> str:
    """How people read a set of versions: one number when all are the same."""
    if len(set(versions.values())) == 1:
        return f"version {next(iter(versions.values()))}"
    return ", ".join(f"{function} {version}" for function, version in versions.items())
