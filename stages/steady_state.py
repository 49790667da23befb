"""Keeps a deployment from moving a candidate that has production traffic: ``lambdas.deployment.steady_state``."""

from collections.abc import Sequence

from aws_cdk import ArnFormat, Duration, Fn, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

import names
from names import Colour
from stages.blue_green import BlueGreenFunction
from stages.function import FunctionBase, PlatformFunction


class SteadyState(Construct):
    """Returns traffic to blue before the alias green of any of ``functions`` moves.

    It finds the load balancer by name. A reference would be circular, because the balancer's green target group refers
    to an alias that waits for this resource.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        base: FunctionBase,
        functions: Sequence[BlueGreenFunction],
        balanced: BlueGreenFunction,
    ) -> None:
        """``balanced``: the one of ``functions`` behind the load balancer."""
        super().__init__(scope, id)
        environment = base.environment.name
        listeners = Stack.of(self).format_arn(
            service="elasticloadbalancing",
            resource="listener",
            resource_name=f"app/{names.platform(environment)}/*",
            arn_format=ArnFormat.SLASH_RESOURCE_NAME,
        )
        arns = [each.function.function_arn for each in functions]
        provider = PlatformFunction(
            self,
            "Provider",
            base=base,
            name="steady-state",
            module="deployment.steady_state",
            description="Custom resource: takes production traffic off the candidate before it is replaced",
            timeout=Duration.minutes(3),
            statements=[
                # IAM cannot limit the describe actions of the load balancer service to a resource.
                iam.PolicyStatement(
                    actions=[
                        "elasticloadbalancing:DescribeListeners",
                        "elasticloadbalancing:DescribeLoadBalancers",
                        "elasticloadbalancing:DescribeTargetGroups",
                    ],
                    resources=["*"],
                ),
                iam.PolicyStatement(actions=["elasticloadbalancing:ModifyListener"], resources=[listeners]),
                iam.PolicyStatement(
                    actions=["lambda:GetAlias", "lambda:UpdateAlias"],
                    resources=[*arns, *(f"{arn}:{Colour.STABLE}" for arn in arns)],
                ),
                iam.PolicyStatement(
                    actions=["lambda:GetAlias"], resources=[f"{balanced.function.function_arn}:{Colour.CANDIDATE}"]
                ),
            ],
        )
        reset = provider.custom_resource(
            self,
            "Reset",
            resource_type="Custom::SteadyState",
            properties={
                "Environment": environment,
                "LoadBalancer": names.platform(environment),
                "StableTargetGroup": Colour.STABLE.target_group(environment),
                "StableAlias": Colour.STABLE,
                "CandidateAlias": Colour.CANDIDATE,
                "BalancedFunction": balanced.function_name,
                "Functions": [each.function_name for each in functions],
                "Versions": Fn.join(",", [each.candidate_version for each in functions]),
            },
        )
        for each in functions:
            each.green.node.add_dependency(reset)
