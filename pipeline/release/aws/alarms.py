"""The alarms that end a release, and those that keep one from starting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.release.aws import CLIENT_CONFIG, calling
from pipeline.release.ports import Missing

if TYPE_CHECKING:
    import boto3


class AwsAlarms:
    """``Alarms`` with these names, of a platform whose target group green has the ARN ``green``."""

    def __init__(self, aws: boto3.Session, *, rollback: Sequence[str], freeze: Sequence[str], green: str):
        self._green = {"Name": "TargetGroup", "Value": green.rpartition(":")[2]}
        self._cloudwatch = aws.client("cloudwatch", config=CLIENT_CONFIG)
        self._rollback = list(rollback)
        self._freeze = list(freeze)

    def ringing(self) -> Sequence[str]:
        return self._in_alarm(self._rollback)

    def beyond_green(self) -> Sequence[str]:
        alarms = self._described(self._rollback)
        return [name for name, alarm in alarms.items() if self._green not in _dimensions(alarm)]

    def freezing(self) -> Sequence[str]:
        return self._in_alarm(self._freeze) if self._freeze else []

    def _in_alarm(self, names: list[str]) -> Sequence[str]:
        return [name for name, alarm in self._described(names).items() if alarm["StateValue"] == "ALARM"]

    def _described(self, names: list[str]) -> Mapping[str, Mapping[str, Any]]:
        """The alarms, in the order of their names. Raises ``Missing`` when there is none of one name."""
        with calling("reading the alarms"):
            found = self._cloudwatch.describe_alarms(AlarmNames=names, AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        alarms: dict[str, Mapping[str, Any]] = {alarm["AlarmName"]: alarm for alarm in found["MetricAlarms"]}
        alarms |= {alarm["AlarmName"]: alarm for alarm in found["CompositeAlarms"]}
        if missing := [name for name in names if name not in alarms]:
            way_on = "only a deployment that changes it brings it back"
            raise Missing(f"reading the alarms: there is no alarm {', '.join(missing)}; {way_on}")
        return {name: alarms[name] for name in names}


def _dimensions(alarm: Mapping[str, Any]) -> Sequence[Mapping[str, str]]:
    """The dimensions of the alarm's metric, or of all metrics in its expression."""
    measured = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query]
    return [dimension for metric in (alarm, *measured) for dimension in metric.get("Dimensions", [])]
