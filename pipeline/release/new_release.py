"""The first record of a release: stable version, candidate, and the person who asked."""

from dataclasses import dataclass
from datetime import UTC, datetime

from names import Function
from pipeline.release.controller import World
from pipeline.release.guards import HISTORY, previous_stable
from pipeline.release.machine import roll_back
from pipeline.release.plan import Plan
from pipeline.release.record import Release
from pipeline.release.traffic import Versions, contains
from pipeline.release.view import name


@dataclass(frozen=True, kw_only=True)
class NewReleases:
    """Makes releases of one environment, in the name of one person."""

    environment: str
    plan: Plan
    world: World
    asked_by: str
    commit: str | None = None
    """The commit that is being delivered."""
    override: str | None = None
    """Why guards are overridden."""
    reason: str | None = None
    """Why the release was asked for."""

    def new(
        self,
        stable: Versions,
        candidate: Versions,
        *,
        undoes: bool = False,
        skips_bakes: bool = False,
        ignored_alarms: tuple[str, ...] = (),
        green_after: str | None = None,
        opens: tuple[Function, ...] = (),
        commit: str | None = None,
    ) -> Release:
        """A release of ``candidate``. ``commit``: the candidate's, where it is not the one that is being delivered."""
        now = self.world.clock.now()
        if last := next(iter(self.world.records.latest(1)), None):
            now = max(now, last.events[0].at + 0.001)  # ids are times in milliseconds, and sort
        because = f": {self.reason}" if self.reason else ""
        because += f", overriding guards: {self.override}" if self.override else ""
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
            green_after=green_after,
            opens=opens,
            skips_bakes=skips_bakes,
            ignored_alarms=ignored_alarms,
            override=self.override,
            since=now,
        ).note(
            now,
            f"{'undo: ' if undoes else ''}{name(stable)} → {name(candidate)}, asked for by {self.asked_by}{because}",
            asked_by=self.asked_by,
            reason=self.reason or self.override,
        )

    def repair(self, stable: Versions, cause: str) -> Release:
        """A release that does nothing but bring all traffic to ``stable``."""
        candidate = self.world.router.deployed()
        release = self.new(stable, candidate, commit=self.commit_tried(candidate))
        return roll_back(release, self.world.clock.now(), cause)

    def commit_tried(self, candidate: Versions) -> str | None:
        """The commit of the last release of ``candidate``, if that is on record: the checkout's head may be another."""
        history = self.world.records.latest(HISTORY)
        tried = (r for r in history if contains(candidate, r.candidate) and not r.undoes and r.commit)
        return next((release.commit for release in tried), None)

    def _commit_of(self, versions: Versions) -> str | None:
        """The commit of the release that made ``versions`` stable, if that is on record."""
        origin = previous_stable(versions, self.world.records.latest(HISTORY))
        return origin.commit if origin else None
