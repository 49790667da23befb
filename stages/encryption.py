"""Two keys: one for payment data, one for operations (logs, alarms). Access to one gives no access to the other."""

from typing import cast

from aws_cdk import ArnFormat, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

import names
from environments import Environment


class Encryption(Construct):
    """Customer-managed keys with yearly rotation, and the policy statements and log groups that use them.

    The key policies delegate access to IAM (the account's root statement), so a role's own policy lists all of its
    permissions. The key policies name only AWS services that act on their own behalf.
    """

    def __init__(self, scope: Construct, id: str, *, environment: Environment) -> None:
        super().__init__(scope, id)
        self._environment = environment
        self.data_key = kms.Key(
            self,
            "DataKey",
            alias=names.key_alias("data", environment.name),
            description="Payment data: database, tables, audit records, secrets",
            enable_key_rotation=True,
            removal_policy=self.data_removal_policy,
        )
        self.operations_key = kms.Key(
            self,
            "OperationsKey",
            alias=names.key_alias("operations", environment.name),
            description="Operations: logs, alarms, function settings",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.DESTROY,
        )
        stack = Stack.of(self)
        self.operations_key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="LogGroupsOfThisAccount",
                principals=[iam.ServicePrincipal(f"logs.{stack.region}.amazonaws.com")],
                actions=["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
                resources=["*"],
                conditions={
                    "ArnLike": {
                        "kms:EncryptionContext:aws:logs:arn": stack.format_arn(
                            service="logs",
                            resource="log-group",
                            resource_name="*",
                            arn_format=ArnFormat.COLON_RESOURCE_NAME,
                        )
                    }
                },
            )
        )
        self.operations_key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsToTheTopic",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
            )
        )

    @property
    def data_removal_policy(self) -> RemovalPolicy:
        """Whether databases, tables, buckets and their key are kept when the stack is deleted."""
        return RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if self._environment.retain_data else RemovalPolicy.DESTROY

    def log_group(self, scope: Construct, id: str, *, name: str) -> logs.LogGroup:
        """An encrypted log group with the environment's retention."""
        group = logs.LogGroup(
            scope, id, log_group_name=name, encryption_key=self.operations_key, removal_policy=RemovalPolicy.DESTROY
        )
        cast(logs.CfnLogGroup, group.node.default_child).retention_in_days = self._environment.log_retention_days
        return group

    def use_data_key(self, service: str, *actions: str) -> iam.PolicyStatement:
        """Let a role use the data key through ``service`` only (``s3``, ``dynamodb``, ``secretsmanager``)."""
        return self.use_key(self.data_key, service, *actions)

    def use_operations_key(self, service: str, *actions: str) -> iam.PolicyStatement:
        """Let a role use the operations key through ``service`` only."""
        return self.use_key(self.operations_key, service, *actions)

    @staticmethod
    def use_key(key: kms.Key, service: str, *actions: str) -> iam.PolicyStatement:
        """Let a role use ``key`` through ``service`` only."""
        return iam.PolicyStatement(
            actions=list(actions),
            resources=[key.key_arn],
            conditions={"StringEquals": {"kms:ViaService": f"{service}.{Stack.of(key).region}.amazonaws.com"}},
        )

    def read_secret(self, secret_arn: str) -> list[iam.PolicyStatement]:
        """Let a role read one secret."""
        return [
            iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[secret_arn]),
            self.use_data_key("secretsmanager", "kms:Decrypt"),
        ]
