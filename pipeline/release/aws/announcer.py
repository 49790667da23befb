"""Messages to the people on duty (SNS), and the candidate's weight as a metric for the dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import names
from pipeline.aws import PlatformOutputs
from pipeline.release.aws import PROMPT_CONFIG, calling
from pipeline.release.record import Release
from pipeline.release.view import describe, name

if TYPE_CHECKING:
    import boto3

SUBJECT_LENGTH = 100
"""The limit of an SNS message, in characters."""


class AwsAnnouncer:
    """``Announcer`` to the platform's alert topic."""

    def __init__(self, aws: boto3.Session, outputs: PlatformOutputs):
        self._sns = aws.client("sns", config=PROMPT_CONFIG)
        self._cloudwatch = aws.client("cloudwatch", config=PROMPT_CONFIG)
        self._topic = outputs["AlertTopicArn"]

    def announce(self, release: Release) -> None:
        event = release.events[-1]
        if event.notify:
            subject = f"Payments {release.environment}: {release.phase}, {name(release.candidate)}"
            with calling("publishing to the alert topic"):
                self._sns.publish(
                    TopicArn=self._topic, Subject=subject[:SUBJECT_LENGTH], Message="\n".join(describe(release))
                )

    def measure(self, release: Release) -> None:
        with calling("publishing the candidate's weight"):
            self._cloudwatch.put_metric_data(
                Namespace=names.RELEASE_METRICS,
                MetricData=[
                    {
                        "MetricName": names.CANDIDATE_WEIGHT,
                        "Dimensions": [{"Name": "Environment", "Value": release.environment}],
                        "Value": 0 if release.finished else release.weight,
                        "Unit": "Percent",
                    }
                ],
            )
