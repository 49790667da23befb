"""VPC, subnets and security groups."""

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

import names
from environments import ZONES, Environment
from stages.encryption import Encryption

HTTPS = ec2.Port.tcp(443)
POSTGRES = ec2.Port.tcp(5432)


class Network(Construct):
    """Three zones with public, private and database subnets, and one NAT gateway to save cost.

    Functions reach S3 and DynamoDB by gateway endpoints, which are free. They reach other AWS services by the NAT
    gateway, because interface endpoints would cost several times as much at this size.

    Allowed connections: VPC link → load balancer (443), functions → database (5432), functions → AWS (443).
    """

    def __init__(self, scope: Construct, id: str, *, environment: Environment, encryption: Encryption) -> None:
        super().__init__(scope, id)
        self.private = ec2.SubnetSelection(subnet_group_name="private")
        self.database = ec2.SubnetSelection(subnet_group_name="database")
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            vpc_name=names.platform(environment.name),
            max_azs=ZONES,
            nat_gateways=1,
            # Closed by a custom resource of our own (default_security_group.py).
            restrict_default_security_group=False,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="public", subnet_type=ec2.SubnetType.PUBLIC, cidr_mask=24, map_public_ip_on_launch=False
                ),
                ec2.SubnetConfiguration(name="private", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS, cidr_mask=22),
                ec2.SubnetConfiguration(name="database", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24),
            ],
            gateway_endpoints={
                "S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3),
                "DynamoDb": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.DYNAMODB),
            },
        )
        self._log_flows(encryption, environment)

        self.link_group = self._group("VpcLink", "API Gateway to the load balancer")
        self.balancer_group = self._group("LoadBalancer", "Private load balancer")
        self.functions_group = self._group("Functions", "Lambda functions")
        self.database_group = self._group("Database", "Aurora PostgreSQL")

        self._connect(self.link_group, self.balancer_group, HTTPS)
        self._connect(self.functions_group, self.database_group, POSTGRES)
        self.functions_group.add_egress_rule(ec2.Peer.any_ipv4(), HTTPS, "AWS services")

    def _log_flows(self, encryption: Encryption, environment: Environment) -> None:
        group = encryption.log_group(self, "FlowLogs", name=names.log_group("vpc-flow-logs", environment.name))
        policy = iam.ManagedPolicy(
            self,
            "FlowLogPolicy",
            description="What VPC flow logs may do",
            statements=[
                iam.PolicyStatement(
                    actions=["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
                    resources=[group.log_group_arn],
                )
            ],
        )
        role = iam.Role(
            self,
            "FlowLogRole",
            description="VPC flow logs",
            assumed_by=iam.ServicePrincipal("vpc-flow-logs.amazonaws.com"),
            managed_policies=[policy],
        )
        self.vpc.add_flow_log(
            "FlowLog",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(group, role.without_policy_updates()),
        )

    def _group(self, id: str, description: str) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(
            self, f"{id}SecurityGroup", vpc=self.vpc, description=description, allow_all_outbound=False
        )

    @staticmethod
    def _connect(client: ec2.SecurityGroup, server: ec2.SecurityGroup, port: ec2.Port) -> None:
        client.add_egress_rule(server, port, "To the server of this connection")
        server.add_ingress_rule(client, port, "From the client of this connection")
