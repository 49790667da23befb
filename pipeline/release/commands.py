"""The commands of operators and of the pipeline. Each returns an ``Outcome``; the command line only prints it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from environments import ReleaseSettings
from names import Function
from pipeline.release.asking import Asking
from pipeline.release.controller import World
from pipeline.release.driver import Driver
from pipeline.release.emergency import Emergency
from pipeline.release.guards import HISTORY, drift, previous_stable, refusals, restored
from pipeline.release.lease import lease
from pipeline.release.new_release import NewReleases
from pipeline.release.outcome import Outcome, done, ended, failed, refused, way_back
from pipeline.release.plan import Plan
from pipeline.release.ports import Missing, RequestCommand, Unavailable, Unreadable
from pipeline.release.reading import Attempts, read_parts
from pipeline.release.record import Phase, Release
from pipeline.release.traffic import Traffic, Versions, contains
from pipeline.release.view import history_lines, name, preview_lines, tree


@dataclass(frozen=True, kw_only=True)
class Commands:
    """The commands on one environment. All but ``status`` and ``history`` move traffic."""

    environment: str
    settings: ReleaseSettings
    plan: Plan
    world: World
    asked_by: str
    commit: str | None = None
    reason: str | None = None
    """Why the command was given; it is recorded."""
    override: str | None = None
    """The reason for ignoring guards; it is recorded."""
    dry_run: bool = False
    """Show the calls that would be made, and make none."""

    def shift(self) -> Outcome:
        """Shift all production traffic to the candidate; first finish a release that a dead controller left."""
        return self._shift(retries=False, skips_bakes=False)

    def retry(self) -> Outcome:
        """Shift a candidate again that was rolled back."""
        return self._shift(retries=True, skips_bakes=False)

    def undo(self, *, now: bool = False, to: Versions | None = None) -> Outcome:
        """Go back to the previous stable version, or ``to`` another, by a guarded shift, or at once.

        At once and with ``to``, it needs ELB and Lambda alone.
        """
        if to and (unknown := [f"{f} {version}" for f, version in to.items() if not self._exists(f, version)]):
            return refused(f"there is no version {', '.join(unknown)}")
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
            traffic = self.world.router.read()
            target = self._target(traffic, to)
            if isinstance(target, Outcome):
                return target
            # An undo is the answer to an alarm and cannot wait for a window: of the guards, only drift holds.
            if found := drift(traffic):
                return refused(found)
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
            return refused(f"{what}: `undo --now --to VERSIONS` names it")
        missing = [f"{f} {v}" for f, v in origin.stable.items() if not self._exists(f, v)]
        if missing:
            return refused(
                f"there is no version {', '.join(missing)} any more: `undo --now --to VERSIONS` names another"
            )
        return {**traffic.stable, **origin.stable}

    def _exists(self, function: Function, version: str) -> bool:
        """Whether the version is there. If that can't be asked, Lambda's own refusal has to do."""
        try:
            return self.world.router.exists(function, version)
        except Unavailable as error:
            self.world.tell(f"  not checked: {error}")
            return True

    def promote(self, *, now: bool = False) -> Outcome:
        """End the current bake; with ``now``, skip all bakes and analysis (alarms still roll back)."""
        if now and self._driver.unfinished() is None:
            return self._shift(retries=False, skips_bakes=True)
        return self._ask(RequestCommand.PROMOTE_NOW if now else RequestCommand.PROMOTE)

    def pause(self, *, seconds: float | None = None) -> Outcome:
        """Hold the current weights until `resume`, or roll back when the time is over; alarms still roll back."""
        return self._ask(RequestCommand.PAUSE, seconds)

    def resume(self) -> Outcome:
        """Go on after `pause`; the step bakes again."""
        return self._ask(RequestCommand.RESUME)

    def abort(self) -> Outcome:
        """End the release that is under way: all traffic back to the stable version, candidate rejected."""
        return self._ask(RequestCommand.ABORT)

    def rollback(self, *, force: bool = False) -> Outcome:
        """Put all production traffic on the stable version now, with or without a release under way.

        With ``force``, it needs ELB and Lambda alone: no table, no lease, no alarm.
        """
        if force and not self.dry_run:
            return self._emergency.roll_back()
        try:
            return self._rollback()
        except Unavailable as error:
            raise type(error)(f"{error}. `rollback --force` needs ELB and Lambda alone") from error

    def _rollback(self) -> Outcome:
        if left := self._readable_under_way():
            return self._answer(left, RequestCommand.ABORT)
        with self._lease():
            attempts = Attempts()
            traffic = read_parts(self.world.router, attempts)
            if failures := [each for each in attempts.failures if not isinstance(each, Missing)]:
                raise failures[0]
            history, last_is_unreadable = self.world.records.latest(HISTORY), self._last_is_unreadable()
            stable = restored(traffic.stable, history)
            if gone := [function for function in Function if function not in stable]:
                what = f"alias blue of {', '.join(gone)} is gone, and no record names its version"
                return refused(f"{what}: `undo --now --to {gone[0]}=VERSION` creates it")
            if traffic.is_steady and traffic.is_known and not last_is_unreadable:
                last = next(iter(history), None)
                hint = f"; {way_back(last)}" if last and last.phase is Phase.PROMOTED else ""
                return done(f"nothing to do: all traffic is on {name(traffic.stable)}{hint}")
            what = "a record that can't be read" if last_is_unreadable else "weights that no release explains"
            cause = f"{what}, asked for by {self.asked_by}"
            release = self._releases.repair(stable, cause)
            if self.dry_run:
                return _preview(release, traffic)
            release = self._driver.drive(release)
            return done(f"all traffic is on {name(release.stable)}", release)

    def status(self) -> Outcome:
        """Where traffic goes now, how both versions do, and what the release waits for. Changes nothing."""
        world, attempts = self.world, Attempts()
        last = attempts(world.records.last)
        lines = tree(
            environment=self.environment,
            traffic=read_parts(world.router, attempts),
            deployed=attempts(world.router.deployed),
            ringing=attempts(world.alarms.ringing),
            lease=attempts(world.records.lease),
            unknown=attempts.failures,
            last=last,
            now=world.clock.now(),
        )
        if attempts.failures:
            return failed(attempts.failures[0], "\n".join(lines), last)
        return done("\n".join(lines), last)

    def history(self) -> Outcome:
        """The last releases, newest first."""
        records = self.world.records
        return done("\n".join([*history_lines(records.latest(HISTORY)), *records.unreadable(HISTORY)]))

    @property
    def _releases(self) -> NewReleases:
        return NewReleases(
            environment=self.environment,
            plan=self.plan,
            world=self.world,
            asked_by=self.asked_by,
            commit=self.commit,
            override=self.override,
        )

    @property
    def _driver(self) -> Driver:
        return Driver(self.world, self._releases)

    @contextmanager
    def _lease(self) -> Iterator[None]:
        """Hold the lease; a dry run needs none."""
        if self.dry_run:
            yield
            return
        with lease(self.world):
            yield

    @property
    def _asking(self) -> Asking:
        return Asking(world=self.world, driver=self._driver, asked_by=self.asked_by, reason=self.reason)

    @property
    def _emergency(self) -> Emergency:
        return Emergency(world=self.world, releases=self._releases, asking=self._asking)

    def _under_way(self) -> Outcome | None:
        left = self._driver.unfinished()
        return self._busy(left) if left else None

    def _busy(self, left: Release) -> Outcome:
        return refused(f"release {left.release_id} is under way; `abort` it first")

    def _readable_under_way(self) -> Release | None:
        """The release that is under way. A record that can't be read keeps no exit shut."""
        try:
            return self._driver.unfinished()
        except Unreadable as error:
            self.world.tell(f"  {error}")
            return None

    def _last_is_unreadable(self) -> bool:
        return bool(self.world.records.unreadable(1))

    def _shift(self, *, retries: bool, skips_bakes: bool) -> Outcome:
        """``retries``: the candidate may be one that was rejected; ``skips_bakes``: without bakes."""
        world = self.world
        with self._lease():
            candidate = world.router.deployed()
            if left := self._driver.unfinished():
                if self.dry_run:
                    return done(f"would first finish release {left.release_id}, left in phase {left.phase}", left)
                finished = self._driver.take_over(left)
                if contains(candidate, finished.candidate):
                    return ended(finished)
            traffic = world.router.read()
            if found := drift(traffic):
                return refused(found)
            if traffic.stable == candidate:
                made_stable = previous_stable(candidate, world.records.latest(HISTORY))
                return done(f"nothing to do: {name(candidate)} is stable already", made_stable)
            ringing = tuple(world.alarms.ringing())
            reasons = list(
                refusals(
                    now=world.clock.now(),
                    candidate=candidate,
                    ringing=ringing,
                    frozen_by=world.alarms.freezing(),
                    windows=self.settings.windows,
                    history=[] if retries else world.records.latest(HISTORY),
                )
            )
            if reasons and self.override is None:
                return refused("; ".join(reasons))
            release = self._releases.new(
                traffic.stable,
                candidate,
                skips_bakes=skips_bakes,
                ignored_alarms=ringing,
                commit=self._releases.commit_tried(candidate) if retries else None,
            )
            return self._start(release, traffic)

    def _start(self, release: Release, traffic: Traffic) -> Outcome:
        return _preview(release, traffic) if self.dry_run else ended(self._driver.drive(release))

    def _ask(self, command: RequestCommand, seconds: float | None = None) -> Outcome:
        release = self._driver.unfinished()
        if release is None:
            last = self.world.records.last()
            hint = (
                f": {name(last.candidate)} is promoted; {way_back(last)}"
                if last and last.phase is Phase.PROMOTED
                else ""
            )
            return refused(f"no release is under way{hint if command == RequestCommand.ABORT else ''}")
        return self._answer(release, command, seconds)

    def _answer(self, release: Release, command: RequestCommand, seconds: float | None = None) -> Outcome:
        if self.dry_run:
            return done(f"would ask for {command} of release {release.release_id} in phase {release.phase}", release)
        return self._asking.ask(release, command, seconds)


def _preview(release: Release, traffic: Traffic) -> Outcome:
    return done("\n".join(["dry run: nothing is moved", *preview_lines(release, traffic)]))
