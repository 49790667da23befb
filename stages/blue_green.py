"""Stable and candidate: two aliases of a function. A deployment moves only the candidate's.

CloudFormation owns ``green``, the candidate: every deployment moves it. ``blue``, the stable version, is created once,
at a version that answers 503: nothing is open before a first release. After that only the release controller moves it.
The template contains neither this alias as a resource nor its version, so no deployment, retry or drift repair can move
production traffic.
"""

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from names import CLOSED_HANDLER, Colour, Function
from stages.function import FunctionBase, PlatformFunction


class BlueAliasProvider(Construct):
    """The function behind ``Custom::BlueAlias``. It creates the alias ``blue`` if it is missing, and never moves it.

    It may change the configuration of the functions, and may not pass them another role.
    """

    def __init__(self, scope: Construct, id: str, *, base: FunctionBase) -> None:
        super().__init__(scope, id)
        functions = [
            Stack.of(self).format_arn(
                service="lambda",
                resource="function",
                resource_name=function.of(base.environment.name),
                arn_format=ArnFormat.COLON_RESOURCE_NAME,
            )
            for function in Function
        ]
        self.function = PlatformFunction(
            self,
            "Provider",
            base=base,
            name="blue-alias",
            module="deployment.blue_alias",
            description="Custom resource: creates a function's alias blue if it is missing, at a closed version",
            timeout=Duration.minutes(3),
            statements=[
                iam.PolicyStatement(
                    actions=["lambda:CreateAlias", "lambda:DeleteAlias", "lambda:GetAlias"],
                    resources=[*functions, *(f"{function}:{Colour.STABLE}" for function in functions)],
                ),
                iam.PolicyStatement(
                    actions=[
                        "lambda:GetFunctionConfiguration",
                        "lambda:PublishVersion",
                        "lambda:UpdateFunctionConfiguration",
                    ],
                    resources=functions,
                ),
                # Lambda renews its grant on the key of the environment variables for the role that changes a function
                # (AWS Lambda Developer Guide, "Securing Lambda environment variables").
                base.encryption.use_operations_key("lambda", "kms:CreateGrant", "kms:Encrypt"),
            ],
        )


class BlueGreenFunction(Construct):
    """The two aliases of one function."""

    def __init__(self, scope: Construct, id: str, *, function: PlatformFunction, blue_alias: BlueAliasProvider) -> None:
        super().__init__(scope, id)
        self.function = function.function
        self.function_name = function.function_name
        version = self.function.current_version
        self.candidate_version = version.version
        self.green = lambda_.Alias(self, "Green", alias_name=Colour.CANDIDATE, version=version)
        self._blue = blue_alias.function.custom_resource(
            self,
            "Blue",
            resource_type="Custom::BlueAlias",
            properties={
                "FunctionName": self.function_name,
                "Handler": function.handler,
                "ClosedHandler": CLOSED_HANDLER,
            },
        )
        self._blue.node.add_dependency(self.function.node.default_child)
        # Lambda publishes what $LATEST is at that moment, so the candidate comes after the closed version.
        version.node.add_dependency(self._blue)
        self.green_arn = self.green.function_arn
        self.blue_arn = self._blue.get_att_string("AliasArn")

    def allow(
        self, caller: str, *, id: str, blue_source_arn: str, green_source_arn: str
    ) -> list[lambda_.CfnPermission]:
        """Let the AWS service ``caller`` invoke both aliases, each from one source only."""
        return [
            lambda_.CfnPermission(
                self,
                f"{id}{colour.capitalize()}",
                action="lambda:InvokeFunction",
                function_name=alias_arn,
                principal=caller,
                source_arn=source_arn,
            )
            for colour, alias_arn, source_arn in (
                (Colour.STABLE, self.blue_arn, blue_source_arn),
                (Colour.CANDIDATE, self.green_arn, green_source_arn),
            )
        ]
