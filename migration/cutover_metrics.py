"""What both sides of a cut-over did with payments: the platform's API, and what the old system publishes of itself."""

from collections.abc import Mapping

import boto3

import names
from migration.weighted_records import Side
from names import Colour, Function
from pipeline.aws import PlatformOutputs
from pipeline.release.aws.metrics import CLASSES, AwsMetrics, MetricTiming, Series
from pipeline.release.samples import Samples
from pipeline.release.traffic import Versions

PAYMENTS = Function.PROCESSING
"""The route that is compared. The others change nothing, and were compared in shadow."""


class CutOverMetrics(AwsMetrics):
    """``Metrics`` of the sides, in which API Gateway and the old system count for themselves."""

    def __init__(self, aws: boto3.Session, outputs: PlatformOutputs, environment: str, timing: MetricTiming):
        super().__init__(aws, outputs, timing)
        route = {"Resource": PAYMENTS.path, "Method": PAYMENTS.method}
        self._sources: dict[str, tuple[str, Mapping[str, str], tuple[str, str, str]]] = {
            Side.OLD: (names.OLD_SYSTEM_METRICS, {"Environment": environment}, ("Requests", "Errors", "Latency")),
            Side.NEW: (
                "AWS/ApiGateway",
                {"ApiName": names.platform(environment), "Stage": environment, **route},
                ("Count", "5XXError", "Latency"),
            ),
        }

    def read(self, stable: Versions, candidate: Versions, since: float, now: float) -> tuple[Samples, Samples]:
        return super().read({PAYMENTS: stable[PAYMENTS]}, {PAYMENTS: candidate[PAYMENTS]}, since, now)

    def _series(self, function: Function, stable: Versions, candidate: Versions) -> list[Series]:
        sides = {Colour.STABLE: stable[function], Colour.CANDIDATE: candidate[function]}
        found = []
        for side in dict.fromkeys(sides.values()):
            if side not in self._sources:  # an address that is neither side's has no metrics
                continue
            namespace, dimensions, (requests, errors, latency) = self._sources[side]
            for field, metric, statistic in (
                ("requests", requests, "Sum"),
                ("errors", errors, "Sum"),
                *(("latencies", latency, statistic) for statistic in CLASSES),
            ):
                found.append(
                    Series(
                        function=function,
                        colours=tuple(colour for colour in Colour if sides[colour] == side),
                        field=field,
                        namespace=namespace,
                        metric=metric,
                        statistic=statistic,
                        dimensions=dimensions,
                    )
                )
        return found
