"""The construct of every function of the platform: one artefact, its own role, encrypted logs, private subnets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import ArnFormat, CustomResource, Duration, RemovalPolicy, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

import names
from environments import Environment
from stages.encryption import Encryption
from stages.network import Network


@dataclass(frozen=True, kw_only=True)
class FunctionBase:
    """The parts that all functions of one environment share."""

    environment: Environment
    encryption: Encryption
    network: Network
    code: lambda_.Code


class PlatformFunction(Construct):
    """One Lambda function, ``payment-<name>-<env>``. Its code is ``lambdas/<name>/handler.py``, or ``module`` if given.
    ``handler``: its whole handler, if the code of ``base`` is another artefact.

    Its permissions are one customer-managed policy: ``statements``, and the permissions that every function in a VPC
    needs. CDK adds no grants of its own, so this policy is complete.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        base: FunctionBase,
        name: str,
        module: str | None = None,
        handler: str | None = None,
        description: str,
        statements: Sequence[iam.PolicyStatement],
        environment: dict[str, str] | None = None,
        timeout: Duration,
        memory_mb: int = 256,
    ) -> None:
        super().__init__(scope, id)
        self._timeout = timeout
        self.function_name = names.resource(name, base.environment.name)
        self.handler = handler or f"lambdas.{module or name.replace('-', '_') + '.handler'}.handler"
        # The ARN by name, because a reference would be circular: function, role, policy, function.
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
            handler=self.handler,
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
                "POWERTOOLS_SERVICE_NAME": names.service(name),
                "POWERTOOLS_METRICS_NAMESPACE": names.METRICS,
                "POWERTOOLS_LOG_LEVEL": "INFO",
                **(environment or {}),
            },
            current_version_options=lambda_.VersionOptions(removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE),
        )

    def custom_resource(
        self, scope: Construct, id: str, *, resource_type: str, properties: Mapping[str, str | Sequence[str]]
    ) -> CustomResource:
        """A custom resource that calls this function.

        CloudFormation gives up one minute after the function's timeout, instead of after an hour.
        """
        return CustomResource(
            scope,
            id,
            resource_type=resource_type,
            service_token=self.function.function_arn,
            service_timeout=self._timeout.plus(Duration.minutes(1)),
            properties=dict(properties),
        )

    def run_every(self, interval: Duration) -> events.CfnRule:
        """Call the function on a schedule. EventBridge may call it twice for one time."""
        unit = "hour" if interval.to_minutes() % 60 == 0 else "minute"
        number = int(interval.to_minutes() / (60 if unit == "hour" else 1))
        schedule = events.CfnRule(
            self,
            "Schedule",
            description=f"Runs {self.function_name}",
            schedule_expression=f"rate({number} {unit}{'s' if number > 1 else ''})",
            targets=[events.CfnRule.TargetProperty(id="function", arn=self.function.function_arn)],
        )
        self.function.add_permission(
            "Schedule", principal=iam.ServicePrincipal("events.amazonaws.com"), source_arn=schedule.attr_arn
        )
        return schedule

    def allow(self, *statements: iam.PolicyStatement) -> None:
        """Add permissions to the function's policy."""
        self._policy.add_statements(*statements)


# IAM cannot limit the actions of tracing and of network interfaces to a resource.
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
    """Let Lambda manage the network interfaces under the function's role. Deny the same actions to the function's code.

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
