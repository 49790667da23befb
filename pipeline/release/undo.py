"""The command `undo`: back to an earlier version."""

from dataclasses import dataclass

from names import Function
from pipeline.release.guards import HISTORY, drift, previous_stable
from pipeline.release.operation import Operation
from pipeline.release.outcome import Outcome, Why, refused
from pipeline.release.ports import RequestCommand, Unavailable
from pipeline.release.record import Phase
from pipeline.release.traffic import Traffic, Versions
from pipeline.release.view import name


@dataclass(frozen=True, kw_only=True)
class Undo(Operation):
    """Back to the previous stable version, or to another that is named."""

    def undo(self, *, now: bool = False, to: Versions | None = None) -> Outcome:
        """Go back to the previous stable version, or ``to`` another, by a guarded shift, or at once.

        At once and with ``to``, it needs ELB and Lambda alone.
        """
        if to and (unknown := [f"{f} {version}" for f, version in to.items() if not self._exists(f, version)]):
            what = f"there is no version {', '.join(unknown)}"
            return refused(f"{what}; `history` names those that were stable", Why.NO_VERSION)
        if not now:
            return self._undo(to)
        try:
            return self._undo_now(to)
        except Unavailable as error:
            if not to or self.dry_run:
                raise type(error)(f"{error}. `undo --now --to VERSIONS` needs ELB and Lambda alone") from error
            self.world.tell(f"  without the record: {error}")
        return self._emergency.undo(to)

    def _undo(self, to: Versions | None) -> Outcome:
        if busy := self._under_way():  # before the lease is taken: its holder may only be slow
            return busy
        with self._lease():
            if busy := self._under_way():
                return busy
            traffic = self._traffic()
            target = self._target(traffic, to)
            if isinstance(target, Outcome):
                return target
            if closed := [f for f, version in target.items() if self.world.router.is_closed(f, version)]:
                what = f"version {target[closed[0]]} of {closed[0]} is the closed one from before the first release"
                return refused(f"{what}: `undo --now` closes it again, at once", Why.NO_VERSION)
            # An undo is the answer to an alarm and cannot wait for a window: of the guards, only drift holds.
            if found := drift(traffic):
                return refused(found, Why.DRIFT)
            # As soon as the aliases blue are split, the errors of the version to be left count as a candidate's. So
            # only alarms on target group green tell about the version that the undo returns to; the analysis compares
            # both.
            alarms = self.world.alarms
            ignored = tuple(sorted({*alarms.ringing(), *alarms.beyond_green()}))
            release = self._releases.new(
                traffic.stable, target, undoes=True, ignored_alarms=ignored, green_after=traffic.green
            )
            return self._start(release, traffic)

    def _undo_now(self, to: Versions | None) -> Outcome:
        """Point the aliases blue at the earlier version. No alarm, metric or guard is asked."""
        left = self._readable_under_way()
        if left and left.undoes:
            return self._asking.ask(left, RequestCommand.PROMOTE_NOW)
        if left:
            return self._busy(left)
        with self._lease():
            if left := self._readable_under_way():
                return self._busy(left)
            traffic = self.world.router.read()
            target = self._target(traffic, to)
            if isinstance(target, Outcome):
                return target
            release = self._releases.new(traffic.stable, target, undoes=True, skips_bakes=True)
            text = f"the aliases blue go back to {name(target)} at once"
            return self._start(release.to(Phase.PROMOTING, self.world.clock.now(), text), traffic)

    def _target(self, traffic: Traffic, to: Versions | None) -> Versions | Outcome:
        """The versions that an undo returns to, or the refusal."""
        if to is not None:
            return {**traffic.stable, **to}
        origin = previous_stable(traffic.stable, self.world.records.latest(HISTORY))
        if origin is None:
            what = f"no record tells what was stable before {name(traffic.stable)}"
            return refused(f"{what}: `undo --now --to VERSIONS` names it", Why.NO_VERSION)
        missing = [f"{f} {v}" for f, v in origin.stable.items() if not self._exists(f, v)]
        if missing:
            what = f"there is no version {', '.join(missing)} any more"
            return refused(f"{what}: `undo --now --to VERSIONS` names another", Why.NO_VERSION)
        return {**traffic.stable, **origin.stable}

    def _exists(self, function: Function, version: str) -> bool:
        """Whether the version is there. If that can't be asked, Lambda's own refusal has to do."""
        try:
            return self.world.router.exists(function, version)
        except Unavailable as error:
            self.world.tell(f"  not checked: {error}")
            return True
