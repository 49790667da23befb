"""The watchdog: looks at an environment every minute, and ends a release that nobody drives.

It is one more controller, with the record, the lease and the machine of the others. It leaves a release to a controller
that lives, and takes no candidate forward: the minutes without a controller were judged by nobody, and the synthetic
requests around a release, which give each step its data, ended with the build that drove it.

Traffic that no record explains it only tells about. A person may have moved it for a reason that it does not know. A
cut-over that nobody drives it only tells about, too: both sides take payments, and the way back needs a person.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from names import ReleaseMetric
from pipeline.release.controller import World
from pipeline.release.driver import Driver
from pipeline.release.gauges import Gauge
from pipeline.release.guards import unexplained
from pipeline.release.lease import lease
from pipeline.release.machine import roll_back, take_over
from pipeline.release.new_release import NewReleases
from pipeline.release.outcome import ended
from pipeline.release.ports import LeaseHeld, Missing, Records, Unavailable
from pipeline.release.record import Phase, Release
from pipeline.release.samples import Samples
from pipeline.release.traffic import Versions
from pipeline.release.view import name, when

LOOK_AGAIN_SECONDS = 5.0
"""Lambda and ELB may answer once with an older state, and a release may begin while the watchdog looks."""


class NoMetrics:
    """``Metrics`` of a controller that judges no candidate."""

    def read(self, stable: Versions, candidate: Versions, since: float, now: float) -> tuple[Samples, Samples]:
        raise Unavailable("the watchdog judges no candidate")


@dataclass(frozen=True, kw_only=True)
class Watchdog:
    """Of one environment."""

    world: World
    releases: NewReleases
    cut_over: Records
    """Those of the environment's cut-over."""

    def run(self) -> str:
        """Look once, do what there is to do, and say what that was. It takes seconds, or half a minute when a lease
        must be watched.

        Raises ``Unavailable`` when AWS did not answer; ``LeaseLost`` when somebody else took the release over. Then
        the metric that counts the runs has no value.
        """
        last = self.world.records.last()
        left = last if last and not last.finished else None
        rests = left is not None and self._rests(left)
        found = None if left else self._drift(last)
        age = max(self._round_age(self.world.records, left), self._round_age(self.cut_over, self.cut_over.last()))
        self._measure(
            Gauge(metric=ReleaseMetric.LAST_ROUND_AGE, value=age, unit="Seconds"),
            Gauge(metric=ReleaseMetric.DRIFT, value=1 if found else 0),
        )
        text = found or "nothing to do"
        if left:
            text = f"release {left.release_id} rests until {when(left.pause_ends)}" if rests else self._end(left)
        self._measure(Gauge(metric=ReleaseMetric.WATCHDOG_RUNS, value=1))
        return text

    def _end(self, left: Release) -> str:
        try:
            with lease(self.world):
                last = self.world.records.last()
                if last is None or last.finished or last.release_id != left.release_id:
                    return f"release {left.release_id} has been ended meanwhile"
                onward = onwards(last, self.world.clock.now(), self._ringing(last))
                return ended(Driver(self.world, self.releases).drive(onward)).text
        except LeaseHeld as held:
            return f"release {left.release_id} is driven by {held.holder}"

    def _rests(self, release: Release) -> bool:
        """Whether it is paused and nothing ends the pause now. A pause keeps its end when its controller dies."""
        in_time = release.phase is Phase.PAUSED and self.world.clock.now() < release.pause_ends
        return in_time and not self._ringing(release)

    def _ringing(self, release: Release) -> Sequence[str]:
        """The alarms that end a pause of ``release``."""
        if release.phase is not Phase.PAUSED:
            return []
        return [alarm for alarm in self.world.alarms.ringing() if alarm not in release.ignored_alarms]

    def _round_age(self, records: Records, release: Release | None) -> float:
        """Seconds since a controller of ``release`` was heard of, without those of a pause, which needs none. 0 when it
        is over."""
        if release is None or release.finished:
            return 0.0
        held = records.lease()
        heard = held.renewed if held else release.events[-1].at
        if release.phase is Phase.PAUSED:
            heard = max(heard, release.pause_ends)
        return max(0.0, self.world.clock.now() - heard)

    def _drift(self, last: Release | None) -> str | None:
        """Why no record explains the traffic; ``None`` if one does, or if somebody is at work."""
        if self._drift_now(last) is None:
            return None
        self.world.clock.sleep(LOOK_AGAIN_SECONDS)
        return self._drift_now(self.world.records.last())

    def _drift_now(self, last: Release | None) -> str | None:
        if last and not last.finished:
            return None
        try:
            return unexplained(self.world.router.read(), last)
        except Missing as error:
            return f"drift: {error}"

    def _measure(self, *gauges: Gauge) -> None:
        self.world.announcer.measure(self.releases.environment, gauges)


def onwards(left: Release, now: float, ringing: Sequence[str]) -> Release:
    """The record with which the watchdog continues ``left``, which nobody drives. ``ringing``: alarms that end a pause.

    A promotion is finished, because all traffic is on the candidate already. An undo is finished at once, because the
    way back would lead to the bad version that it leaves. Every other release goes back.
    """
    taken = take_over(left, now)
    if left.phase in (Phase.PROMOTING, Phase.ROLLING_BACK):
        return taken
    if ringing:
        return roll_back(taken, now, f"alarm: {', '.join(ringing)}", rejected=True)
    if left.phase is Phase.PAUSED:
        return roll_back(taken, now, "paused for all its time, and nobody resumed it")
    if left.undoes:
        return taken.to(Phase.PROMOTING, now, f"nobody drives the undo: {name(left.candidate)} is made stable at once")
    return roll_back(taken, now, f"nobody has driven it since {when(left.events[-1].at)}")
