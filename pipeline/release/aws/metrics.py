"""The data of stable and candidate from CloudWatch: Lambda's metrics by alias and version, the functions' by version.

Latencies come as counts per class (the statistic ``TC(low:high)``, "trimmed count": how many values are above ``low``
and not above ``high``), so that a rank test can use every request although CloudWatch keeps no single values.

**Minutes.** CloudWatch rounds ``StartTime`` down to the whole minute (API reference of GetMetricData), and Lambda sends
once a minute, some time after it. So only whole minutes that lie inside the asked time and are old enough are read.

**Versions.** Lambda documents the dimension ``ExecutedVersion`` for weighted aliases ("Types of metrics for Lambda
functions"). An alias without weights may have no such series, so a function that is not changed by the release is read
by its aliases alone: both versions are one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import names
from environments import Count, MetricSettings
from names import Colour, Function
from pipeline.aws import PlatformOutputs
from pipeline.release.aws import CLIENT_CONFIG, calling
from pipeline.release.ports import Unavailable
from pipeline.release.samples import EDGES_MS, Sample, Samples
from pipeline.release.traffic import ROUTED, Versions

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef

MINUTE_SECONDS = 60
DELAY_SECONDS = 120.0
"""The age at which a minute is taken for complete. AWS promises none; one to three minutes are seen."""
CLASSES = [f"TC({low or ''}:{high})" for low, high in pairwise((*EDGES_MS, ""))]
LAMBDA_METRICS = (
    ("requests", "Invocations", "Sum"),
    ("errors", "Errors", "Sum"),
    *(("latencies", "Duration", statistic) for statistic in CLASSES),
)
"""Fields of a sample, each with the metric and the statistic that it comes from."""


@dataclass(frozen=True, kw_only=True)
class MetricTiming:
    """The length of CloudWatch's minutes, in seconds, and how long after its end one is taken for complete."""

    minute: int = MINUTE_SECONDS
    delay: float = DELAY_SECONDS

    @classmethod
    def scaled(cls, scale: float) -> MetricTiming:
        """Of a local cloud, where time is scaled. CloudWatch's periods are whole seconds."""
        return cls(minute=max(1, round(MINUTE_SECONDS * scale)), delay=DELAY_SECONDS * scale)

    def whole_minutes(self, since: float, now: float) -> tuple[int, int] | None:
        """Begin and end of the minutes that lie after ``since`` and are complete ``now``; ``None`` without any."""
        begin = math.ceil(since / self.minute) * self.minute
        end = math.floor((now - self.delay) / self.minute) * self.minute
        return (begin, end) if end > begin else None


@dataclass(frozen=True, kw_only=True)
class Series:
    """One metric with one statistic, and where its sum belongs."""

    function: Function
    colours: tuple[Colour, ...]
    """The colours that it tells about: both, where they have the same version."""
    field: str
    namespace: str
    metric: str
    statistic: str
    dimensions: Mapping[str, str]


class AwsMetrics:
    """``Metrics`` of the platform whose stack has these ``outputs``."""

    def __init__(
        self,
        aws: boto3.Session,
        outputs: PlatformOutputs,
        timing: MetricTiming = MetricTiming(),
        shares: Sequence[MetricSettings] = (),
    ):
        """``shares``: the metrics of the settings."""
        self._cloudwatch = aws.client("cloudwatch", config=CLIENT_CONFIG)
        self._timing = timing
        self._shares = shares
        self._names = {function: outputs[function.name_output] for function in Function}
        self._read: tuple[object, list[int]] = (None, [])
        """The last question and its answer. Whole minutes are complete: who asks again in the same one pays nothing."""

    def read(self, stable: Versions, candidate: Versions, since: float, now: float) -> tuple[Samples, Samples]:
        wanted = [series for function in stable for series in self._series(function, stable, candidate)]
        window = self._timing.whole_minutes(since, now)
        if window and self._read[0] != (wanted, window):
            self._read = (wanted, window), self._sums(wanted, *window)
        sums = self._read[1] if window else [0] * len(wanted)
        values = list(zip(wanted, sums, strict=True))
        return self._samples(stable, Colour.STABLE, values), self._samples(candidate, Colour.CANDIDATE, values)

    def _series(self, function: Function, stable: Versions, candidate: Versions) -> list[Series]:
        if stable[function] == candidate[function]:
            aliases = (Colour.STABLE,) if function in ROUTED else tuple(Colour)
            return self._version_series(function, tuple(Colour), stable[function], aliases)
        found = []
        for colour, versions in ((Colour.STABLE, stable), (Colour.CANDIDATE, candidate)):
            alias = Colour.STABLE if function in ROUTED else colour
            found += self._version_series(
                function, (colour,), versions[function], (alias,), by_version=function in ROUTED
            )
        return found

    def _version_series(
        self,
        function: Function,
        colours: tuple[Colour, ...],
        version: str,
        aliases: Sequence[Colour],
        *,
        by_version: bool = False,
    ) -> list[Series]:
        """The series of one version of a function, as it is called by ``aliases``; it is that of ``colours``."""
        name = self._names[function]

        def series(field: str, namespace: str, metric: str, statistic: str, dimensions: Mapping[str, str]) -> Series:
            return Series(
                function=function,
                colours=colours,
                field=field,
                namespace=namespace,
                metric=metric,
                statistic=statistic,
                dimensions=dimensions,
            )

        found = []
        for alias in aliases:
            dimensions = {"FunctionName": name, "Resource": f"{name}:{alias}"}
            if by_version:
                dimensions["ExecutedVersion"] = version
            found += [series(field, "AWS/Lambda", metric, stat, dimensions) for field, metric, stat in LAMBDA_METRICS]
        # Server errors that the function answered itself; those that it died of are Lambda's errors above.
        own = {"service": names.service(function), "FunctionVersion": version}
        found.append(series("errors", names.METRICS, "ServerErrors", "Sum", own))
        for share in self._shares:
            if function not in share.functions:
                continue
            counts = {f"some {share.name}": share.some} | ({f"all {share.name}": share.all} if share.all else {})
            for field, count in counts.items():
                for dimensions in _dimensions(count, function, name, version, aliases):
                    found.append(series(field, count.namespace, count.metric, count.statistic, dimensions))
        return found

    def _sums(self, wanted: list[Series], begin: int, end: int) -> list[int]:
        queries: list[MetricDataQueryTypeDef] = [
            {
                "Id": f"m{index}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": series.namespace,
                        "MetricName": series.metric,
                        "Dimensions": [{"Name": key, "Value": value} for key, value in series.dimensions.items()],
                    },
                    "Period": self._timing.minute,
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
                StartTime=datetime.fromtimestamp(begin, UTC),
                EndTime=datetime.fromtimestamp(end, UTC),
            )
            for page in pages:
                for result in page["MetricDataResults"]:
                    sums[int(result["Id"][1:])] += sum(result["Values"])
                    statuses[result["Id"]] = result.get("StatusCode", "missing")  # the last page's counts
        for series, status in zip(wanted, statuses.values(), strict=True):
            if status != "Complete":
                raise Unavailable(f"reading the metrics: {series.metric} of {series.function} is {status}")
        return [round(value) for value in sums]

    def _samples(self, functions: Iterable[Function], colour: Colour, values: Sequence[tuple[Series, int]]) -> Samples:
        found = {}
        for function in functions:
            own = [(series, value) for series, value in values if series.function is function]
            shares = [share for share in self._shares if function in share.functions]
            found[function] = _sample([each for each in own if colour in each[0].colours], shares)
        return found


def _dimensions(
    count: Count, function: Function, name: str, version: str, aliases: Sequence[Colour]
) -> list[dict[str, str]]:
    """The dimensions of a count in the settings: one set, or one for each alias if they name it."""
    found: list[dict[str, str]] = []
    for alias in aliases:
        values = {"version": version, "function": name, "service": names.service(function), "alias": alias}
        filled = {key: value.format(**values) for key, value in count.dimensions}
        if filled not in found:
            found.append(filled)
    return found


def _sample(values: Sequence[tuple[Series, int]], shares: Sequence[MetricSettings]) -> Sample:
    def sums(field: str, statistic: str | None = None) -> int:
        return sum(value for s, value in values if s.field == field and statistic in (None, s.statistic))

    errors = sums("errors")
    # Server errors come by log: before Lambda's count, or of a request to the candidate's own stage.
    requests = max(errors, sums("requests"))
    return Sample(
        requests=requests,
        errors=errors,
        latencies=tuple(sums("latencies", statistic) for statistic in CLASSES),
        shares={share.name: _share(share, sums, requests) for share in shares},
    )


def _share(share: MetricSettings, sums: Callable[[str], int], requests: int) -> tuple[int, int]:
    some = sums(f"some {share.name}")
    return some, max(some, requests if share.all is None else sums(f"all {share.name}"))
