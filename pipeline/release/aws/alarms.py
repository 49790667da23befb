"""The alarms that end a release, and those that keep one from starting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.release.aws import CLIENT_CONFIG, calling
from pipeline.release.ports import Unavailable

if TYPE_CHECKING:
    import boto3


class AwsAlarms:
    """``Alarms`` with these names."""

    def __init__(self, aws: boto3.Session, *, rollback: Sequence[str], freeze: Sequence[str]):
        self._cloudwatch = aws.client("cloudwatch", config=CLIENT_CONFIG)
        self._rollback = list(rollback)
        self._freeze = list(freeze)

    def ringing(self) -> Sequence[str]:
        return self._in_alarm(self._rollback)

    def freezing(self) -> Sequence[str]:
        return self._in_alarm(self._freeze) if self._freeze else []

    def _in_alarm(self, names: list[str]) -> Sequence[str]:
        with calling("reading the alarms"):
            found = self._cloudwatch.describe_alarms(AlarmNames=names, AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in found["MetricAlarms"]}
        states |= {alarm["AlarmName"]: alarm["StateValue"] for alarm in found["CompositeAlarms"]}
        if missing := [name for name in names if name not in states]:
            raise Unavailable(f"reading the alarms: there is no alarm {', '.join(missing)}")
        return [name for name in names if states[name] == "ALARM"]
