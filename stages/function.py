"""How every function of the platform is built: one artefact, a role of its own, encrypted logs, private subnets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import ArnFormat, CustomResource, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from environments import Environment
from stages.encryption import Encryption
from stages.network import Network


@dataclass(frozen=True, kw_only=True)
class FunctionBase:
    """What all functions of one environment share."""

    environment: Environment
    encryption: Encryption
    network: Network
    code: lambda_.Code


class PlatformFunction(Construct):
    """One Lambda function, ``payment-<name>-<env>``, from ``lambdas/<name>/handler.py``, or from ``module`` if given.

    Its permissions are one customer-managed policy: ``statements`` plus what every function of a VPC needs. Nothing
    that CDK would grant on its own is added, so the policy can be read in one place.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        base: FunctionBase,
        name: str,
        module: str | None = None,
        description: str,
        statements: Sequence[iam.PolicyStatement],
        environment: dict[str, str] | None = None,
        timeout: Duration,
        memory_mb: int = 256,
    ) -> None:
        super().__init__(scope, id)
        self._timeout = timeout
        self.function_name = f"payment-{name}-{base.environment.name}"
        # By name: the function refers to its role, and so to the policy that names it.
        arn = Stack.of(self).format_arn(
            service="lambda",
            resource="function",
            resource_name=self.function_name,
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        log_group = base.encryption.log_group(self, "Logs", name=f"/aws/lambda/{self.function_name}")
        self._policy = iam.ManagedPolicy(
            self,
            "Policy",
            description=f"What {self.function_name} may do",
            statements=[
                iam.PolicyStatement(
                    actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[log_group.log_group_arn]
                ),
                iam.PolicyStatement(actions=["kms:Decrypt"], resources=[base.encryption.operations_key.key_arn]),
                _TRACE,
                *_run_in_vpc(arn),
                *statements,
            ],
        )
        self.role = iam.Role(
            self,
            "Role",
            description=f"Runs {self.function_name}",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            managed_policies=[self._policy],
        )
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=self.function_name,
            description=description,
            code=base.code,
            handler=f"lambdas.{module or name.replace('-', '_') + '.handler'}.handler",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            memory_size=memory_mb,
            timeout=timeout,
            tracing=lambda_.Tracing.ACTIVE,
            role=self.role.without_policy_updates(),
            log_group=log_group,
            vpc=base.network.vpc,
            vpc_subnets=base.network.private,
            security_groups=[base.network.functions_group],
            environment_encryption=base.encryption.operations_key,
            environment={
                "ENVIRONMENT": base.environment.name,
                "POWERTOOLS_SERVICE_NAME": f"payment-{name}",
                "POWERTOOLS_METRICS_NAMESPACE": "Payments",
                "POWERTOOLS_LOG_LEVEL": "INFO",
                **(environment or {}),
            },
            current_version_options=lambda_.VersionOptions(removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE),
        )

    def custom_resource(
        self, scope: Construct, id: str, *, resource_type: str, properties: Mapping[str, str | Sequence[str]]
    ) -> CustomResource:
        """A custom resource of which this function is the service token.

        CloudFormation gives up a minute after the function must have answered, instead of an hour.
        """
        return CustomResource(
            scope,
            id,
            resource_type=resource_type,
            service_token=self.function.function_arn,
            service_timeout=self._timeout.plus(Duration.minutes(1)),
            properties=dict(properties),
        )

    def allow(self, *statements: iam.PolicyStatement) -> None:
        """Let the function do more than it was created with."""
        self._policy.add_statements(*statements)


# Neither tracing nor the network interfaces of a function can be limited to a resource.
_TRACE = iam.PolicyStatement(actions=["xray:PutTraceSegments", "xray:PutTelemetryRecords"], resources=["*"])
_NETWORK_INTERFACES = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
]


def _run_in_vpc(function: str) -> Sequence[iam.PolicyStatement]:
    """Lambda makes the network interfaces under the function's role; the function's own code may not touch any.

    ``function``: its ARN. Source: AWS Lambda Developer Guide, "Giving Lambda functions access to resources in an Amazon
    VPC".
    """
    return (
        iam.PolicyStatement(actions=_NETWORK_INTERFACES, resources=["*"]),
        iam.PolicyStatement(
            effect=iam.Effect.DENY,
            actions=_NETWORK_INTERFACES,
            resources=["*"],
            conditions={"ArnEquals": {"lambda:SourceFunctionArn": function}},
        ),
    )
