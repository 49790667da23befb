"""Metrics in CloudWatch's embedded metric format: payments, amounts, fraud decisions and server errors."""

import os
from collections.abc import Iterable

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit, single_metric


def count(name: str, dimension: str, values: Iterable[str], *, synthetic: bool) -> None:
    """Count 1 for each of ``values`` of ``dimension``. The values come from fixed sets, never from a client.

    ``synthetic``: payments of load tests have metrics of their own, ``Synthetic<name>``, so that ``name`` counts real
    ones only.
    """
    for value in values:
        with single_metric(name=_named(name, synthetic), unit=MetricUnit.Count, value=1) as metric:
            metric.add_dimension(name=dimension, value=value)


def amount(currency: str, major_units: float, *, synthetic: bool) -> None:
    """Record a payment's amount under its currency. A float is exact enough for a statistic."""
    with single_metric(name=_named("Amount", synthetic), unit=MetricUnit.NoUnit, value=major_units) as metric:
        metric.add_dimension(name="Currency", value=currency)


def _named(name: str, synthetic: bool) -> str:
    return f"Synthetic{name}" if synthetic else name


def by_version(*names: str) -> None:
    """Count 1 for each of ``names`` under the function's version, by which a release compares candidate and stable.

    ``ServerErrors`` (5xx answers, which Lambda counts as successes), ``ClientErrors`` (4xx answers), ``Decided`` and
    ``Approved``.
    """
    metrics = EphemeralMetrics()
    metrics.add_dimension(name="FunctionVersion", value=os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"))
    for name in names:
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=1)
    metrics.flush_metrics()


def sweep(finished: int, left: int, oldest_seconds: float) -> None:
    """Record a sweep of pending payments and amendments, also one that found nothing."""
    for name, unit, value in (
        ("PendingFinished", MetricUnit.Count, finished),
        ("PendingLeft", MetricUnit.Count, left),
        ("PendingAge", MetricUnit.Seconds, oldest_seconds),
    ):
        with single_metric(name=name, unit=unit, value=value) as metric:
            metric.add_dimension(name="Environment", value=os.environ["ENVIRONMENT"])
