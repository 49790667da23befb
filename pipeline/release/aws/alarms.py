"""The platform's rollback alarms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.release.aws import CLIENT_CONFIG, calling
from pipeline.release.ports import Unavailable

if TYPE_CHECKING:
    import boto3


class AwsAlarms:
    """``Alarms`` of the given names."""

    def __init__(self, aws: boto3.Session, names: Sequence[str]):
        self._cloudwatch = aws.client("cloudwatch", config=CLIENT_CONFIG)
        self._names = list(names)

    def ringing(self) -> Sequence[str]:
        with calling("reading the alarms"):
            found = self._cloudwatch.describe_alarms(
                AlarmNames=self._names, AlarmTypes=["MetricAlarm", "CompositeAlarm"]
            )
        states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in found["MetricAlarms"]}
        states |= {alarm["AlarmName"]: alarm["StateValue"] for alarm in found["CompositeAlarms"]}
        if missing := [name for name in self._names if name not in states]:
            raise Unavailable(f"reading the alarms: there is no alarm {', '.join(missing)}")
        return [name for name in self._names if states[name] == "ALARM"]
