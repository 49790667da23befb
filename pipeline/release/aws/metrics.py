"""The data of each colour from CloudWatch: Lambda's metrics by alias and version, the functions' own by version.

Latencies come as counts per class (the statistic ``TC(low:high)``, "trimmed count": how many values are above ``low``
and not above ``high``), so that a rank test can use every request although CloudWatch keeps no single values.
CloudWatch serves minutes: the first one may hold some seconds of the step before, for both colours alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import names
from names import Colour, Function
from pipeline.aws import PlatformOutputs
from pipeline.release.aws import CLIENT_CONFIG, calling
from pipeline.release.ports import Unavailable
from pipeline.release.samples import EDGES_MS, Sample
from pipeline.release.traffic import ROUTED, Versions

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef

PERIOD_SECONDS = 60
CLASSES = [f"TC({low or ''}:{high})" for low, high in pairwise((*EDGES_MS, ""))]


@dataclass(frozen=True, kw_only=True)
class _Series:
    """One metric with one statistic, and where its sum belongs."""

    function: Function
    field: str
    namespace: str
    metric: str
    statistic: str
    dimensions: Mapping[str, str]


class AwsMetrics:
    """``Metrics`` of the platform whose stack has these ``outputs``."""

    def __init__(self, aws: boto3.Session, outputs: PlatformOutputs):
        self._cloudwatch = aws.client("cloudwatch", config=CLIENT_CONFIG)
        self._names = {function: outputs[function.name_output] for function in Function}

    def read(self, colour: Colour, versions: Versions, since: float, until: float) -> Mapping[Function, Sample]:
        wanted = [series for function in versions for series in self._series(function, colour, versions[function])]
        sums = self._sums(wanted, since, until)
        samples = {}
        for function in versions:
            mine = [(series, value) for series, value in zip(wanted, sums, strict=True) if series.function is function]
            errors = sum(value for series, value in mine if series.field == "errors")
            samples[function] = Sample(
                # Server errors come by log: before Lambda's count, or of a request to the candidate's own stage.
                requests=max(errors, sum(value for series, value in mine if series.field == "requests")),
                errors=errors,
                latencies=tuple(value for series, value in mine if series.field == "latencies"),
            )
        return samples

    def _series(self, function: Function, colour: Colour, version: str) -> list[_Series]:
        name = self._names[function]
        alias = Colour.STABLE if function in ROUTED else colour
        dimensions = {"FunctionName": name, "Resource": f"{name}:{alias}"}
        if function in ROUTED:
            dimensions["ExecutedVersion"] = version

        def of_lambda(field: str, metric: str, statistic: str = "Sum") -> _Series:
            return _Series(
                function=function,
                field=field,
                namespace="AWS/Lambda",
                metric=metric,
                statistic=statistic,
                dimensions=dimensions,
            )

        found = [of_lambda("requests", "Invocations"), of_lambda("errors", "Errors")]
        found += [of_lambda("latencies", "Duration", statistic) for statistic in CLASSES]
        # Server errors that the function answered itself; those that it died of are Lambda's errors above.
        found.append(
            _Series(
                function=function,
                field="errors",
                namespace=names.METRICS,
                metric="ServerErrors",
                statistic="Sum",
                dimensions={"service": names.service(function), "FunctionVersion": version},
            )
        )
        return found

    def _sums(self, wanted: list[_Series], since: float, until: float) -> list[int]:
        queries: list[MetricDataQueryTypeDef] = [
            {
                "Id": f"m{index}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": series.namespace,
                        "MetricName": series.metric,
                        "Dimensions": [{"Name": key, "Value": value} for key, value in series.dimensions.items()],
                    },
                    "Period": PERIOD_SECONDS,
                    "Stat": series.statistic,
                },
            }
            for index, series in enumerate(wanted)
        ]
        sums = [0.0] * len(wanted)
        # A successful answer may contain a failed series with few values or none. That does not mean no errors.
        statuses = dict.fromkeys((query["Id"] for query in queries), "missing")
        with calling("reading the metrics"):
            pages = self._cloudwatch.get_paginator("get_metric_data").paginate(
                MetricDataQueries=queries,
                StartTime=datetime.fromtimestamp(since, UTC),
                EndTime=datetime.fromtimestamp(until, UTC),
            )
            for page in pages:
                for result in page["MetricDataResults"]:
                    sums[int(result["Id"][1:])] += sum(result["Values"])
                    statuses[result["Id"]] = result.get("StatusCode", "missing")  # the last page's counts
        for series, status in zip(wanted, statuses.values(), strict=True):
            if status != "Complete":
                raise Unavailable(f"reading the metrics: {series.metric} of {series.function} is {status}")
        return [round(value) for value in sums]
