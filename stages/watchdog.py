"""The watchdog of releases, ``pipeline.release.watchdog``, as a function that EventBridge calls."""

import dataclasses
from collections.abc import Mapping, Sequence

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from constructs import Construct

from environments import Environment
from names import ReleaseMetric
from stages.compute import Compute
from stages.dashboard import release_metric
from stages.function import FunctionBase, PlatformFunction
from stages.monitoring import Monitoring
from stages.watchdog_bundle import HANDLER, watchdog_asset

UNATTENDED_SECONDS = 180
"""Half a minute to see that a controller is dead, one until the next look, and one more for the roll-back itself."""


class Watchdog(Construct):
    """It runs every minute, and at once when a rollback alarm rings.

    Its alarms tell when it does not run, when it could not end a release that nobody drives, and when traffic is where
    no release left it.

    ``outputs``: the stack's outputs that the release controller reads. ``statements``: the rights to move traffic.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        base: FunctionBase,
        outputs: Mapping[str, str],
        statements: Sequence[iam.PolicyStatement],
        compute: Compute,
        monitoring: Monitoring,
    ) -> None:
        super().__init__(scope, id)
        watchdog = PlatformFunction(
            self,
            "Function",
            base=dataclasses.replace(base, code=watchdog_asset()),
            name="watchdog",
            handler=HANDLER,
            description="Ends a release that nobody drives, and tells of traffic that no release explains",
            environment={"PLATFORM_OUTPUTS": Stack.of(self).to_json_string(dict(outputs))},
            statements=statements,
            # A roll-back takes seconds. If AWS lets it fail for so long, the next run goes on with it.
            timeout=Duration.minutes(5),
        )
        schedule = watchdog.run_every(Duration.minutes(1))
        # An alias that is not created yet would be drift to it.
        schedule.node.add_dependency(compute)
        self._run_on(
            watchdog,
            {
                "source": ["aws.cloudwatch"],
                "detail-type": ["CloudWatch Alarm State Change"],
                "resources": [alarm.alarm_arn for alarm in monitoring.rollback_alarms],
                "detail": {"state": {"value": ["ALARM"]}},
            },
        )
        self._alarms(base.environment, monitoring)

    def _run_on(self, watchdog: PlatformFunction, event_pattern: Mapping[str, object]) -> None:
        function = watchdog.function
        rule = events.CfnRule(
            self,
            "OnAlarm",
            description=f"A rollback alarm rings: runs {watchdog.function_name}",
            event_pattern=event_pattern,
            targets=[events.CfnRule.TargetProperty(id="function", arn=function.function_arn)],
        )
        function.add_permission(
            "OnAlarm", principal=iam.ServicePrincipal("events.amazonaws.com"), source_arn=rule.attr_arn
        )

    @staticmethod
    def _alarms(environment: Environment, monitoring: Monitoring) -> None:
        monitoring.alarm(
            "WatchdogSilent",
            "watchdog-silent",
            "The watchdog of releases has not looked for 5 minutes, or could not: see its log. Until it does, a "
            "release whose controller dies stays where it is",
            runbook="watchdog-silent",
            metric=release_metric(environment, ReleaseMetric.WATCHDOG_RUNS, "Sum"),
            threshold=1,
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            missing=cloudwatch.TreatMissingData.BREACHING,
            datapoints_to_alarm=5,
            evaluation_periods=5,
        )
        monitoring.alarm(
            "ReleaseUnattended",
            "release-unattended",
            "A release is under way, nobody drives it, and the watchdog could not end it",
            runbook="nobody-drives",
            metric=release_metric(environment, ReleaseMetric.LAST_ROUND_AGE, "Maximum"),
            threshold=UNATTENDED_SECONDS,
        )
        monitoring.alarm(
            "ReleaseDrift",
            "release-drift",
            "Traffic is not where the last release left it, and the watchdog does not touch it",
            runbook="drift",
            metric=release_metric(environment, ReleaseMetric.DRIFT, "Maximum"),
            threshold=0,
        )
