"""The exits that need ELB and Lambda alone: `rollback --force`, and `undo --now --to` when the table is away.

The same controller moves the traffic, part by part, without lease and record. The record follows if that is possible.
Another controller that runs can't move forward meanwhile when the table is away; and when it is there, it has been told
to abort, or sees that somebody else moved traffic, and goes back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from pipeline.release.asking import Asking
from pipeline.release.controller import Controller, World
from pipeline.release.guards import HISTORY, restored
from pipeline.release.lease import lease
from pipeline.release.machine import roll_back
from pipeline.release.new_release import NewReleases
from pipeline.release.outcome import ExitCode, Outcome, done
from pipeline.release.ports import Freeze, Lease, LeaseHeld, LeaseLost, OperatorRequest, RequestCommand, Unavailable
from pipeline.release.reading import Attempts, read_parts
from pipeline.release.record import Phase, Release
from pipeline.release.traffic import Traffic, Versions
from pipeline.release.view import name, parts_lines

T = TypeVar("T")


class Unrecorded:
    """``Records`` that keep nothing."""

    def latest(self, count: int) -> Sequence[Release]:
        return []

    def last(self) -> Release | None:
        return None

    def unreadable(self, count: int) -> Sequence[str]:
        return []

    def save(self, release: Release) -> Release:
        return release.written()

    def ask(self, request: OperatorRequest) -> OperatorRequest:
        return request

    def asked(self) -> OperatorRequest | None:
        return None

    def set_freeze(self, freeze: Freeze) -> None: ...

    def freeze(self) -> Freeze | None:
        return None

    def acquire(self) -> None: ...

    def renew(self) -> None: ...

    def lease(self) -> Lease | None:
        return None

    def give_up(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Emergency:
    """``releases`` names person and environment; ``asking`` leaves the request for a controller that may run."""

    world: World
    releases: NewReleases
    asking: Asking

    def roll_back(self) -> Outcome:
        """Put all traffic on the stable version: that of the release under way, else that of the aliases blue."""
        under_way = self._under_way()
        if under_way:
            abort = self.asking.request(under_way, RequestCommand.ABORT)
            self._try_records(lambda: self.world.records.ask(abort))
        parts = self._parts()
        stable = {**parts.stable, **under_way.stable} if under_way else restored(parts.stable, self._history())
        new = self._new(stable, parts)
        cause = f"forced by {self.releases.asked_by}"
        outcome = self._drive(roll_back(new, self.world.clock.now(), cause))
        if under_way and outcome.code is ExitCode.DONE:
            self._try_records(lambda: self.asking.ask(under_way, RequestCommand.ABORT))
        elif outcome.release and not (parts.is_known and parts.is_steady):
            self._record(outcome.release)
        return outcome

    def undo(self, to: Versions) -> Outcome:
        """Point the aliases blue at the versions ``to``."""
        parts = self._parts()
        stable = {**to, **parts.stable}
        new = self._new(stable, parts, candidate={**parts.stable, **to})
        text = f"the aliases blue go to {name(to)}, without the table"
        outcome = self._drive(new.to(Phase.PROMOTING, self.world.clock.now(), text))
        if outcome.release:
            self._record(outcome.release)
        return outcome

    def _parts(self) -> Traffic:
        """The traffic as far as it can be read. Raises ``Unavailable`` when nothing can."""
        attempts = Attempts()
        parts = read_parts(self.world.router, attempts)
        if parts == Traffic():
            raise attempts.failures[0]
        for failure in attempts.failures:
            self.world.tell(f"  unknown: {failure}")
        return parts

    def _new(self, stable: Versions, parts: Traffic, candidate: Versions | None = None) -> Release:
        deployed = Attempts()(self.world.router.deployed)
        releases = replace(self.releases, world=replace(self.world, records=Unrecorded()))
        return releases.new(
            stable, candidate or deployed or stable, undoes=candidate is not None, skips_bakes=candidate is not None
        )

    def _drive(self, release: Release) -> Outcome:
        world = replace(self.world, records=Unrecorded())
        controller = Controller(world)
        ended = controller.drive(controller.begin(release))
        attempts = Attempts()
        parts = read_parts(self.world.router, attempts)
        if parts.is_known:
            return done(f"all traffic is on {name(parts.stable)}", ended)
        lines = ["only a part is known: run it again, when AWS answers", *parts_lines(parts, attempts.failures)]
        return Outcome(code=ExitCode.UNCONFIRMED, text="\n  ".join(lines), release=ended)

    def _under_way(self) -> Release | None:
        last = self._try_records(self.world.records.last)
        return last if last and not last.finished else None

    def _history(self) -> Sequence[Release]:
        """The releases on record; none when the last one can't be read, because older ones may be wrong."""
        records = self.world.records
        if self._try_records(records.last) is None:
            return []
        return self._try_records(lambda: records.latest(HISTORY)) or []

    def _record(self, ended: Release) -> None:
        """Write ``ended`` down as a release that nobody else drives."""

        def save() -> None:
            with lease(self.world):
                self.world.records.save(replace(ended, revision=0))

        self._try_records(save)

    def _try_records(self, call: Callable[[], T]) -> T | None:
        try:
            return call()
        except (Unavailable, LeaseHeld, LeaseLost) as error:
            self.world.tell(f"  without the record: {error}")
            return None
