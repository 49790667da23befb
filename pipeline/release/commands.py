"""The commands of operators and of the pipeline. Each returns an ``Outcome``; the command line only prints it."""

from dataclasses import dataclass

from names import Function
from pipeline.release.guards import HISTORY, drift, previous_stable, restored, unfit
from pipeline.release.outcome import Outcome, Why, done, ended, failed, refused, way_back
from pipeline.release.ports import Freeze, Missing, RequestCommand, Unavailable
from pipeline.release.reading import Attempts, read_parts
from pipeline.release.record import Phase, Release
from pipeline.release.state import read_state
from pipeline.release.status import tree
from pipeline.release.traffic import contains
from pipeline.release.undo import Undo
from pipeline.release.view import history_lines, name, summary, when


@dataclass(frozen=True, kw_only=True)
class Commands(Undo):
    """The commands on one environment. All but ``status`` and ``history`` move traffic."""

    def shift(self) -> Outcome:
        """Shift all production traffic to the candidate; first finish a release that a dead controller left."""
        return self._shift(retries=False, skips_bakes=False)

    def retry(self) -> Outcome:
        """Shift a candidate again that was rolled back."""
        return self._shift(retries=True, skips_bakes=False)

    def promote(self, *, now: bool = False) -> Outcome:
        """End the current bake; with ``now``, skip all bakes and analysis (alarms still roll back)."""
        if now and self._driver.unfinished() is None:
            return self._shift(retries=False, skips_bakes=True)
        return self._ask(RequestCommand.PROMOTE_NOW if now else RequestCommand.PROMOTE)

    def pause(self, *, seconds: float | None = None) -> Outcome:
        """Hold the current weights until `resume`, or roll back when the time is over; alarms still roll back."""
        release = self._driver.unfinished()
        if release and (too_long := self._outlives_build(release, seconds)):
            return too_long
        return self._ask(RequestCommand.PAUSE, seconds)

    def _outlives_build(self, release: Release, seconds: float | None) -> Outcome | None:
        """The refusal of a pause after which the build that drives ``release`` has no time left for the steps to come.

        CodeBuild ends a build at its time-out, and the release then stays where it is until somebody goes on.
        """
        if release.build_ends is None or release.build_ends <= self.world.clock.now():
            return None
        steps = len(release.plan.weights) - release.step
        left = release.build_ends - self.world.clock.now() - steps * release.plan.bake_seconds
        asked = release.plan.pause_seconds if seconds is None else seconds
        if asked <= left:
            return None
        longest = f"`--for {left // 60:.0f}m` is the longest" if left >= 60 else "there is no time for a pause"
        text = f"the build that drives the release ends at {when(release.build_ends)}, and the steps to come need time"
        return refused(f"{text}: {longest}", Why.TOO_LONG, release=release)

    def freeze(self) -> Outcome:
        """Let no release start, or be continued after its controller died, until `unfreeze`. Undo and rollback work."""
        return self._set_freeze(frozen=True)

    def unfreeze(self) -> Outcome:
        """Let releases start again after `freeze`."""
        return self._set_freeze(frozen=False)

    def _set_freeze(self, *, frozen: bool) -> Outcome:
        if not self.reason:
            raise ValueError("say why: --reason TEXT")
        what = f"{self.environment} is {'frozen' if frozen else 'no longer frozen'}"
        if self.dry_run:
            return done(f"would say that {what}: {self.reason}")
        records, now = self.world.records, self.world.clock.now()
        freeze = Freeze(frozen=frozen, by=self.asked_by, reason=self.reason, at=now)
        records.set_freeze(freeze)
        left = self._readable_under_way()
        goes_on = f"; release {left.release_id} is under way and goes on: `pause` or `abort` it" if left else ""
        return done(f"{what}: {self.reason}{goes_on if frozen else ''}", details={"freeze": vars(freeze)})

    def resume(self) -> Outcome:
        """Go on after `pause`; the step bakes again."""
        return self._ask(RequestCommand.RESUME)

    def abort(self) -> Outcome:
        """End the release that is under way: all traffic back to the stable version, candidate rejected."""
        return self._ask(RequestCommand.ABORT)

    def rollback(self, *, force: bool = False) -> Outcome:
        """Put all production traffic on the stable version now, with or without a release under way.

        With ``force``, it needs the services alone that move traffic: no table, no lease, no alarm.
        """
        if force and not self.dry_run:
            return self._emergency.roll_back()
        try:
            return self._rollback()
        except Unavailable as error:
            raise type(error)(f"{error}. `rollback --force` needs {self.world.moved_by} alone") from error

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
                return refused(f"{what}: `undo --now --to {gone[0]}=VERSION` creates it", Why.NO_VERSION)
            if traffic.is_steady and traffic.is_known and not last_is_unreadable:
                last = next(iter(history), None)
                hint = f"; {way_back(last)}" if last and last.phase is Phase.PROMOTED else ""
                return done(f"nothing to do: all traffic is on {name(traffic.stable)}{hint}")
            what = "a record that can't be read" if last_is_unreadable else "weights that no release explains"
            cause = f"{what}, asked for by {self.asked_by}"
            release = self._releases.repair(stable, cause)
            if self.dry_run:
                return self._preview(release, traffic)
            release = self._driver.drive(release)
            return done(f"all traffic is on {name(release.stable)}", release)

    def status(self) -> Outcome:
        """Where traffic goes now, how both versions do, and what the release waits for. Changes nothing."""
        state = read_state(self.environment, self.world)
        text, details = "\n".join(tree(state)), {"status": state.document()}
        if state.failures:
            return failed(state.failures[0], text, state.last, details)
        return done(text, state.last, details)

    def history(self) -> Outcome:
        """The last releases, newest first."""
        records = self.world.records
        releases, unreadable = records.latest(HISTORY), records.unreadable(HISTORY)
        text = "\n".join([*history_lines(releases), *unreadable])
        return done(text, details={"history": [*map(summary, releases)], "unreadable": unreadable})

    def _shift(self, *, retries: bool, skips_bakes: bool) -> Outcome:
        """``retries``: the candidate may be one that was rejected; ``skips_bakes``: without bakes."""
        world = self.world
        with self._lease():
            candidate = world.router.deployed()
            if left := self._driver.unfinished():
                if self.dry_run:
                    return done(f"would first finish release {left.release_id}, left in phase {left.phase}", left)
                back = "; ".join(reason.text for reason in self._guard(left))
                finished = self._driver.take_over(left, back=back or None)
                if contains(candidate, finished.candidate):
                    return ended(finished)
            traffic = self._traffic()
            if found := drift(traffic):
                return refused(found, Why.DRIFT)
            if traffic.stable == candidate:
                made_stable = previous_stable(candidate, world.records.latest(HISTORY))
                return done(f"nothing to do: {name(candidate)} is stable already", made_stable)
            ringing = tuple(world.alarms.ringing())
            history = [] if retries else world.records.latest(HISTORY)
            reasons = [*self._closed(), *unfit(candidate=candidate, ringing=ringing, history=history)]
            if reasons and self.override is None:
                text = "; ".join(reason.text for reason in reasons)
                return refused(f"{text}. `--override REASON` starts it all the same", *(r.why for r in reasons))
            closed = (f for f, version in traffic.stable.items() if world.router.is_closed(f, version))
            release = self._releases.new(
                traffic.stable,
                candidate,
                opens=tuple(closed),
                skips_bakes=skips_bakes,
                ignored_alarms=ringing,
                commit=self._releases.commit_tried(candidate) if retries else None,
            )
            return self._start(release, traffic)

    def _ask(self, command: RequestCommand, seconds: float | None = None) -> Outcome:
        release = self._driver.unfinished()
        if release is None:
            last = self.world.records.last()
            hint = ": `shift` starts one"
            if command == RequestCommand.ABORT:
                hint = ": `rollback` repairs weights that no release explains"
                if last and last.phase is Phase.PROMOTED:
                    hint = f": {name(last.candidate)} is promoted; {way_back(last)}"
            return refused(f"no release is under way{hint}", Why.NOT_UNDER_WAY)
        return self._answer(release, command, seconds)

    def _answer(self, release: Release, command: RequestCommand, seconds: float | None = None) -> Outcome:
        if self.dry_run:
            return done(f"would ask for {command} of release {release.release_id} in phase {release.phase}", release)
        return self._asking.ask(release, command, seconds)
