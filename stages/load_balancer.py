"""The private load balancer: its listener's weights decide which version gets the traffic."""

from aws_cdk import ArnFormat, CfnParameter, Stack
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from constructs import Construct

import names
from environments import Environment
from names import Colour, Parameter
from stages.blue_green import BlueGreenFunction
from stages.network import Network
from stages.storage import Storage

ELB = "elasticloadbalancing.amazonaws.com"


class LoadBalancer(Construct):
    """HTTPS only, reachable only from the API's VPC link.

    The template always says blue 100, green 0. This is the steady state, so it is harmless when CloudFormation writes
    the listener again. Requests with the candidate's header go to green at any weights.

    The certificate and its host name come from SSM parameters that ``python -m pipeline.bootstrap`` writes. The
    template reads them by the defaults of its parameters, so a deployment needs no arguments.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        environment: Environment,
        network: Network,
        storage: Storage,
        processing: BlueGreenFunction,
    ) -> None:
        super().__init__(scope, id)
        self._environment = environment
        self.certificate_arn = self._bootstrapped(Parameter.ALB_CERTIFICATE_ARN, "Certificate of the listener")
        self.host_name = self._bootstrapped(Parameter.ALB_HOST_NAME, "Host name on the listener's certificate")

        self.alb = elbv2.ApplicationLoadBalancer(
            self,
            "Alb",
            load_balancer_name=names.platform(environment.name),
            vpc=network.vpc,
            vpc_subnets=network.private,
            internet_facing=False,
            security_group=network.balancer_group,
            deletion_protection=environment.protected,
            drop_invalid_header_fields=True,
            desync_mitigation_mode=elbv2.DesyncMitigationMode.STRICTEST,
        )
        storage.receive_balancer_logs(self.alb, prefix="load-balancer")

        permissions = processing.allow(
            ELB,
            id="LoadBalancer",
            blue_source_arn=self._target_group_arns(Colour.STABLE),
            green_source_arn=self._target_group_arns(Colour.CANDIDATE),
        )
        blue = self._target_group("Blue", Colour.STABLE, processing.blue_arn)
        green = self._target_group("Green", Colour.CANDIDATE, processing.green_arn)
        for group in (blue, green):
            group.node.add_dependency(*permissions)
        self.blue_target_group_arn = blue.ref
        self.green_target_group_arn = green.ref
        self.green_target_group_name = green.attr_target_group_full_name
        self.blue_target_group_name = blue.attr_target_group_full_name
        self.full_name = self.alb.load_balancer_full_name

        listener = elbv2.CfnListener(
            self,
            "Listener",
            load_balancer_arn=self.alb.load_balancer_arn,
            port=443,
            protocol="HTTPS",
            ssl_policy="ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
            certificates=[elbv2.CfnListener.CertificateProperty(certificate_arn=self.certificate_arn)],
            default_actions=[
                elbv2.CfnListener.ActionProperty(
                    type="forward",
                    forward_config=elbv2.CfnListener.ForwardConfigProperty(
                        target_groups=[
                            elbv2.CfnListener.TargetGroupTupleProperty(target_group_arn=blue.ref, weight=100),
                            elbv2.CfnListener.TargetGroupTupleProperty(target_group_arn=green.ref, weight=0),
                        ]
                    ),
                )
            ],
        )
        self.listener, self.listener_arn = listener, listener.ref
        elbv2.CfnListenerRule(
            self,
            "CandidateRule",
            listener_arn=listener.ref,
            priority=1,
            conditions=[
                elbv2.CfnListenerRule.RuleConditionProperty(
                    field="http-header",
                    http_header_config=elbv2.CfnListenerRule.HttpHeaderConfigProperty(
                        http_header_name=names.RELEASE_HEADER, values=[names.CANDIDATE_RELEASE]
                    ),
                )
            ],
            actions=[elbv2.CfnListenerRule.ActionProperty(type="forward", target_group_arn=green.ref)],
        )

    def _bootstrapped(self, parameter: Parameter, description: str) -> str:
        value = CfnParameter(
            Stack.of(self),
            parameter.id,
            type="AWS::SSM::Parameter::Value<String>",
            default=parameter.of(self._environment.name),
            description=description,
        )
        return value.value_as_string

    def _target_group(self, id: str, colour: Colour, alias_arn: str) -> elbv2.CfnTargetGroup:
        return elbv2.CfnTargetGroup(
            self,
            id,
            name=colour.target_group(self._environment.name),
            target_type="lambda",
            # The functions answer with `multiValueHeaders`. The load balancer reads these only with this attribute.
            target_group_attributes=[
                elbv2.CfnTargetGroup.TargetGroupAttributeProperty(
                    key="lambda.multi_value_headers.enabled", value="true"
                )
            ],
            targets=[elbv2.CfnTargetGroup.TargetDescriptionProperty(id=alias_arn)],
        )

    def _target_group_arns(self, colour: Colour) -> str:
        """Pattern of the group's ARN by its name, because the group is created after the permission."""
        return Stack.of(self).format_arn(
            service="elasticloadbalancing",
            resource="targetgroup",
            resource_name=f"{colour.target_group(self._environment.name)}/*",
            arn_format=ArnFormat.SLASH_RESOURCE_NAME,
        )
