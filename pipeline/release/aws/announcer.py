"""Messages to people (mail by SNS, chat rooms by web hooks), events for programs (EventBridge), and metrics for the
dashboard and alarms."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import names
from pipeline.aws import PlatformOutputs
from pipeline.release.aws import PROMPT_CONFIG, calling
from pipeline.release.aws.webhooks import Webhooks
from pipeline.release.gauges import Gauge
from pipeline.release.notice import Notice
from pipeline.release.ports import Unavailable
from pipeline.release.record import Release

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudwatch.type_defs import MetricDatumTypeDef

SUBJECT_LENGTH = 100
"""The limit of an SNS message, in characters."""


class AwsAnnouncer:
    """``Announcer`` to the platform's alert topic, the account's default event bus, and the environment's web hooks.

    ``has_reports``: whether this process writes the release's report, to which messages then link.
    """

    def __init__(self, aws: boto3.Session, outputs: PlatformOutputs, *, has_reports: bool = True):
        self._has_reports = has_reports
        self._sns = aws.client("sns", config=PROMPT_CONFIG)
        self._events = aws.client("events", config=PROMPT_CONFIG)
        self._cloudwatch = aws.client("cloudwatch", config=PROMPT_CONFIG)
        self._webhooks = Webhooks(aws)
        self._topic = outputs["AlertTopicArn"]
        self._dashboard = outputs.values.get("DashboardUrl")  # in an emergency it may be unknown

    def announce(self, release: Release) -> None:
        if release.events[-1].notify:
            notice = self._notice(release)
            with calling("publishing to the alert topic"):
                self._sns.publish(TopicArn=self._topic, Subject=notice.headline[:SUBJECT_LENGTH], Message=notice.text)

    def post(self, release: Release) -> None:
        if release.events[-1].notify:
            self._webhooks.post(self._notice(release))

    def publish(self, release: Release) -> None:
        detail = json.dumps(self._notice(release).document())
        with calling("putting an event on the bus"):
            [result] = self._events.put_events(
                Entries=[{"Source": names.RELEASE_EVENTS, "DetailType": names.RELEASE_EVENT, "Detail": detail}]
            )["Entries"]
        if "ErrorCode" in result:
            raise Unavailable(f"putting an event on the bus: {result['ErrorCode']}: {result.get('ErrorMessage')}")

    def measure(self, environment: str, gauges: Sequence[Gauge]) -> None:
        data: list[MetricDatumTypeDef] = []
        for gauge in gauges:
            dimensions = {"Environment": environment} | ({"Outcome": gauge.outcome} if gauge.outcome else {})
            data.append(
                {
                    "MetricName": gauge.metric,
                    "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
                    "Value": gauge.value,
                    "Unit": gauge.unit,
                }
            )
        with calling("publishing the release's metrics"):
            self._cloudwatch.put_metric_data(Namespace=names.RELEASE_METRICS, MetricData=data)

    def _notice(self, release: Release) -> Notice:
        links = {"dashboard": self._dashboard} if self._dashboard else {}
        if self._has_reports:
            # CodeBuild's page of a build leads to its log and artifacts, of which the report is one.
            report = Path("reports") / release.environment / "release.html"
            links["report"] = os.environ.get("CODEBUILD_BUILD_URL") or str(report.absolute())
        return Notice(release=release, links=links)
