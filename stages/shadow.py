"""The role that asks, in the shadow of another system, what this platform would decide (docs/migration.md)."""

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from environments import Environment
from names import CANDIDATE_RELEASE, SHADOW, Function, resource
from stages.api import Api


class ShadowRole(Construct):
    """``payment-shadow-<env>`` may call the two routes of the candidate that decide and write nothing."""

    def __init__(self, scope: Construct, id: str, *, environment: Environment, api: Api) -> None:
        super().__init__(scope, id)
        policy = iam.ManagedPolicy(
            self,
            "Policy",
            description="Asks the candidate what it would decide",
            statements=[
                iam.PolicyStatement(
                    actions=["execute-api:Invoke"],
                    resources=[
                        api.api.arn_for_execute_api(function.method, function.path, CANDIDATE_RELEASE)
                        for function in (Function.VALIDATION, Function.FRAUD_DETECTION)
                    ],
                )
            ],
        )
        self.role = iam.Role(
            self,
            "Role",
            role_name=resource(SHADOW, environment.name),
            description="Asks in the shadow of another system",
            assumed_by=iam.AccountPrincipal(Stack.of(self).account),
            managed_policies=[policy],
        )
