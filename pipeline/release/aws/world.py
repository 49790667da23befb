"""An environment on AWS, through all ports of the controller."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from environments import Environment
from pipeline.aws import PlatformOutputs
from pipeline.release.aws.alarms import AwsAlarms
from pipeline.release.aws.announcer import AwsAnnouncer
from pipeline.release.aws.metrics import AwsMetrics, MetricTiming
from pipeline.release.aws.records import AwsRecords
from pipeline.release.aws.traffic import AwsTraffic
from pipeline.release.controller import World
from pipeline.release.plan import bake_scale
from pipeline.release.ports import Clock

if TYPE_CHECKING:
    import boto3


def aws_world(
    settings: Environment,
    aws: boto3.Session,
    outputs: PlatformOutputs,
    *,
    holder: str,
    clock: Clock,
    tell: Callable[[str], None],
) -> World:
    """``outputs``: of the platform's stack. ``holder``: the name in the lease, if this process takes it."""
    return World(
        router=AwsTraffic(aws, outputs),
        alarms=AwsAlarms(
            aws,
            rollback=outputs["RollbackAlarmNames"].split(","),
            freeze=settings.release.freeze_alarms,
            green=outputs["GreenTargetGroupArn"],
        ),
        metrics=AwsMetrics(aws, outputs, MetricTiming.scaled(bake_scale()), settings.release.metrics),
        records=AwsRecords(
            aws, table=outputs["ReleaseTableName"], environment=settings.name, holder=holder, now=clock.now
        ),
        announcer=AwsAnnouncer(aws, outputs),
        clock=clock,
        tell=tell,
    )
