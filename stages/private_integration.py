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


class PrivateIntegration(Construct):
    """The route of a function behind the load balancer, over HTTPS.

    The integration sets the headers that the function trusts, and replaces those that the client sent: the release of
    the stage, the signer of the request, and one request id for all logs.
    """

    def __init__(
        self, scope: Construct, id: str, *, base: FunctionBase, balancer: LoadBalancer, function: Function
    ) -> None:
        super().__init__(scope, id)
        self._base = base
        self._balancer = balancer
        self._function = function
        network = base.network
        link = apigatewayv2.CfnVpcLink(
            self,
            "VpcLink",
            name=names.platform(base.environment.name),
            subnet_ids=network.vpc.select_subnets(subnet_group_name="private").subnet_ids,
            security_group_ids=[network.link_group.security_group_id],
        )
        self.integration = apigateway.Integration(
            type=apigateway.IntegrationType.HTTP_PROXY,
            integration_http_method=function.method,
            uri=f"https://{balancer.host_name}:443{function.path}",
            options=apigateway.IntegrationOptions(
                connection_type=apigateway.ConnectionType.VPC_LINK,
                vpc_link=apigateway.VpcLink.from_vpc_link_id(self, "VpcLinkReference", link.ref),
                timeout=TIMEOUT,
                request_parameters={
                    f"integration.request.header.{names.RELEASE_HEADER}": "stageVariables.release",
                    "integration.request.header.X-Caller": "context.identity.caller",
                    "integration.request.header.X-Request-Id": "context.requestId",
                },
            ),
        )

    def complete(self, method: apigateway.Method, deployment: apigateway.Deployment) -> None:
        """Set the properties of ``method`` that CDK's integration lacks. They become part of ``deployment``'s hash."""
        cfn_method = cast(apigateway.CfnMethod, method.node.default_child)
        cfn_method.add_property_override("Integration.IntegrationTarget", self._balancer.alb.load_balancer_arn)
        # CDK creates a new deployment when its hash changes, and the hash does not include overrides.
        deployment.add_to_logical_id({"integration_target": "load balancer"})
        if not self._base.environment.alb_certificate_verified:
            self._accept_private_certificate(method, deployment)

    def _accept_private_certificate(self, method: apigateway.Method, deployment: apigateway.Deployment) -> None:
        api_id, resource_id = method.api.rest_api_id, method.resource.resource_id
        setter = PlatformFunction(
            self,
            "TlsSetter",
            base=self._base,
            name="integration-tls",
            module="deployment.integration_tls",
            description="Custom resource: lets the API accept the load balancer's own certificate",
            timeout=Duration.minutes(3),
            statements=[
                iam.PolicyStatement(
                    actions=["apigateway:PATCH"],
                    resources=[
                        Stack.of(self).format_arn(
                            service="apigateway",
                            account="",
                            resource=f"/restapis/{api_id}/resources/{resource_id}/methods/{self._function.method}/integration",
                        )
                    ],
                )
            ],
        )
        accepted = setter.custom_resource(
            self,
            "PrivateCertificate",
            resource_type="Custom::IntegrationTls",
            properties={
                "RestApiId": api_id,
                "ResourceId": resource_id,
                "HttpMethod": self._function.method,
                # Everything that makes CloudFormation write the integration again must be a property here. The host
                # name comes from a parameter, so no hash of the template includes it.
                "HostName": self._balancer.host_name,
                "Revision": cast(apigateway.CfnDeployment, deployment.node.default_child).logical_id,
            },
        )
        accepted.node.add_dependency(method)
        deployment.node.add_dependency(accepted)
