"""The dashboard's row for releases: the candidate's weight, and both versions' error rate and p99, side by side."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from pipeline.environments import Environment
from stages.compute import Compute
from stages.load_balancer import LoadBalancer

NAMESPACE = "Payments/Release"
"""Of the metrics that the release controller publishes."""
ONE_MINUTE = Duration.minutes(1)


def release_row(environment: Environment, compute: Compute, balancer: LoadBalancer) -> list[cloudwatch.IWidget]:
    """Three graphs. A step of the weight marks where a release begins, goes on, and ends or goes back."""
    weight = cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name="CandidateWeight",
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
            # The average of Lambda's errors, one 0 or 1 for each call, is the share of calls that failed.
            left=[*_by_version(compute, "Errors", "Average"), *_server_errors(balancer)],
            width=8,
        ),
        cloudwatch.GraphWidget(
            title="Release: p99 by version, ms", left=_by_version(compute, "Duration", "p99"), width=8
        ),
    ]


def _by_version(compute: Compute, metric: str, statistic: str) -> list[cloudwatch.IMetric]:
    """A search, for a template names no version of alias blue; it finds both versions while traffic is shared."""
    found: list[cloudwatch.IMetric] = []
    for function in compute.functions:
        name = function.function_name
        for colour in ("blue", "green"):
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
    """Server errors that /process answered itself, as a share of its requests."""
    groups = {"blue": balancer.blue_target_group_name, "green": balancer.green_target_group_name}

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
            label=f"/process {colour}",
            period=ONE_MINUTE,
        )
        for colour, group in groups.items()
    ]
