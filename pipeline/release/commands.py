"""The commands of operators and of the pipeline. Each returns an ``Outcome``; the command line only prints it."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from environments import ReleaseSettings
from pipeline.release.controller import World
from pipeline.release.driver import Driver
from pipeline.release.guards import HISTORY, drift, previous_stable, refusals
from pipeline.release.lease import given_up_afterwards, lease
from pipeline.release.new_release import NewReleases
from pipeline.release.outcome import ExitCode, Outcome, answered, done, ended, refused
from pipeline.release.plan import Plan
from pipeline.release.ports import LeaseHeld, OperatorRequest, RequestCommand
from pipeline.release.record import Release
from pipeline.release.traffic import Traffic, contains
from pipeline.release.view import history_lines, name, preview_lines, tree

OBEYED_BEFORE_THE_END = (RequestCommand.PAUSE, RequestCommand.RESUME, RequestCommand.PROMOTE)
"""Requests that are done while the release goes on."""


@dataclass(frozen=True, kw_only=True)
class Commands:
    """The commands on one environment. All but ``status`` and ``history`` move traffic."""

    environment: str
    settings: ReleaseSettings
    plan: Plan
    world: World
    asked_by: str
    commit: str | None = None
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

    def undo(self, *, now: bool = False) -> Outcome:
        """Go back to the previous stable version by a guarded shift, or at once."""
        if busy := self._under_way():  # before the lease is taken: its holder may only be slow
            return busy
        with self._lease():
            if busy := self._under_way():
                return busy
            traffic, history = self.world.router.read(), self.world.records.latest(HISTORY)
            origin = previous_stable(traffic.stable, history)
            if origin is None:
                return refused(f"no record tells what was stable before {name(traffic.stable)}")
            # An undo is the answer to an alarm and cannot wait for a window: of the guards, only drift holds.
            if found := drift(traffic):
                return refused(found)
            # As soon as the aliases blue are split, the errors of the version to be left count as a candidate's. So
            # only alarms on target group green tell about the version that the undo returns to; the analysis compares
            # both.
            alarms = self.world.alarms
            ignored = tuple(sorted({*alarms.ringing(), *alarms.beyond_green()}))
            release = self._releases.new(
                traffic.stable,
                {**traffic.stable, **origin.stable},
                undoes=True,
                skips_bakes=now,
                ignored_alarms=ignored,
                green_after=traffic.green,
            )
            return self._start(release, traffic)

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

    def rollback(self) -> Outcome:
        """Put all production traffic on the stable version now, with or without a release under way."""
        if self._driver.unfinished():
            return self._ask(RequestCommand.ABORT)
        with self._lease():
            traffic = self.world.router.read()
            if traffic.is_steady:
                return done(f"nothing to do: all traffic is on {name(traffic.stable)}")
            cause = f"weights that no release explains, asked for by {self.asked_by}"
            release = self._releases.repair(traffic.stable, cause)
            if self.dry_run:
                return _preview(release, traffic)
            release = self._driver.drive(release)
            return done(f"all traffic is on {name(release.stable)}", release)

    def status(self) -> Outcome:
        """Where traffic goes now, how both versions do, and what the release waits for. Changes nothing."""
        world = self.world
        last = next(iter(world.records.latest()), None)
        lines = tree(
            environment=self.environment,
            traffic=world.router.read(),
            deployed=world.router.deployed(),
            ringing=world.alarms.ringing(),
            last=last,
            lease=world.records.lease(),
            now=world.clock.now(),
        )
        return done("\n".join(lines), last)

    def history(self) -> Outcome:
        """The last releases, newest first."""
        return done("\n".join(history_lines(self.world.records.latest(HISTORY))))

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

    def _under_way(self) -> Outcome | None:
        left = self._driver.unfinished()
        return refused(f"release {left.release_id} is under way; `abort` it first") if left else None

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
        """Have the running controller obey ``command``. Without one, this process takes the release over and obeys."""
        release = self._driver.unfinished()
        if release is None:
            return refused("no release is under way")
        if self.dry_run:
            return done(f"would ask for {command} of release {release.release_id} in phase {release.phase}", release)
        records, known = self.world.records, len(release.events)
        request = OperatorRequest(
            request_id=uuid.uuid4().hex,
            release_id=release.release_id,
            command=command,
            asked_by=self.asked_by,
            seconds=seconds,
        )
        records.ask(request)
        while True:
            try:
                records.acquire()
            except LeaseHeld as held:
                release = self._asked_of(request)
                obeyed = release.handled == request.request_id and command in OBEYED_BEFORE_THE_END
                if release.finished or obeyed:
                    return answered(request, release, known)
                if self.world.clock.interrupted:
                    text = f"asked for {command}, which {held.holder} has not done yet: see `status`; no longer waiting"
                    return Outcome(code=ExitCode.HELD, text=text, release=release)
                self.world.clock.sleep(1.0)
                continue
            with given_up_afterwards(self.world):
                release = self._asked_of(request)
                if not release.finished:
                    release = self._driver.take_over(release)
                return answered(request, release, known)

    def _asked_of(self, request: OperatorRequest) -> Release:
        """The release that ``request`` is about, as it stands."""
        return next(r for r in self.world.records.latest(HISTORY) if r.release_id == request.release_id)


def _preview(release: Release, traffic: Traffic) -> Outcome:
    return done("\n".join(["dry run: nothing is moved", *preview_lines(release, traffic)]))
