"""The dashboard of one environment."""

from collections.abc import Sequence

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

import names
from environments import Environment
from names import Colour, Function
from stages.api import Api
from stages.compute import Compute
from stages.load_balancer import LoadBalancer
from stages.storage import Storage
from stages.sweeper import sweep_metric

ONE_MINUTE = Duration.minutes(1)
FIVE_MINUTES = Duration.minutes(5)
TABLE_OPERATIONS = ("GetItem", "PutItem", "UpdateItem", "Query")
"""The operations of the functions on the transactions."""


def dashboard(
    scope: Construct,
    *,
    environment: Environment,
    storage: Storage,
    compute: Compute,
    balancer: LoadBalancer,
    api: Api,
) -> str:
    """Create the dashboard ``payment-<env>`` in ``scope``. Returns its URL in the console."""
    stage, table = api.stable_stage, storage.transactions
    functions = [function.function for function in compute.functions.values()]
    latencies = [stage.metric_latency(statistic=statistic, label=statistic) for statistic in ("p99", "p50")]
    # Lambda counts 0 or 1 error for each call, so the average is the share of failed calls.
    error_rates = [function.metric_errors(statistic="Average") for function in functions]
    capacity = [table.metric_consumed_read_capacity_units(), table.metric_consumed_write_capacity_units()]
    throttled = [
        table.metric_throttled_requests_for_operation(operation, label=operation) for operation in TABLE_OPERATIONS
    ]
    name = names.platform(environment.name)
    cloudwatch.Dashboard(
        scope,
        "Dashboard",
        dashboard_name=name,
        widgets=[
            [
                _graph("API Gateway latency (p99 and median)", latencies),
                _graph("API Gateway errors (4xx and 5xx)", [stage.metric_client_error(), stage.metric_server_error()]),
            ],
            [
                _graph("Lambda invocation counts", [function.metric_invocations() for function in functions]),
                _graph("Lambda error rates", error_rates),
            ],
            [
                _graph("DynamoDB read/write capacity", capacity),
                _graph("DynamoDB throttled requests", throttled),
            ],
            [
                _graph(
                    "Payments that a crash left pending: finished, and left",
                    [
                        sweep_metric(environment, name, "Sum", FIVE_MINUTES)
                        for name in (names.PENDING_FINISHED, names.PENDING_LEFT)
                    ],
                ),
                _graph(
                    "Age of the oldest pending payment, s",
                    [sweep_metric(environment, names.PENDING_AGE, "Maximum", FIVE_MINUTES)],
                ),
            ],
            _release_row(environment, compute, balancer),
            [
                _graph("Payments by outcome", _payments(names.PAYMENTS)),
                _graph("Synthetic payments by outcome", _payments(names.SYNTHETIC_PAYMENTS)),
            ],
            [
                _graph("Books: faults", [audit_metric(environment, names.AUDIT_FAULTS, "Maximum")]),
                _graph("Books: seals made", [audit_metric(environment, names.AUDIT_SEALS, "Sum")]),
            ],
        ],
    )
    region = Stack.of(scope).region
    return f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#dashboards:name={name}"


def audit_metric(environment: Environment, name: str, statistic: str) -> cloudwatch.Metric:
    """A metric of the sealing job, by the hour."""
    return cloudwatch.Metric(
        namespace=names.METRICS,
        metric_name=name,
        dimensions_map={"Environment": environment.name, "service": names.service(names.SEALING)},
        statistic=statistic,
        period=Duration.hours(1),
    )


def _graph(title: str, metrics: Sequence[cloudwatch.IMetric]) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=list(metrics), width=12)


def _payments(metric: str) -> list[cloudwatch.IMetric]:
    """Payments of real customers, or of the load test's, by outcome. An account's environments share these metrics."""
    return [
        cloudwatch.Metric(
            namespace=names.METRICS,
            metric_name=metric,
            dimensions_map={"Outcome": outcome, "service": names.service(Function.PROCESSING)},
            statistic="Sum",
            period=ONE_MINUTE,
            label=outcome,
        )
        for outcome in ("approved", "review", "declined")
    ]


def _release_row(environment: Environment, compute: Compute, balancer: LoadBalancer) -> list[cloudwatch.IWidget]:
    """Three graphs: the candidate's weight, and the error rate and the p99 of both versions.

    The changes of the weight mark the begin of a release, its steps, and its end or rollback.
    """
    weight = cloudwatch.Metric(
        namespace=names.RELEASE_METRICS,
        metric_name=names.CANDIDATE_WEIGHT,
        dimensions_map={"Environment": environment.name},
        statistic="Maximum",
        period=ONE_MINUTE,
        label="Candidate",
    )
    return [
        cloudwatch.GraphWidget(
            title="Release: weight of the candidate, %",
            left=[weight],
            left_y_axis=cloudwatch.YAxisProps(min=0, max=100),
            width=8,
        ),
        cloudwatch.GraphWidget(
            title="Release: error rate by version",
            left=[*_by_version(compute, "Errors", "Average"), *_server_errors(balancer)],
            width=8,
        ),
        cloudwatch.GraphWidget(
            title="Release: p99 by version, ms", left=_by_version(compute, "Duration", "p99"), width=8
        ),
    ]


def _by_version(compute: Compute, metric: str, statistic: str) -> list[cloudwatch.IMetric]:
    """Searches for the metrics of each alias by version. A search is needed because the template does not know the
    version of alias blue. During a shift it finds both versions under blue."""
    found: list[cloudwatch.IMetric] = []
    for function in compute.functions.values():
        name = function.function_name
        for colour in Colour:
            search = (
                f'{{AWS/Lambda,ExecutedVersion,FunctionName,Resource}} MetricName="{metric}" Resource="{name}:{colour}"'
            )
            found.append(
                cloudwatch.MathExpression(
                    expression=f"SEARCH('{search}', '{statistic}', 60)",
                    using_metrics={},
                    label="",
                    period=ONE_MINUTE,
                )
            )
    return found


def _server_errors(balancer: LoadBalancer) -> list[cloudwatch.IMetric]:
    """The share of requests that the function of /process answered with a server error."""
    groups = {
        Colour.STABLE: balancer.blue_target_group_name,
        Colour.CANDIDATE: balancer.green_target_group_name,
    }

    def metric(name: str, group: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/ApplicationELB",
            metric_name=name,
            dimensions_map={"LoadBalancer": balancer.full_name, "TargetGroup": group},
            statistic="Sum",
            period=ONE_MINUTE,
        )

    return [
        cloudwatch.MathExpression(
            expression=f"FILL({colour}_errors, 0) / {colour}_requests",
            using_metrics={
                f"{colour}_errors": metric("HTTPCode_Target_5XX_Count", group),
                f"{colour}_requests": metric("RequestCount", group),
            },
            label=f"{Function.PROCESSING.path} {colour}",
            period=ONE_MINUTE,
        )
        for colour, group in groups.items()
    ]
