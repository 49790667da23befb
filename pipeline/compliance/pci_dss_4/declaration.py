"""How a rule is declared, and the resource types that several subjects are about."""

from collections.abc import Callable

from pipeline.compliance.template_pack import Resource, Rule

BUCKET = "AWS::S3::Bucket"
BUILD = "AWS::CodeBuild::Project"
CLASSIC_BALANCER = "AWS::ElasticLoadBalancing::LoadBalancer"
CLUSTER = "AWS::RDS::DBCluster"
DISTRIBUTION = "AWS::CloudFront::Distribution"
DOMAIN = "AWS::OpenSearchService::Domain"
FUNCTION = "AWS::Lambda::Function"
HTTP_STAGE = "AWS::ApiGatewayV2::Stage"
INSTANCE = "AWS::RDS::DBInstance"
LOAD_BALANCER = "AWS::ElasticLoadBalancingV2::LoadBalancer"
QUEUE = "AWS::SQS::Queue"
SECRET = "AWS::SecretsManager::Secret"  # noqa: S105
STAGE = "AWS::ApiGateway::Stage"
TOPIC = "AWS::SNS::Topic"
VPC = "AWS::EC2::VPC"

RULES: list[Rule] = []
"""Every declared rule. The module pci_dss_4 imports all subjects."""

Predicate = Callable[[Resource], bool]


def rule(requirement: str, name: str, *kinds: str, fault: str) -> Callable[[Predicate], Predicate]:
    """Make the decorated predicate a rule of the pack. The predicate has the rule's name, in snake case."""

    def declare(holds: Predicate) -> Predicate:
        RULES.append(Rule(requirement=requirement, name=name, kinds=kinds, fault=fault, holds=holds))
        return holds

    return declare


def in_cluster(instance: Resource) -> bool:
    """Whether a database instance is one of a cluster, which has its storage, its logs and its parameters."""
    return instance.kind == INSTANCE and bool(instance.get("DBClusterIdentifier"))
