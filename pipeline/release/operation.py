"""What the operators' commands share: the world they work on, the person who gives them, lease, guards, takeover."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from environments import ReleaseSettings
from pipeline.release.asking import Asking
from pipeline.release.controller import World
from pipeline.release.driver import Driver
from pipeline.release.emergency import Emergency
from pipeline.release.guards import Refusal, closed
from pipeline.release.lease import lease
from pipeline.release.new_release import NewReleases
from pipeline.release.outcome import Outcome, Why, done, ended, refused
from pipeline.release.plan import Plan
from pipeline.release.ports import Unavailable, Unreadable
from pipeline.release.record import Phase, Release
from pipeline.release.traffic import Traffic
from pipeline.release.view import preview_lines


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One environment, in the hands of one person."""

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
    build_ends: float | None = None
    """When the pipeline's build that this process runs in is ended."""
    dry_run: bool = False
    """Show the calls that would be made, and make none."""

    @property
    def _releases(self) -> NewReleases:
        return NewReleases(
            environment=self.environment,
            plan=self.plan,
            world=self.world,
            asked_by=self.asked_by,
            commit=self.commit,
            override=self.override,
            reason=self.reason,
        )

    @property
    def _driver(self) -> Driver:
        return Driver(self.world, self._releases, self.build_ends)

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
        return Asking(
            world=self.world, driver=self._driver, asked_by=self.asked_by, reason=self.reason, guard=self._guard
        )

    @property
    def _emergency(self) -> Emergency:
        return Emergency(world=self.world, releases=self._releases, asking=self._asking)

    def _traffic(self) -> Traffic:
        """The traffic. If it is not steady it is read again, because AWS may answer once with an older state."""
        traffic = self.world.router.read()
        if not traffic.is_steady:
            self.world.clock.sleep(1.0)
            traffic = self.world.router.read()
        return traffic

    def _closed(self) -> Sequence[Refusal]:
        """The reasons for which nothing moves forward now."""
        world = self.world
        return list(
            closed(
                now=world.clock.now(),
                windows=self.settings.windows,
                frozen_by=world.alarms.freezing(),
                freeze=world.records.freeze(),
            )
        )

    def _guard(self, left: Release) -> Sequence[Refusal]:
        """The reasons for which ``left``, which nobody drives, may not go forward now. An undo goes on, because it
        leaves a bad version, and a promotion, because all traffic is on the candidate already."""
        overridden = self.override or left.override
        if overridden or left.undoes or left.phase in (Phase.PROMOTING, Phase.ROLLING_BACK):
            return []
        try:
            return self._closed()
        except Unavailable as error:
            return [Refusal(Why.FROZEN, f"whether it is frozen can't be read: {error}")]

    def _under_way(self) -> Outcome | None:
        left = self._driver.unfinished()
        return self._busy(left) if left else None

    def _busy(self, left: Release) -> Outcome:
        return refused(f"release {left.release_id} is under way; `abort` it first", Why.UNDER_WAY)

    def _readable_under_way(self) -> Release | None:
        """The release that is under way. A record that can't be read keeps no exit shut."""
        try:
            return self._driver.unfinished()
        except Unreadable as error:
            self.world.tell(f"  {error}")
            return None

    def _last_is_unreadable(self) -> bool:
        return bool(self.world.records.unreadable(1))

    def _start(self, release: Release, traffic: Traffic) -> Outcome:
        return self._preview(release, traffic) if self.dry_run else ended(self._driver.drive(release))

    def _preview(self, release: Release, traffic: Traffic) -> Outcome:
        calls = list(preview_lines(release, traffic))
        return done("\n".join(["dry run: nothing is moved", *calls]), details={"calls": calls})
