"""A controller on the fake AWS, with a clock that tests turn."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from environments import ReleaseSettings
from pipeline.release.aws.alarms import AwsAlarms
from pipeline.release.aws.announcer import AwsAnnouncer
from pipeline.release.aws.metrics import AwsMetrics, MetricTiming
from pipeline.release.aws.records import AwsRecords
from pipeline.release.aws.traffic import AwsTraffic
from pipeline.release.commands import Commands
from pipeline.release.controller import World
from pipeline.release.new_release import NewReleases
from pipeline.release.plan import Plan
from pipeline.release.ports import OperatorRequest, TrafficRouter
from pipeline.release.watchdog import NoMetrics, Watchdog
from tests.unit.pipeline.release.fake_aws import OUTPUTS, FakeAws

PLAN = Plan(weights=(10, 25, 50, 100), bake_seconds=60, hold_seconds=120)


class FakeClock:
    """Time passes only by sleeping; ``at`` makes something happen when it has come."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0
        self.interrupted = False
        self.interrupted_twice = False
        self.loses_requests = False
        self.lost_everywhere_at = 0.0
        self._planned: list[tuple[float, Callable[[], None]]] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0.1, "a controller that hardly sleeps is a busy loop"
        self.time += seconds
        due = [plan for plan in self._planned if plan[0] <= self.time]
        self._planned = [plan for plan in self._planned if plan[0] > self.time]
        for _, happen in due:
            happen()

    def after(self, seconds: float, happen: Callable[[], None]) -> None:
        self._planned.append((self.time + seconds, happen))

    def forget(self) -> None:
        """Cancel all planned events."""
        self._planned.clear()

    def interrupt(self) -> None:
        self.interrupted_twice = self.interrupted
        self.interrupted = True


class Bench:
    """One environment, and as many controllers for it as a test likes."""

    def __init__(self, *, stable: str = "1", candidate: str = "2", plan: Plan = PLAN) -> None:
        self.aws = FakeAws(stable=stable, candidate=candidate)
        self.clock = FakeClock()
        self.plan = plan
        self.timing = MetricTiming(minute=1, delay=0.0)
        """At once, so that tests need not wait; those of late metrics set another."""
        self.settings = ReleaseSettings()
        self.commit = "c0ffee"
        self.build_ends: float | None = None
        self.messages: list[str] = []

    def controller(
        self,
        holder: str = "ann",
        *,
        override: str | None = None,
        dry_run: bool = False,
        reason: str | None = None,
    ) -> Commands:
        """The commands, in the hands of a new process."""
        aws: Any = self.aws
        return Commands(
            environment="test",
            settings=self.settings,
            plan=self.plan,
            world=World(
                router=self.router(),
                alarms=AwsAlarms(
                    aws,
                    rollback=OUTPUTS["RollbackAlarmNames"].split(","),
                    freeze=self.settings.freeze_alarms,
                    green=OUTPUTS["GreenTargetGroupArn"],
                ),
                metrics=AwsMetrics(aws, OUTPUTS, self.timing, self.plan.metrics),
                records=AwsRecords(
                    aws,
                    table=OUTPUTS["ReleaseTableName"],
                    environment="test",
                    holder=holder,
                    now=self.clock.now,
                ),
                announcer=AwsAnnouncer(aws, OUTPUTS),
                clock=self.clock,
                tell=self.messages.append,
            ),
            asked_by=holder,
            commit=self.commit,
            reason=reason,
            override=override,
            build_ends=self.build_ends,
            dry_run=dry_run,
        )

    def router(self) -> TrafficRouter:
        aws: Any = self.aws
        return AwsTraffic(aws, OUTPUTS)

    def watchdog(self) -> Watchdog:
        """The watchdog, in a new process."""
        operator = self.controller("the watchdog")
        world = replace(operator.world, metrics=NoMetrics())
        releases = NewReleases(environment="test", plan=self.plan, world=world, asked_by="the watchdog")
        none: Any = SimpleNamespace(last=lambda: None)
        return Watchdog(world=world, releases=releases, cut_over=none)

    def ask(self, command: str, seconds: float | None = None) -> None:
        """Leave a request for the running controller, like the command of another process."""
        records = self.controller("bob").world.records
        release = records.latest(1)[0]
        records.ask(
            OperatorRequest(
                request_id=f"{command} {self.clock.time}",
                release_id=release.release_id,
                command=command,
                asked_by="bob",
                seconds=seconds,
            )
        )

    def seize(self, holder: str) -> AwsRecords:
        """The records of a controller that has just taken the lease over, after it had watched it for long enough."""
        self.aws.table.pop("lease", None)
        records = self.controller(holder).world.records
        assert isinstance(records, AwsRecords)
        records.acquire()
        return records

    def all_on(self, version: str) -> bool:
        """All production traffic goes to ``version``, in the steady state."""
        steady = self.aws.weights == {"blue": 100, "green": 0}
        return steady and all(share == {version: 1} for share in self.aws.shares().values())
