"""Close the default security group of the VPC: it must not connect anything that names no group."""

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from stages.function import FunctionBase, PlatformFunction


class ClosedDefaultSecurityGroup(Construct):
    """Removes the rules that AWS gives every default security group, with a Python function of ours.

    CDK's own custom resource may also open the group, and leaves a log group without a key: see docs/decisions, 7. Type
    and place in the tree are CDK's, because compliance rules recognise by them that the group is closed.
    """

    def __init__(self, scope: Construct, id: str, *, base: FunctionBase) -> None:
        super().__init__(scope, id)
        vpc = base.network.vpc
        closer = PlatformFunction(
            self,
            "Closer",
            base=base,
            name="default-security-group",
            module="deployment.default_security_group",
            description="Custom resource: removes all rules of the VPC's default security group",
            timeout=Duration.minutes(3),
            statements=[
                iam.PolicyStatement(actions=["ec2:DescribeSecurityGroups"], resources=["*"]),
                iam.PolicyStatement(
                    actions=["ec2:RevokeSecurityGroupIngress", "ec2:RevokeSecurityGroupEgress"],
                    resources=[
                        Stack.of(self).format_arn(
                            service="ec2", resource="security-group", resource_name=vpc.vpc_default_security_group
                        )
                    ],
                ),
            ],
        )
        closer.custom_resource(
            vpc,
            "RestrictDefaultSecurityGroupCustomResource",
            resource_type="Custom::VpcRestrictDefaultSG",
            properties={"SecurityGroupId": vpc.vpc_default_security_group},
        )
