"""The alarms that judge a candidate: each compares its error rate with stable's, over the same minute.

A trouble of the environment, such as a fail-over of the database, hits both versions and rings none of them. They tell
of what is grave, and do not depend on the release controller's own reading of metrics.
"""

from collections.abc import Iterator, Mapping, Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from names import Colour, Function
from stages.blue_green import BlueGreenFunction
from stages.compute import Compute
from stages.load_balancer import LoadBalancer

ONE_MINUTE = Duration.minutes(1)
Sums = tuple[Sequence[cloudwatch.IMetric], Sequence[cloudwatch.IMetric]]
"""Metrics to add up, and metrics to take away from that."""


def candidate_alarms(
    compute: Compute, balancer: LoadBalancer
) -> Iterator[tuple[str, str, str, cloudwatch.MathExpression]]:
    """Construct id, name, description and metric of each. The metric is 1 in a bad minute, else 0."""
    for function, versions in compute.functions.items():
        yield (
            f"CandidateErrors{function.id}",
            f"candidate-errors-{function}",
            f"The candidate's function of {function.path} fails more often than stable's",
            _metric(*_calls(versions, "Errors"), *_calls(versions, "Invocations")),
        )
    errors, requests = (
        [
            balancer_metric(name, group, balancer, "Sum")
            for group in (balancer.green_target_group_name, balancer.blue_target_group_name)
        ]
        for name in ("HTTPCode_Target_5XX_Count", "RequestCount")
    )
    yield (
        "CandidateServerErrors",
        "candidate-server-errors",
        f"The candidate answers {Function.PROCESSING.path} with server errors more often than stable",
        _metric(([errors[0]], []), ([errors[1]], []), ([requests[0]], []), ([requests[1]], [])),
    )


def worse(candidate_errors: str, stable_errors: str, candidate_requests: str, stable_requests: str) -> str:
    """Metric math that is 1 if the candidate is gravely worse than stable in a minute, else 0. Arguments: expressions.

    Grave are 5 errors or more, at a rate 5 percentage points above stable's, with a statistic of Pearson's test over
    25: five standard deviations. Stable must have 20 requests. There are products instead of divisions, because a
    division by zero has no value in metric math.
    """
    excess = f"({candidate_errors} * {stable_requests} - {stable_errors} * {candidate_requests})"
    both, requests = f"({candidate_errors} + {stable_errors})", f"({candidate_requests} + {stable_requests})"
    product = f"{candidate_requests} * {stable_requests}"
    return (
        f"IF({candidate_errors} >= 5 && {stable_requests} >= 20 && {excess} > 0.05 * {product} && "
        f"{excess} * {excess} * {requests} > 25 * {product} * {both} * ({requests} - {both}), 1, 0)"
    )


def balancer_metric(name: str, group: str, balancer: LoadBalancer, statistic: str) -> cloudwatch.Metric:
    """A metric of one target group, by the minute."""
    return cloudwatch.Metric(
        namespace="AWS/ApplicationELB",
        metric_name=name,
        dimensions_map={"LoadBalancer": balancer.full_name, "TargetGroup": group},
        statistic=statistic,
        period=ONE_MINUTE,
    )


def _calls(function: BlueGreenFunction, metric: str) -> tuple[Sums, Sums]:
    """A metric of the candidate's calls and of stable's.

    The candidate is called under its own alias green and, while a shift routes part of alias blue to it, under blue:
    Lambda counts these calls under blue too, with the executed version. The rest of blue is stable.
    """
    name = function.function_name
    blue = {"FunctionName": name, "Resource": f"{name}:{Colour.STABLE}"}
    everything, routed, green = (
        cloudwatch.Metric(
            namespace="AWS/Lambda", metric_name=metric, dimensions_map=dimensions, statistic="Sum", period=ONE_MINUTE
        )
        for dimensions in (
            blue,
            blue | {"ExecutedVersion": function.candidate_version},
            {"FunctionName": name, "Resource": f"{name}:{Colour.CANDIDATE}"},
        )
    )
    return ([green, routed], []), ([everything], [routed])


def _metric(*counts: Sums) -> cloudwatch.MathExpression:
    """``worse`` of these four counts. A metric without data counts as 0."""
    found: list[cloudwatch.IMetric] = []

    def filled(metric: cloudwatch.IMetric) -> str:
        if metric not in found:
            found.append(metric)
        return f"FILL(m{found.index(metric)}, 0)"

    def total(added: Sequence[cloudwatch.IMetric], taken: Sequence[cloudwatch.IMetric]) -> str:
        return f"({' + '.join(map(filled, added))}{''.join(f' - {filled(metric)}' for metric in taken)})"

    expression = worse(*(total(*each) for each in counts))
    named: Mapping[str, cloudwatch.IMetric] = {f"m{index}": metric for index, metric in enumerate(found)}
    return cloudwatch.MathExpression(expression=expression, using_metrics=named, period=ONE_MINUTE)
