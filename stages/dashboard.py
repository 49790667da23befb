"""The dashboard of one environment."""

from collections.abc import Sequence

from aws_cdk import Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from pipeline.environments import Environment
from stages.api import Api
from stages.compute import Compute
from stages.load_balancer import LoadBalancer
from stages.release_row import release_row
from stages.storage import Storage

TABLE_OPERATIONS = ("GetItem", "PutItem", "UpdateItem", "Query")
"""What the functions ask of the transactions."""


def dashboard(
    scope: Construct,
    *,
    environment: Environment,
    storage: Storage,
    compute: Compute,
    balancer: LoadBalancer,
    api: Api,
) -> str:
    """Put the dashboard ``payment-<env>`` into ``scope`` and return its address in the console."""
    stage, table = api.stable_stage, storage.transactions
    functions = [function.function for function in compute.functions]
    latencies = [stage.metric_latency(statistic=statistic, label=statistic) for statistic in ("p99", "p50")]
    # The average of errors, one 0 or 1 for each call, is the share of calls that failed.
    error_rates = [function.metric_errors(statistic="Average") for function in functions]
    capacity = [table.metric_consumed_read_capacity_units(), table.metric_consumed_write_capacity_units()]
    throttled = [
        table.metric_throttled_requests_for_operation(operation, label=operation) for operation in TABLE_OPERATIONS
    ]
    name = f"payment-{environment.name}"
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
            release_row(environment, compute, balancer),
        ],
    )
    region = Stack.of(scope).region
    return f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#dashboards:name={name}"


def _graph(title: str, metrics: Sequence[cloudwatch.IMetric]) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=list(metrics), width=12)
