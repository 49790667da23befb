"""The dashboard of one environment."""

from collections.abc import Sequence

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

import names
from environments import Environment
from names import Colour, Function, ReleaseMetric
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
                    "Payments and amendments that a crash left pending: finished, and left",
                    [
                        sweep_metric(environment, name, "Sum", FIVE_MINUTES)
                        for name in (names.PENDING_FINISHED, names.PENDING_LEFT)
                    ],
                ),
                _graph(
                    "Age of the oldest pending payment or amendment, s",
                    [sweep_metric(environment, names.PENDING_AGE, "Maximum", FIVE_MINUTES)],
                ),
            ],
            _release_row(environment, compute, balancer),
            _controller_row(environment),
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


def release_metric(
    environment: Environment, metric: ReleaseMetric, statistic: str, outcome: str | None = None
) -> cloudwatch.Metric:
    """A metric of release controller and watchdog, by the minute; of all releases, or those with ``outcome``."""
    return cloudwatch.Metric(
        namespace=names.RELEASE_METRICS,
        metric_name=metric,
        dimensions_map={"Environment": environment.name} | ({"Outcome": outcome} if outcome else {}),
        statistic=statistic,
        period=ONE_MINUTE,
        label=outcome,
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
    return [
        cloudwatch.GraphWidget(
            title="Release: weight of the candidate, %",
            left=[release_metric(environment, ReleaseMetric.CANDIDATE_WEIGHT, "Maximum")],
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


def _controller_row(environment: Environment) -> list[cloudwatch.IWidget]:
    """Three graphs: how far a release is, how its controller does, and how releases end."""

    def metric(metric: ReleaseMetric, statistic: str = "Maximum", outcome: str | None = None) -> cloudwatch.Metric:
        return release_metric(environment, metric, statistic, outcome)

    ended = [metric(ReleaseMetric.RELEASES_ENDED, "Sum", outcome) for outcome in names.RELEASE_OUTCOMES]
    return [
        cloudwatch.GraphWidget(
            title="Release: step, and for how long it is held, s",
            left=[metric(ReleaseMetric.STEP)],
            right=[metric(ReleaseMetric.HELD_SECONDS)],
            width=8,
        ),
        cloudwatch.GraphWidget(
            title="Release controller: failed rounds, and the age of its last round, s",
            left=[metric(ReleaseMetric.FAILED_ROUNDS)],
            right=[metric(ReleaseMetric.LAST_ROUND_AGE)],
            width=8,
        ),
        cloudwatch.GraphWidget(
            title="Releases ended; drift; looks of the watchdog",
            left=[*ended, metric(ReleaseMetric.DRIFT)],
            right=[metric(ReleaseMetric.WATCHDOG_RUNS, "Sum")],
            width=8,
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
