"""Drives a release to its end, and repairs the state after a lost lease."""

from contextlib import suppress
from dataclasses import dataclass, replace

from pipeline.release.controller import Controller, World
from pipeline.release.lease import lease
from pipeline.release.machine import roll_back, take_over
from pipeline.release.new_release import NewReleases
from pipeline.release.ports import LeaseHeld, LeaseLost, Unavailable
from pipeline.release.record import Release


@dataclass(frozen=True)
class Driver:
    """Needs the lease whenever it drives."""

    world: World
    releases: NewReleases
    build_ends: float | None = None
    """When the build that this process runs in is ended."""

    def unfinished(self) -> Release | None:
        """The release that is under way, if there is one; another controller may drive it. Raises ``Unreadable``."""
        last = self.world.records.last()
        return last if last and not last.finished else None

    def drive(self, release: Release) -> Release:
        """Take ``release`` to its end and return its last record. Raises as ``Controller.drive`` does."""
        try:
            return self._drive(release)
        except LeaseLost:
            ended = self._settle_after_lost_lease()
            if ended and ended.release_id == release.release_id:
                return ended
            raise

    def take_over(self, release: Release, *, back: str | None = None) -> Release:
        """Take ``release``, which another controller left, to its end and return its last record. ``back``: the reason
        for which it may only go back."""
        now = self.world.clock.now()
        taken = take_over(release, now)
        return self.drive(roll_back(taken, now, f"not continued: {back}") if back else taken)

    def _drive(self, release: Release) -> Release:
        controller = Controller(self.world)
        return controller.drive(controller.begin(replace(release, build_ends=self.build_ends)))

    def _settle_after_lost_lease(self) -> Release | None:
        """Finish the work after the lease was lost, if no other controller holds it now.

        The other controller may have died, or left without driving. Then its unfinished release is taken over. Or this
        controller hung between the renewal of its lease and its last call, and the other one ended the release
        meanwhile. Then traffic goes back to the state in the record. A controller that still works sees the effect of
        that call itself.

        This is tried once: if the lease is lost again, this process stops. Returns the release that was driven to its
        end, if there was one.
        """
        with suppress(LeaseHeld, LeaseLost, Unavailable), lease(self.world):
            last = self.world.records.last()
            if last and not last.finished:
                return self._drive(take_over(last, self.world.clock.now()))
            if last and not self.world.router.read().satisfies(last.traffic):
                cause = "a call of a controller that had lost its lease came too late"
                self._drive(self.releases.repair(last.traffic.stable, cause))
        return None
