"""An operator's request to the release that is under way: leaving it, waiting for the answer, taking over if nobody is
there to obey it."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.release.controller import World
from pipeline.release.driver import Driver
from pipeline.release.guards import HISTORY, Refusal
from pipeline.release.lease import given_up_afterwards
from pipeline.release.machine import rejected_by
from pipeline.release.outcome import ExitCode, Outcome, Why, answered, refused, superseded
from pipeline.release.ports import LeaseHeld, OperatorRequest, RequestCommand
from pipeline.release.record import Phase, Release

OBEYED_BEFORE_THE_END = (RequestCommand.PAUSE, RequestCommand.RESUME, RequestCommand.PROMOTE)
"""Requests that are done while the release goes on."""
REMINDER_SECONDS = 5.0
"""A command that waits says so again after this time."""


@dataclass(frozen=True, kw_only=True)
class Asking:
    """Requests in the name of one person."""

    world: World
    driver: Driver
    asked_by: str
    reason: str | None = None
    guard: Callable[[Release], Sequence[Refusal]]
    """The reasons for which a release that nobody drives is not driven forward now."""

    def ask(self, release: Release, command: RequestCommand, seconds: float | None = None) -> Outcome:
        """Have the running controller obey ``command``. Without one, this process takes the release over and obeys.

        An abort wins over each request before and after it. The others are told that they are superseded.
        """
        request = self.request(release, command, seconds)
        stands = self.world.records.ask(request)
        if stands.request_id != request.request_id and command != RequestCommand.ABORT:
            return superseded(request, stands, release)
        return self._answer(stands, release)

    def request(self, release: Release, command: RequestCommand, seconds: float | None = None) -> OperatorRequest:
        return OperatorRequest(
            request_id=uuid.uuid4().hex,
            release_id=release.release_id,
            command=command,
            asked_by=self.asked_by,
            seconds=seconds,
            reason=self.reason,
        )

    def _answer(self, request: OperatorRequest, release: Release) -> Outcome:
        world, shown, told = self.world, len(release.events), -REMINDER_SECONDS
        while True:
            try:
                world.records.acquire()
            except LeaseHeld as held:
                instead = self._replaced(request)
                release = self._asked_of(request)
                for event in release.events[shown:]:
                    world.tell(event.text)
                shown = len(release.events)
                if self._is_answered(request, release, instead):
                    return answered(request, self._rejected(request, release), instead=instead)
                if world.clock.interrupted:
                    return self._left(request, held, release)
                if world.clock.now() - told >= REMINDER_SECONDS:
                    told = world.clock.now()
                    world.tell(f"  asked for {request.command}; waiting for {held}")
                world.clock.sleep(1.0)
                continue
            with given_up_afterwards(world):
                release = self._asked_of(request)
                forward = not release.finished and request.command != RequestCommand.ABORT
                if forward and (reasons := self.guard(release)):
                    return not_taken_over(reasons, release)
                if not release.finished:
                    release = self.driver.take_over(release)
                return answered(request, self._rejected(request, release), instead=self._replaced(request))

    def _is_answered(self, request: OperatorRequest, release: Release, instead: OperatorRequest | None) -> bool:
        if instead is not None and (instead.command == RequestCommand.ABORT or release.handled == instead.request_id):
            return True
        obeyed = any(event.request_id == request.request_id for event in release.events)
        # Earlier versions of the controller note only the last request that they obeyed.
        obeyed = obeyed or release.handled == request.request_id
        return release.finished or (obeyed and request.command in OBEYED_BEFORE_THE_END)

    def _rejected(self, request: OperatorRequest, release: Release) -> Release:
        """``release``. If ``request`` aborts it, and it went back for another reason in its last round, the candidate
        is rejected after all."""
        if request.command != RequestCommand.ABORT or release.phase is not Phase.ROLLED_BACK or release.rejected:
            return release
        return self.world.records.save(rejected_by(release, self.world.clock.now(), request))

    def _replaced(self, request: OperatorRequest) -> OperatorRequest | None:
        """The request that stands instead of ``request``."""
        stands = self.world.records.asked()
        if stands is None or stands.request_id == request.request_id or stands.release_id != request.release_id:
            return None
        return stands

    def _asked_of(self, request: OperatorRequest) -> Release:
        """The release that ``request`` is about, as it stands."""
        return next(r for r in self.world.records.latest(HISTORY) if r.release_id == request.release_id)

    def _left(self, request: OperatorRequest, held: LeaseHeld, release: Release) -> Outcome:
        text = f"asked for {request.command}, which {held.holder} has not done yet: see `status`; no longer waiting"
        return Outcome(code=ExitCode.HELD, text=text, why=(Why.HELD,), release=release)


def not_taken_over(reasons: Sequence[Refusal], release: Release) -> Outcome:
    because = "; ".join(reason.text for reason in reasons)
    text = f"{because}. Nobody drives the release: `abort` takes it back, `--override REASON` goes on all the same"
    return refused(text, *(reason.why for reason in reasons), release=release)
