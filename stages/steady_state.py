"""No deployment moves a candidate that still has production traffic: see ``lambdas.deployment.steady_state``."""

from collections.abc import Sequence

from aws_cdk import ArnFormat, Duration, Fn, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from stages.blue_green import BLUE, BlueGreenFunction
from stages.function import FunctionBase, PlatformFunction


class SteadyState(Construct):
    """Brings traffic back to blue before any alias green of ``functions`` moves.

    It knows the load balancer by its name: a reference would make a circle, since the balancer's green target group
    refers to the alias that has to wait for this.
    """

    def __init__(
        self, scope: Construct, id: str, *, base: FunctionBase, functions: Sequence[BlueGreenFunction]
    ) -> None:
        super().__init__(scope, id)
        environment = base.environment.name
        listeners = Stack.of(self).format_arn(
            service="elasticloadbalancing",
            resource="listener",
            resource_name=f"app/payment-{environment}/*",
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
                # No describe action of the load balancer service can be limited to a resource.
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
                    resources=[*arns, *(f"{arn}:{BLUE}" for arn in arns)],
                ),
            ],
        )
        reset = provider.custom_resource(
            self,
            "Reset",
            resource_type="Custom::SteadyState",
            properties={
                "Environment": environment,
                "Functions": [each.function_name for each in functions],
                "Versions": Fn.join(",", [each.candidate_version for each in functions]),
            },
        )
        for each in functions:
            each.green.node.add_dependency(reset)
