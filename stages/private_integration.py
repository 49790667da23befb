"""The VPC link from the REST API to the private load balancer, without a public hop or a network load balancer."""

from typing import cast

from aws_cdk import Duration, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_iam as iam
from constructs import Construct

import names
from names import Function
from stages.function import FunctionBase, PlatformFunction
from stages.load_balancer import LoadBalancer

TIMEOUT = Duration.seconds(20)
"""Above the function's own timeout, and below API Gateway's 29 seconds."""
HOST_VARIABLE = "alb_host"
LINK_VARIABLE = "vpc_link"


class PrivateIntegration(Construct):
    """The route of a function behind the load balancer, over HTTPS.

    The integration sets the headers that the function trusts, and replaces those that the client sent: the release of
    the stage, the signer of the request, and one request id for all logs.

    A stage serves the integration as it was when the stage's deployment was made, and CDK makes a new deployment only
    for what it knows at synthesis. The host name and the link's id are known later. They are therefore variables of the
    stages, of which an update takes effect without a deployment (API Gateway Developer Guide, "Using API Gateway stage
    variables" and "Update a REST API"). Settings that are known at synthesis are part of the deployment's hash.
    """

    def __init__(self, scope: Construct, id: str, *, base: FunctionBase, balancer: LoadBalancer) -> None:
        super().__init__(scope, id)
        self._base = base
        self._balancer = balancer
        network = base.network
        link = apigatewayv2.CfnVpcLink(
            self,
            "VpcLink",
            name=names.platform(base.environment.name),
            subnet_ids=network.vpc.select_subnets(subnet_group_name="private").subnet_ids,
            security_group_ids=[network.link_group.security_group_id],
        )
        self._link = apigateway.VpcLink.from_vpc_link_id(self, "VpcLinkReference", _variable(LINK_VARIABLE))
        self.stage_variables = {HOST_VARIABLE: balancer.host_name, LINK_VARIABLE: link.ref}

    def integration(self, function: Function) -> apigateway.Integration:
        """The integration of a function's route."""
        return apigateway.Integration(
            type=apigateway.IntegrationType.HTTP_PROXY,
            integration_http_method=function.method,
            uri=f"https://{_variable(HOST_VARIABLE)}:443{function.path}",
            options=apigateway.IntegrationOptions(
                connection_type=apigateway.ConnectionType.VPC_LINK,
                vpc_link=self._link,
                timeout=TIMEOUT,
                request_parameters={
                    f"integration.request.header.{names.RELEASE_HEADER}": "stageVariables.release",
                    "integration.request.header.X-Caller": "context.identity.caller",
                    "integration.request.header.X-Caller-Arn": "context.identity.userArn",
                    "integration.request.header.X-Request-Id": "context.requestId",
                },
            ),
        )

    def complete(self, method: apigateway.Method, deployment: apigateway.Deployment) -> None:
        """Set the properties of ``method`` that CDK's integration lacks. They become part of ``deployment``'s hash."""
        cfn_method = cast(apigateway.CfnMethod, method.node.default_child)
        # The ARN can't change: the load balancer's name is fixed, so CloudFormation can't replace it.
        cfn_method.add_property_override("Integration.IntegrationTarget", self._balancer.alb.load_balancer_arn)
        verified = self._base.environment.alb_certificate_verified
        # CDK creates a new deployment when its hash changes. The hash does not include overrides and custom resources.
        deployment.add_to_logical_id({"integration_target": "load balancer", "certificate_verified": verified})
        self._set_verification(method, deployment, verified=verified)

    def _set_verification(
        self, method: apigateway.Method, deployment: apigateway.Deployment, *, verified: bool
    ) -> None:
        """Set both ways. A resource that existed for one of them only would leave its setting behind."""
        api_id, resource_id = method.api.rest_api_id, method.resource.resource_id
        setter = PlatformFunction(
            self,
            "TlsSetter",
            base=self._base,
            name="integration-tls",
            module="deployment.integration_tls",
            description="Custom resource: how the API verifies the load balancer's certificate",
            timeout=Duration.minutes(3),
            statements=[
                iam.PolicyStatement(
                    actions=["apigateway:PATCH"],
                    resources=[
                        Stack.of(self).format_arn(
                            service="apigateway",
                            account="",
                            resource=f"/restapis/{api_id}/resources/{resource_id}/methods/{method.http_method}/integration",
                        )
                    ],
                )
            ],
        )
        setting = setter.custom_resource(
            self,
            "PrivateCertificate",
            resource_type="Custom::IntegrationTls",
            properties={
                "RestApiId": api_id,
                "ResourceId": resource_id,
                "HttpMethod": method.http_method,
                "InsecureSkipVerification": "false" if verified else "true",
                # When CloudFormation writes the integration again, this changes too.
                "Revision": cast(apigateway.CfnDeployment, deployment.node.default_child).logical_id,
            },
        )
        setting.node.add_dependency(method)
        deployment.node.add_dependency(setting)


def _variable(name: str) -> str:
    return f"${{stageVariables.{name}}}"
