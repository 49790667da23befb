"""What operators and the pipeline can ask for. Each command returns an ``Outcome``; the command line only prints it."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

from environments import ReleaseSettings
from pipeline.release.controller import Controller, World
from pipeline.release.guards import drift, previous_stable, refusals
from pipeline.release.machine import roll_back, take_over
from pipeline.release.plan import Plan
from pipeline.release.ports import LeaseHeld, LeaseLost, Request, RequestCommand, Unavailable
from pipeline.release.record import EventKind, Phase, Release
from pipeline.release.traffic import Traffic, Versions, moves, shifted
from pipeline.release.view import history_lines, name, tree

OBEYED_BEFORE_THE_END = (RequestCommand.PAUSE, RequestCommand.RESUME, RequestCommand.PROMOTE)
"""Requests that are done while the release goes on."""
HISTORY = 50
"""How many releases back the guards and `history` look."""


class ExitCode(IntEnum):
    DONE = 0
    ROLLED_BACK = 1
    USAGE = 2
    UNAVAILABLE = 3
    HELD = 4
    REFUSED = 5
    UNCONFIRMED = 6
    DEFECT = 7


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a command ended, for people and for programs."""

    code: ExitCode
    text: str
    release: Release | None = None


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
    """Why guards are to be ignored; recorded."""
    dry_run: bool = False
    """Say what would be done, and do nothing."""

    def shift(self) -> Outcome:
        """Bring the candidate to all production traffic; first finish what a dead controller left."""
        return self._shift(forgive=False, hurry=False)

    def retry(self) -> Outcome:
        """Shift a candidate again that was rolled back."""
        return self._shift(forgive=True, hurry=False)

    def undo(self, *, now: bool = False) -> Outcome:
        """Go back to the previous stable version by a guarded shift, or at once."""
        if refused := self._under_way():  # known before the lease is taken, and perhaps from one who is only slow
            return refused
        with self._lease():
            if refused := self._under_way():
                return refused
            traffic, history = self.world.router.read(), self.world.records.latest(HISTORY)
            origin = previous_stable(traffic.stable, history)
            if origin is None:
                return _refused(f"no record tells what was stable before {name(traffic.stable)}")
            # Undoing answers alarms and cannot wait for a window; only drift stands in its way.
            if found := drift(traffic):
                return _refused(found)
            # Once blue is split, the errors of the version that is left count as a candidate's. Only the alarms on
            # target group green tell about the one undone to; the analysis compares the two.
            alarms = self.world.alarms
            ignored = tuple(sorted({*alarms.ringing(), *alarms.beyond_green()}))
            return self._start(traffic, origin.stable, undoes=True, hurry=now, ignored_alarms=ignored)

    def _under_way(self) -> Outcome | None:
        left = self._unfinished()
        return _refused(f"release {left.release_id} is under way; `abort` it first") if left else None

    def promote(self, *, now: bool = False) -> Outcome:
        """End the current bake; with ``now``, skip all bakes and analysis (alarms still roll back)."""
        if now and self._unfinished() is None:
            return self._shift(forgive=False, hurry=True)
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
        """Put all production traffic on the stable version now, whatever the reason that it is not."""
        if self._unfinished():
            return self._ask(RequestCommand.ABORT)
        with self._lease():
            traffic = self.world.router.read()
            if traffic.is_steady:
                return _done(f"nothing to do: all traffic is on {name(traffic.stable)}")
            release = self._repair_of(traffic.stable, f"weights that no release explains, {self._by}")
            if self.dry_run:
                return self._preview(release, traffic)
            release = self._start_driving(release)
            return _done(f"all traffic is on {name(release.stable)}", release)

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
        return _done("\n".join(lines), last)

    def history(self) -> Outcome:
        """The last releases, newest first."""
        return _done("\n".join(history_lines(self.world.records.latest(HISTORY))))

    @property
    def _by(self) -> str:
        return f"asked for by {self.asked_by}"

    def _shift(self, *, forgive: bool, hurry: bool) -> Outcome:
        world = self.world
        with self._lease():
            candidate = world.router.deployed()
            if left := self._unfinished():
                if self.dry_run:
                    return _done(f"would first finish release {left.release_id}, left in phase {left.phase}", left)
                finished = self._start_driving(take_over(left, world.clock.now()))
                if finished.candidate == candidate:
                    return _outcome(finished)
            traffic = world.router.read()
            if found := drift(traffic):
                return _refused(found)
            if traffic.stable == candidate:
                return _done(f"nothing to do: {name(candidate)} is stable already")
            ringing = tuple(world.alarms.ringing())
            reasons = list(
                refusals(
                    now=world.clock.now(),
                    candidate=candidate,
                    ringing=ringing,
                    frozen_by=world.alarms.freezing(),
                    windows=self.settings.windows,
                    history=[] if forgive else world.records.latest(HISTORY),
                )
            )
            if reasons and self.override is None:
                return _refused("; ".join(reasons))
            return self._start(
                traffic,
                candidate,
                undoes=False,
                hurry=hurry,
                ignored_alarms=ringing,
                commit=self._commit_tried(candidate) if forgive else None,
            )

    def _start(
        self,
        traffic: Traffic,
        candidate: Versions,
        *,
        undoes: bool,
        hurry: bool,
        ignored_alarms: tuple[str, ...],
        commit: str | None = None,
    ) -> Outcome:
        release = self._new(
            traffic.stable,
            candidate,
            undoes=undoes,
            hurry=hurry,
            ignored_alarms=ignored_alarms,
            home=traffic.green if undoes else None,
            commit=commit,
        )
        if self.dry_run:
            return self._preview(release, traffic)
        return _outcome(self._start_driving(release))

    def _new(
        self,
        stable: Versions,
        candidate: Versions,
        *,
        undoes: bool,
        hurry: bool = False,
        ignored_alarms: tuple[str, ...] = (),
        home: str | None = None,
        commit: str | None = None,
    ) -> Release:
        now = self.world.clock.now()
        if last := next(iter(self.world.records.latest()), None):
            now = max(now, last.events[0].at + 0.001)  # ids are times in milliseconds, and sort
        because = f", overriding guards: {self.override}" if self.override else ""
        return Release(
            environment=self.environment,
            release_id=f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%S.%f}"[:-3] + "Z",
            stable=stable,
            candidate=candidate,
            plan=self.plan,
            started_by=self.asked_by,
            commit=self._commit_of(candidate) if undoes else commit or self.commit,
            stable_commit=self._commit_of(stable),
            undoes=undoes,
            home=home,
            hurry=hurry,
            ignored_alarms=ignored_alarms,
            override=self.override,
            since=now,
        ).note(now, f"{'undo: ' if undoes else ''}{name(stable)} → {name(candidate)}, {self._by}{because}")

    def _commit_of(self, versions: Versions) -> str | None:
        """The commit of the release that made ``versions`` stable, if that is on record."""
        origin = previous_stable(versions, self.world.records.latest(HISTORY))
        return origin.commit if origin else None

    def _commit_tried(self, candidate: Versions) -> str | None:
        """The commit of the last release of ``candidate``, if that is on record: the checkout's head may be another."""
        history = self.world.records.latest(HISTORY)
        return next((r.commit for r in history if r.candidate == candidate and not r.undoes and r.commit), None)

    def _preview(self, release: Release, traffic: Traffic) -> Outcome:
        """The calls that ``release`` would make, if all goes well."""
        if release.phase is Phase.ROLLING_BACK:
            stages = [("rollback", release.traffic)]
        else:
            weights = release.plan.weights[-1:] if release.hurry else release.plan.weights
            stages = [(f"{w} %", shifted(release.stable, release.candidate, w)) for w in weights]
            promoted = release.to(Phase.PROMOTED, release.since, "")
            stages.append(("promote", promoted.traffic))
        lines = ["dry run: nothing is moved"]
        for label, wanted in stages:
            lines += [f"{label:>9}  {move}" for chain in moves(traffic, wanted) for move in chain]
            traffic = Traffic(listener=wanted.listener, blue=wanted.blue, green=wanted.green or traffic.green)
        return _done("\n".join(lines), None)

    def _ask(self, command: RequestCommand, seconds: float | None = None) -> Outcome:
        """Have the running controller obey ``command``; without one, this process takes the release over and does."""
        release = self._unfinished()
        if release is None:
            return _refused("no release is under way")
        if self.dry_run:
            return _done(f"would ask for {command} of release {release.release_id} in phase {release.phase}", release)
        records = self.world.records
        request = Request(
            request_id=uuid.uuid4().hex,
            release_id=release.release_id,
            command=command,
            asked_by=self.asked_by,
            seconds=seconds,
        )
        known = len(release.events)
        records.ask(request)
        while True:
            try:
                records.acquire()
            except LeaseHeld as held:
                release = next(r for r in records.latest(HISTORY) if r.release_id == request.release_id)
                obeyed = release.handled == request.request_id and command in OBEYED_BEFORE_THE_END
                if release.finished or obeyed:
                    return _answer(request, release, known)
                if self.world.clock.interrupted:
                    text = f"asked for {command}, which {held.holder} has not done yet: see `status`; no longer waiting"
                    return Outcome(code=ExitCode.HELD, text=text, release=release)
                self.world.clock.sleep(1.0)
                continue
            with self._held():
                release = next(r for r in records.latest(HISTORY) if r.release_id == request.release_id)
                if not release.finished:
                    release = self._start_driving(take_over(release, self.world.clock.now()))
                return _answer(request, release, known)

    def _start_driving(self, release: Release) -> Release:
        try:
            return self._drive(release)
        except LeaseLost:
            ended = self._make_good()
            if ended and ended.release_id == release.release_id:
                return ended
            raise

    def _drive(self, release: Release) -> Release:
        controller = Controller(self.world)
        return controller.drive(controller.begin(release))

    def _make_good(self) -> Release | None:
        """Leave nothing undone after the lease was lost, if nobody else holds it now. Once: whoever loses it again
        stops. Returns the release that was driven to its end, if there was one.

        Who took the lease may have died or left without driving: an unfinished release is taken over again. Or this
        controller hung between the renewal of its lease and its last call, while another one took over and ended the
        release: the record says where traffic belongs. One that is at work still sees the call's effect itself.
        """
        with suppress(LeaseHeld, LeaseLost, Unavailable), self._lease():
            last = next(iter(self.world.records.latest()), None)
            if last and not last.finished:
                return self._drive(take_over(last, self.world.clock.now()))
            if last and not self.world.router.read().satisfies(last.traffic):
                because = "a call of a controller that had lost its lease came too late"
                self._drive(self._repair_of(last.traffic.stable, because))
        return None

    def _repair_of(self, stable: Versions, because: str) -> Release:
        """A release that does nothing but bring all traffic to ``stable``."""
        candidate = self.world.router.deployed()
        release = self._new(stable, candidate, undoes=False, commit=self._commit_tried(candidate))
        return roll_back(release, self.world.clock.now(), because)

    def _unfinished(self) -> Release | None:
        last = next(iter(self.world.records.latest()), None)
        return last if last and not last.finished else None

    @contextmanager
    def _lease(self) -> Iterator[None]:
        """Hold the lease. A dead holder's lease is waited for; one that is renewed meanwhile raises ``LeaseHeld``."""
        if self.dry_run:
            yield
            return
        try:
            self.world.records.acquire()
        except LeaseHeld as held:
            self._outwait(held)
        with self._held():
            yield

    @contextmanager
    def _held(self) -> Iterator[None]:
        try:
            yield
        finally:
            try:
                self.world.records.give_up()
            except Exception as error:  # how the release ended is worth more
                self.world.tell(f"  the lease ends by itself in a moment: {error}")

    def _outwait(self, held: LeaseHeld) -> None:
        self.world.tell(f"held by {held}; waiting to see whether it is alive")
        left = held.seconds_left
        while True:
            self.world.clock.sleep(min(1.0, left + 0.1))
            try:
                return self.world.records.acquire()
            except LeaseHeld as still:
                if still.seconds_left >= left or self.world.clock.interrupted:
                    raise
                left = still.seconds_left


def _outcome(release: Release) -> Outcome:
    if release.phase is Phase.PROMOTED:
        return _done(f"promoted: {name(release.candidate)} is stable", release)
    text = f"rolled back to {name(release.stable)}: {release.cause}"
    code = ExitCode.DEFECT if release.defect else ExitCode.ROLLED_BACK
    return Outcome(code=code, text=text, release=release)


def _answer(request: Request, release: Release, known: int) -> Outcome:
    """How ``request`` ended. ``known``: how many events ``release`` had when it was made."""
    since, command = release.events[known:], request.command
    never_paused = command == RequestCommand.PAUSE and all(event.phase is not Phase.PAUSED for event in since)
    if release.phase is Phase.PROMOTED and (command == RequestCommand.ABORT or never_paused):
        return _refused(f"too late, {name(release.candidate)} is promoted; `undo` goes back", release)
    if command == RequestCommand.ABORT:
        return _done(f"all traffic is on {name(release.stable)}: {release.cause}", release)
    if release.finished:
        return _outcome(release)
    ignored = (event for event in since if event.kind is EventKind.IGNORED and event.request_id == request.request_id)
    if event := next(ignored, None):
        return _refused(event.text, release)
    return _done(release.events[-1].text, release)


def _done(text: str, release: Release | None = None) -> Outcome:
    return Outcome(code=ExitCode.DONE, text=text, release=release)


def _refused(text: str, release: Release | None = None) -> Outcome:
    return Outcome(code=ExitCode.REFUSED, text=f"refused: {text}", release=release)
