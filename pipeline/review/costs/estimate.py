"""Counts the resources of a template that cost money by the hour or month, and prices them.

Costs by use (requests, data, storage, logs, builds) are left out, because the template does not tell them. The estimate
names each type of resource without a price in the table.
"""

import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.assembly import references
from pipeline.review.templates.stack import Resource, Stack

TABLE = Path(__file__).with_name("prices.toml")
Properties = Mapping[str, Any]
Counted = tuple[str, float | None]
"""A key of the price table and its quantity. ``None``: the quantity is unknown, or there is no price."""
SECONDS_PER_HOUR = 3600
LEFT_OUT = "requests, data, storage, logs, capacity above the minimum, rotated key versions, free tiers and discounts"
REGION = "us-east-1"

WITHOUT_FIXED_PRICE = (
    "AWS::ApiGateway", "AWS::CDK::", "AWS::CloudFormation::", "AWS::CloudTrail::Trail", "AWS::CloudWatch::",
    "AWS::CodeBuild::", "AWS::CodePipeline::", "AWS::CodeStarNotifications::", "AWS::DynamoDB::",
    "AWS::EC2::EgressOnlyInternetGateway", "AWS::EC2::FlowLog", "AWS::EC2::InternetGateway", "AWS::EC2::NetworkAcl",
    "AWS::EC2::Route", "AWS::EC2::SecurityGroup", "AWS::EC2::Subnet", "AWS::EC2::VPC", "AWS::ECS::Cluster",
    "AWS::ECS::TaskDefinition", "AWS::ElasticLoadBalancingV2::Listener", "AWS::ElasticLoadBalancingV2::TargetGroup",
    "AWS::Events::Rule", "AWS::IAM::", "AWS::KMS::Alias", "AWS::Lambda::", "AWS::Logs::", "AWS::RDS::DBCluster",
    "AWS::RDS::DBSubnetGroup", "AWS::S3::", "AWS::SNS::", "AWS::SQS::", "AWS::SSM::Parameter",
    "AWS::SecretsManager::ResourcePolicy", "AWS::SecretsManager::RotationSchedule", "AWS::WAFv2::IPSet",
    "AWS::WAFv2::LoggingConfiguration", "AWS::WAFv2::RegexPatternSet", "AWS::WAFv2::WebACLAssociation", "Custom::",
)  # fmt: skip
"""Prefixes of types that are free or paid by use. The estimate names any other type without a price."""
PAID_RULE_GROUPS = ("BotControl", "ATPRuleSet", "ACFPRuleSet", "AntiDDoS")
"""AWS's rule groups with a subscription of their own."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """One line of the table."""

    label: str
    usd: float
    per: str
    """``second``, ``hour`` or ``month``."""
    source: str
    seen: date


@dataclass(frozen=True)
class Standing:
    """The counts of a template: quantities by key of the price table, and the types without a price."""

    quantities: Mapping[str, float]
    unpriced: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Item:
    """One line of an environment's estimate, in USD a month."""

    label: str
    base_quantity: float
    head_quantity: float
    base: float
    head: float

    @property
    def difference(self) -> float:
        return self.head - self.base


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One environment's estimate. Where the environment does not exist, it costs nothing."""

    environment: str
    items: tuple[Item, ...]
    unpriced: tuple[str, ...]
    """Types without a price whose number changed."""

    @property
    def base(self) -> float:
        return sum(item.base for item in self.items)

    @property
    def head(self) -> float:
        return sum(item.head for item in self.items)

    @property
    def difference(self) -> float:
        return self.head - self.base


def compare(base: Mapping[str, Stack], head: Mapping[str, Stack]) -> tuple[Cost, ...]:
    """The estimates of all environments of both sides."""
    environments = dict.fromkeys(stack.environment for stack in (*head.values(), *base.values()))
    return tuple(_compare(name, _standing_of(name, base), _standing_of(name, head)) for name in environments)


def oldest_price() -> date:
    return min(price.seen for price in prices()[0].values())


@cache
def prices() -> tuple[dict[str, Price], float]:
    """The table, and the hours of a month."""
    table = tomllib.loads(TABLE.read_text())
    hours = table.pop("hours_per_month")
    return {key: Price(**line) for key, line in table.items()}, hours


def monthly(key: str, quantity: float) -> float:
    """In USD, rounded to cents."""
    table, hours = prices()
    price = table[key]
    times = {"month": 1, "hour": hours, "second": hours * SECONDS_PER_HOUR}[price.per]
    return round(price.usd * times * quantity, 2)


def _compare(environment: str, base: Standing, head: Standing) -> Cost:
    items = tuple(
        Item(label=price.label, base_quantity=was, head_quantity=now, base=monthly(key, was), head=monthly(key, now))
        for key, price in prices()[0].items()
        if (was := base.quantities.get(key, 0)) + (now := head.quantities.get(key, 0))
    )
    changed = [
        f"{type} ({base.unpriced.get(type, 0)} → {head.unpriced.get(type, 0)})"
        for type in sorted({*base.unpriced, *head.unpriced})
        if base.unpriced.get(type) != head.unpriced.get(type)
    ]
    return Cost(environment=environment, items=items, unpriced=tuple(changed))


def _standing_of(environment: str, stacks: Mapping[str, Stack]) -> Standing:
    of = [standing(stack) for stack in stacks.values() if stack.environment == environment]
    quantities: dict[str, float] = {}
    unpriced: Counter[str] = Counter()
    for each in of:
        for key, quantity in each.quantities.items():
            quantities[key] = quantities.get(key, 0) + quantity
        unpriced.update(each.unpriced)
    return Standing(quantities, unpriced)


def standing(stack: Stack) -> Standing:
    """The resources of ``stack`` that cost money without any request."""
    quantities: dict[str, float] = {}
    unpriced: Counter[str] = Counter()
    for resource in stack.resources.values():
        depends = "Condition" in resource
        counted = [
            (f"under a condition, {key}", None) if depends else (key, n) for key, n in _count(resource, stack.resources)
        ]
        for key, quantity in counted:
            if quantity is None:
                unpriced[f"{resource['Type']}: {key}"] += 1
            else:
                quantities[key] = quantities.get(key, 0) + quantity
        if not counted and not resource["Type"].startswith(WITHOUT_FIXED_PRICE):
            unpriced[resource["Type"]] += 1
    return Standing(quantities, unpriced)


def _count(resource: Resource, all: Mapping[str, Resource]) -> Iterator[Counted]:
    properties, type = resource.get("Properties", {}), resource["Type"]
    if type in ONE_EACH:
        yield ONE_EACH[type], 1
    elif type in COUNTERS:
        yield from COUNTERS[type](properties, all)


def _nat_gateway(properties: Properties, all: Mapping[str, Resource]) -> Iterator[Counted]:
    """A regional gateway costs money per zone, and the template does not tell the zones."""
    yield ("nat_gateway", 1) if properties.get("AvailabilityMode", "zonal") == "zonal" else ("regional", None)


def _endpoint(properties: Properties, all: Mapping[str, Resource]) -> Iterator[Counted]:
    kind, subnets = properties.get("VpcEndpointType", "Gateway"), properties.get("SubnetIds")
    if kind == "Interface" and isinstance(subnets, list):
        yield "interface_endpoint", len(subnets)
    elif kind != "Gateway":
        yield str(kind), None


def _load_balancer(properties: Properties, all: Mapping[str, Resource]) -> Iterator[Counted]:
    if properties.get("Type", "application") != "application":
        yield str(properties["Type"]), None
        return
    yield "application_load_balancer", 1
    if properties.get("Scheme", "internet-facing") == "internet-facing":
        subnets = properties.get("Subnets")
        yield "public_ipv4", len(subnets) if isinstance(subnets, list) else None


def _cluster(properties: Properties, all: Mapping[str, Resource]) -> Iterator[Counted]:
    if properties.get("ManageMasterUserPassword") is True:
        yield "secret", 1


def _database(properties: Properties, all: Mapping[str, Resource]) -> Iterator[Counted]:
    """Each serverless instance keeps at least its cluster's minimum capacity."""
    cluster = all.get(next(references(properties.get("DBClusterIdentifier")), ""), {}).get("Properties", {})
    capacity = cluster.get("ServerlessV2ScalingConfiguration", {}).get("MinCapacity")
    standard = cluster.get("StorageType", "aurora") == "aurora"
    serverless = properties.get("DBInstanceClass") == "db.serverless"
    if serverless and standard and isinstance(capacity, int | float):
        yield "aurora_acu", capacity
    else:
        yield str(properties.get("DBInstanceClass")), None


def _table(properties: Properties, all: Mapping[str, Resource]) -> Iterator[Counted]:
    if properties.get("BillingMode", "PROVISIONED") == "PROVISIONED":
        yield "provisioned capacity", None


def _secret(properties: Properties, all: Mapping[str, Resource]) -> Iterator[Counted]:
    yield "secret", 1 + len(properties.get("ReplicaRegions", []))


def _web_acl(properties: Properties, all: Mapping[str, Resource]) -> Iterator[Counted]:
    rules = properties.get("Rules", [])
    if not isinstance(rules, list):
        yield "rules that depend", None
        return
    yield "web_acl", 1
    yield "web_acl_rule", len(rules)
    for rule in rules:
        group = rule.get("Statement", {}).get("ManagedRuleGroupStatement", {})
        if group and (group.get("VendorName") != "AWS" or any(name in group["Name"] for name in PAID_RULE_GROUPS)):
            yield f"subscription of rule group {group['Name']}", None


def _alarm(properties: Properties, all: Mapping[str, Resource]) -> Iterator[Counted]:
    """An alarm on an expression is charged for each metric in it."""
    metrics = [each["MetricStat"] for each in properties.get("Metrics", []) if "MetricStat" in each]
    periods = [each.get("Period") for each in metrics] or [properties.get("Period")]
    if {type(each) for each in periods} == {int}:
        yield "alarm_metric_high_resolution" if min(periods) < 60 else "alarm_metric", len(periods)
    else:
        yield "a query, or a period that is no number", None


def _provisioned_concurrency(properties: Properties, all: Mapping[str, Resource]) -> Iterator[Counted]:
    """Of an alias or a version."""
    if "ProvisionedConcurrencyConfig" not in properties:
        return
    function = all.get(next(references(properties.get("FunctionName")), ""), {}).get("Properties", {})
    count = properties["ProvisionedConcurrencyConfig"].get("ProvisionedConcurrentExecutions")
    memory = function.get("MemorySize", 128)
    [architecture] = function.get("Architectures", ["x86_64"])
    if function and isinstance(count, int) and isinstance(memory, int):
        yield f"provisioned_concurrency_{architecture}", count * memory / 1024
    else:
        yield "provisioned concurrency", None


ONE_EACH = {
    "AWS::EC2::EIP": "public_ipv4",
    "AWS::KMS::Key": "kms_key",
    "AWS::KMS::ReplicaKey": "kms_key",
    "AWS::CloudWatch::CompositeAlarm": "composite_alarm",
    "AWS::CloudWatch::Dashboard": "dashboard",
}
COUNTERS: dict[str, Callable[[Properties, Mapping[str, Resource]], Iterator[Counted]]] = {
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::DynamoDB::Table": _table,
    "AWS::EC2::NatGateway": _nat_gateway,
    "AWS::EC2::VPCEndpoint": _endpoint,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": _load_balancer,
    "AWS::Lambda::Alias": _provisioned_concurrency,
    "AWS::Lambda::Version": _provisioned_concurrency,
    "AWS::RDS::DBCluster": _cluster,
    "AWS::RDS::DBInstance": _database,
    "AWS::SecretsManager::Secret": _secret,
    "AWS::WAFv2::WebACL": _web_acl,
}
