"""Standing resources get the prices of the table. A resource without a price is named, not taken for free."""

from typing import Any

import pytest

from pipeline.review import costs
from pipeline.review.costs.estimate import Cost, monthly, prices
from tests.unit.pipeline.review.given import resource, stack, stacks

CLUSTER = resource("AWS::RDS::DBCluster", {"ServerlessV2ScalingConfiguration": {"MinCapacity": 0.5}})
SERVERLESS = {"DBInstanceClass": "db.serverless", "DBClusterIdentifier": {"Ref": "C"}}
ALIAS = {"FunctionName": {"Ref": "F"}, "ProvisionedConcurrencyConfig": {"ProvisionedConcurrentExecutions": 2}}
METRIC = {"MetricStat": {"Period": 60}}


def cost(**resources: dict[str, Any]) -> Cost:
    """The cost of an environment that only head has."""
    [found] = costs.compare({}, stacks(stack(resources)))
    return found


@pytest.mark.parametrize(
    ("resources", "items"),
    [
        ({"R": resource("AWS::EC2::NatGateway")}, {"NAT gateway": 32.85}),
        ({"R": resource("AWS::EC2::EIP")}, {"Public IPv4 address": 3.65}),
        (
            {"R": resource("AWS::EC2::VPCEndpoint", {"VpcEndpointType": "Interface", "SubnetIds": ["a", "b"]})},
            {"Interface endpoint, per zone": 14.6},
        ),
        ({"R": resource("AWS::EC2::VPCEndpoint")}, {}),
        (
            {"R": resource("AWS::ElasticLoadBalancingV2::LoadBalancer", {"Scheme": "internal"})},
            {"Application Load Balancer": 16.43},
        ),
        (
            {"R": resource("AWS::ElasticLoadBalancingV2::LoadBalancer", {"Subnets": ["a", "b"]})},
            {"Application Load Balancer": 16.43, "Public IPv4 address": 7.3},
        ),
        (
            {
                "C": CLUSTER,
                "W": resource("AWS::RDS::DBInstance", SERVERLESS),
                "R": resource("AWS::RDS::DBInstance", SERVERLESS),
            },
            {"Aurora Serverless v2, minimum capacity, ACU": 87.6},
        ),
        ({"R": resource("AWS::KMS::Key")}, {"KMS key": 1.0}),
        (
            {
                "R": resource("AWS::SecretsManager::Secret"),
                "C": resource("AWS::RDS::DBCluster", {"ManageMasterUserPassword": True}),
            },
            {"Secret": 0.8},
        ),
        (
            {"R": resource("AWS::WAFv2::WebACL", {"Rules": [{"Name": "a"}, {"Name": "b"}]})},
            {"WAF web ACL": 5.0, "WAF rule or rule group": 2.0},
        ),
        ({"R": resource("AWS::CloudWatch::Alarm", {"Period": 300})}, {"CloudWatch alarm, per metric": 0.1}),
        (
            {"R": resource("AWS::CloudWatch::Alarm", {"Metrics": [{"Expression": "a + b"}, METRIC, METRIC]})},
            {"CloudWatch alarm, per metric": 0.2},
        ),
        (
            {"R": resource("AWS::CloudWatch::Alarm", {"Period": 10})},
            {"CloudWatch alarm of high resolution, per metric": 0.3},
        ),
        ({"R": resource("AWS::CloudWatch::Dashboard")}, {"CloudWatch dashboard": 3.0}),
        (
            {
                "F": resource("AWS::Lambda::Function", {"MemorySize": 512, "Architectures": ["arm64"]}),
                "A": resource("AWS::Lambda::Alias", ALIAS),
            },
            {"Provisioned concurrency (arm64), GB": 8.76},
        ),
        ({"R": resource("AWS::S3::Bucket"), "P": resource("AWS::IAM::Role")}, {}),
    ],
)
def test_each_standing_resource_is_priced(resources: dict[str, Any], items: dict[str, float]) -> None:
    found = cost(**resources)
    assert {item.label: item.head for item in found.items} == items
    assert found.unpriced == ()


@pytest.mark.parametrize(
    ("resources", "named"),
    [
        ({"R": resource("AWS::ElastiCache::CacheCluster")}, "AWS::ElastiCache::CacheCluster (0 → 1)"),
        (
            {"R": resource("AWS::RDS::DBInstance", {"DBInstanceClass": "db.r7g.large"})},
            "AWS::RDS::DBInstance: db.r7g.large (0 → 1)",
        ),
        ({"R": resource("AWS::DynamoDB::Table")}, "AWS::DynamoDB::Table: provisioned capacity (0 → 1)"),
        (
            {"R": resource("AWS::ElasticLoadBalancingV2::LoadBalancer", {"Type": "network"})},
            "AWS::ElasticLoadBalancingV2::LoadBalancer: network (0 → 1)",
        ),
        (
            {"C": CLUSTER | {"Properties": {}}, "R": resource("AWS::RDS::DBInstance", SERVERLESS)},
            "AWS::RDS::DBInstance: db.serverless (0 → 1)",
        ),
        (
            {"R": resource("AWS::WAFv2::WebACL", {"Rules": {"Fn::If": ["C", [], []]}})},
            "AWS::WAFv2::WebACL: rules that depend (0 → 1)",
        ),
        ({"R": resource("AWS::KMS::Key", Condition="C")}, "AWS::KMS::Key: under a condition, kms_key (0 → 1)"),
        ({"A": resource("AWS::Lambda::Alias", ALIAS)}, "AWS::Lambda::Alias: provisioned concurrency (0 → 1)"),
    ],
)
def test_a_resource_without_a_price_is_named(resources: dict[str, Any], named: str) -> None:
    found = cost(**resources)
    assert (found.unpriced, found.head) == ((named,), 0)


def test_base_and_head_are_compared_by_environment() -> None:
    def side(keys: int) -> dict[str, Any]:
        return stacks(stack({f"K{n}": resource("AWS::KMS::Key") for n in range(keys)}))

    gone = stack({"K": resource("AWS::KMS::Key")}, path="Old/Platform")
    dev, old = costs.compare(side(1) | stacks(gone), side(3))
    assert (dev.environment, dev.base, dev.head, dev.difference) == ("dev", 1.0, 3.0, 2.0)
    assert (old.environment, old.base, old.head, old.difference) == ("old", 1.0, 0, -1.0)


def test_every_price_has_a_source_and_a_date() -> None:
    table, _ = prices()
    assert all(price.usd > 0 and price.source and price.seen and price.per for price in table.values())
    assert {key: monthly(key, 0) for key in table} == dict.fromkeys(table, 0.0)
