"""The watchdog as a Lambda function, which EventBridge calls. ``stages.watchdog`` gives it the platform's outputs."""

from __future__ import annotations

import json
import os
from functools import cache
from typing import Any

import boto3

import names
from environments import environment
from pipeline.aws import PlatformOutputs
from pipeline.output import say
from pipeline.release.aws.alarms import AwsAlarms
from pipeline.release.aws.announcer import AwsAnnouncer
from pipeline.release.aws.records import AwsRecords
from pipeline.release.aws.traffic import AwsTraffic
from pipeline.release.clock import SystemClock
from pipeline.release.controller import World
from pipeline.release.new_release import NewReleases
from pipeline.release.plan import Plan
from pipeline.release.watchdog import NoMetrics, Watchdog


def handler(_event: Any, _context: Any) -> str:
    """Look once. An alarm's event and a schedule's are the same to it."""
    text = _watchdog().run()
    say(text)
    return text


@cache
def _watchdog() -> Watchdog:
    """Kept between two calls, and with it the lease of another controller that it has watched since the first."""
    settings, aws = environment(os.environ["ENVIRONMENT"]), boto3.Session()
    outputs = PlatformOutputs(stack_name=names.stack(settings.name), values=json.loads(os.environ["PLATFORM_OUTPUTS"]))
    world = World(
        router=AwsTraffic(aws, outputs),
        alarms=AwsAlarms(
            aws, rollback=outputs["RollbackAlarmNames"].split(","), freeze=(), green=outputs["GreenTargetGroupArn"]
        ),
        metrics=NoMetrics(),
        records=_records(aws, outputs, settings.name),
        announcer=AwsAnnouncer(aws, outputs, has_reports=False),
        clock=SystemClock(),
        tell=say,
    )
    plan = Plan.of(settings.release)
    return Watchdog(
        world=world,
        releases=NewReleases(environment=settings.name, plan=plan, world=world, asked_by="the watchdog"),
        cut_over=_records(aws, outputs, names.cut_over(settings.name)),
    )


def _records(aws: boto3.Session, outputs: PlatformOutputs, environment: str) -> AwsRecords:
    return AwsRecords(aws, table=outputs["ReleaseTableName"], environment=environment, holder="the watchdog")
