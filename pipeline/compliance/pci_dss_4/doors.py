"""Requirements 1.4.2, 1.4.4, 6.4.2 and 8.3.1: what the world can reach, and who may call it."""

from typing import Any

from pipeline.compliance.pci_dss_4.declaration import (
    BUCKET,
    CLASSIC_BALANCER,
    CLUSTER,
    DISTRIBUTION,
    DOMAIN,
    HTTP_STAGE,
    INSTANCE,
    LOAD_BALANCER,
    STAGE,
    rule,
)
from pipeline.compliance.resolution import flag, number, text, unknown
from pipeline.compliance.template_pack import Resource

METHOD, ROUTE, HTTP_API = "AWS::ApiGateway::Method", "AWS::ApiGatewayV2::Route", "AWS::ApiGatewayV2::Api"
REST_API, FUNCTION_URL = "AWS::ApiGateway::RestApi", "AWS::Lambda::Url"
GRAPH_API, IDENTITY_POOL = "AWS::AppSync::GraphQLApi", "AWS::Cognito::IdentityPool"
WEB_ACL = "AWS::WAFv2::WebACL"
CLOSED: dict[str, tuple[str, Any]] = {
    INSTANCE: ("PubliclyAccessible", False),
    "AWS::Redshift::Cluster": ("PubliclyAccessible", False),
    "AWS::DMS::ReplicationInstance": ("PubliclyAccessible", False),
    "AWS::AmazonMQ::Broker": ("PubliclyAccessible", False),
    "AWS::EKS::Cluster": ("ResourcesVpcConfig.EndpointPublicAccess", False),
    "AWS::SageMaker::NotebookInstance": ("DirectInternetAccess", "Disabled"),
}
"""Kinds that are open, or may become so, unless a property says otherwise: its path, and the value that closes."""
CLOSED_BY_DEFAULT: dict[str, tuple[str, Any]] = {
    CLUSTER: ("PubliclyAccessible", False),
    "AWS::RedshiftServerless::Workgroup": ("PubliclyAccessible", False),
    "AWS::MSK::Cluster": ("BrokerNodeGroupInfo.ConnectivityInfo.PublicAccess.Type", "DISABLED"),
}
IN_A_VPC = {
    DOMAIN: "VPCOptions.SubnetIds",
    "AWS::Elasticsearch::Domain": "VPCOptions.SubnetIds",
}
SUBNETS, ROUTE_OF_SUBNET = "AWS::RDS::DBSubnetGroup", "AWS::EC2::SubnetRouteTableAssociation"
CACHE, BROKERS = "AWS::ElastiCache::ReplicationGroup", "AWS::MSK::Cluster"
AUTHORIZERS = ("AWS_IAM", "CUSTOM", "COGNITO_USER_POOLS", "JWT")


@rule(
    "1.4.2",
    "PrivateLoadBalancer",
    LOAD_BALANCER,
    CLASSIC_BALANCER,
    fault="The load balancer is reachable from outside, past the API",
)
def private_load_balancer(balancer: Resource) -> bool:
    return bool(balancer.get("Scheme") == "internal")


ATTACKS = ("ManagedRuleGroupStatement", "RuleGroupReferenceStatement", "SqliMatchStatement", "XssMatchStatement")
"""What in a firewall knows attacks. Lists of addresses and countries do not."""


@rule(
    "1.4.4",
    "PrivateDatabase",
    *CLOSED,
    *CLOSED_BY_DEFAULT,
    *IN_A_VPC,
    SUBNETS,
    fault="The database may have a public address",
)
def private_database(store: Resource) -> bool:
    if store.kind == SUBNETS:
        return not any(map(_leads_to_internet, store.template.referred(store.get("SubnetIds"))))
    if store.kind in IN_A_VPC:
        return bool(store.items(IN_A_VPC[store.kind]))
    path, closed = {**CLOSED, **CLOSED_BY_DEFAULT}[store.kind]
    value = store.get(path)
    if value is None:
        return store.kind in CLOSED_BY_DEFAULT
    return flag(value) is closed if isinstance(closed, bool) else bool(value == closed)


def _leads_to_internet(subnet: Resource) -> bool:
    """Whether a route table of the subnet has a route to an internet gateway, so that the world can answer and call."""
    tables = [
        table
        for each in subnet.referrers(ROUTE_OF_SUBNET, by="SubnetId")
        for table in subnet.template.referred(each.get("RouteTableId"))
    ]
    routes = [route for table in tables for route in table.referrers("AWS::EC2::Route", by="RouteTableId")]
    return any(_is_internet(route, route.get("GatewayId")) for route in routes)


def _is_internet(route: Resource, gateway: Any) -> bool:
    kinds = [each.kind for each in route.template.referred(gateway)]
    return unknown(gateway) or text(gateway).startswith("igw-") or "AWS::EC2::InternetGateway" in kinds


@rule("1.4.4", "PrivateBucket", BUCKET, fault="The bucket does not block every kind of public access")
def private_bucket(bucket: Resource) -> bool:
    names = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    return all(flag(bucket.get(f"PublicAccessBlockConfiguration.{name}")) is True for name in names)


@rule(
    "8.3.1",
    "AuthenticatedApi",
    METHOD,
    ROUTE,
    HTTP_API,
    REST_API,
    FUNCTION_URL,
    GRAPH_API,
    IDENTITY_POOL,
    fault="The route does not ask who is calling",
)
def authenticated_api(door: Resource) -> bool:
    match door.kind:
        case "AWS::Lambda::Url":
            return bool(door.get("AuthType") == "AWS_IAM")
        case "AWS::AppSync::GraphQLApi":
            more = [each.get("AuthenticationType") for each in door.items("AdditionalAuthenticationProviders")]
            types = [door.get("AuthenticationType"), *more]
            return all(isinstance(each, str) and each != "API_KEY" for each in types)
        case "AWS::Cognito::IdentityPool":
            return flag(door.get("AllowUnauthenticatedIdentities")) is False
        case "AWS::ApiGatewayV2::Api":
            # A quick-create API has one route without authorisation. Routes of an OpenAPI document are not seen.
            return not any(door.get(name) for name in ("Target", "Body", "BodyS3Location"))
        case "AWS::ApiGateway::RestApi":
            return not any(door.get(name) for name in ("Body", "BodyS3Location"))
    answered_here = door.get("HttpMethod") == "OPTIONS" and door.get("Integration.Type") == "MOCK"
    return answered_here or bool(door.get("AuthorizationType") in AUTHORIZERS)


@rule("8.3.1", "AuthenticatedStore", CACHE, BROKERS, fault="The cache or broker does not ask who is calling")
def authenticated_store(store: Resource) -> bool:
    if store.kind == CACHE:
        return bool(store.get("AuthToken") or store.items("UserGroupIds"))
    how = store.get("ClientAuthentication") or {}
    asked = [flag(each.get("Enabled")) for each in (how.get("Tls") or {}, *(how.get("Sasl") or {}).values())]
    return True in asked and flag((how.get("Unauthenticated") or {}).get("Enabled", False)) is False


@rule(
    "6.4.2",
    "WebApplicationFirewall",
    STAGE,
    HTTP_STAGE,
    DISTRIBUTION,
    fault="No web application firewall that blocks stands before the public API",
)
def web_application_firewall(door: Resource) -> bool:
    if door.kind == HTTP_STAGE:
        return False  # AWS WAF can't protect HTTP APIs
    if door.kind == DISTRIBUTION:
        arns = [door.get("DistributionConfig.WebACLId")]
    else:
        arns = [each.get("WebACLArn") for each in door.referrers("AWS::WAFv2::WebACLAssociation", by="ResourceArn")]
    return any(
        acl.kind == WEB_ACL and _stops_attacks(acl.items("Rules"))
        for arn in arns
        for acl in door.template.referred(arn)
    )


def _stops_attacks(acl_rules: list[Any]) -> bool:
    """Whether a rule that knows attacks sees each request, and no rule before it lets requests through."""
    for each in sorted(acl_rules, key=lambda each: number(each.get("Priority", 0)) or 0):
        if unknown(each) or "Allow" in (each.get("Action") or {}):
            return False
        [kind] = each["Statement"]
        if _blocks(each) and kind in ATTACKS and "ScopeDownStatement" not in each["Statement"][kind]:
            return True
    return False


def _blocks(acl_rule: dict[str, Any]) -> bool:
    """Whether the rule of a web ACL may block a request. A group's rules do, unless they are overridden to count."""
    return "Block" in (acl_rule.get("Action") or {}) or "None" in (acl_rule.get("OverrideAction") or {})
