"""Requirement 4.2.1: strong cryptography in transit. A policy is judged by what it allows.

Accepted is TLS 1.2 with forward secrecy and authenticated encryption, or TLS 1.3. Sources: the tables of security
policies in the guides of Elastic Load Balancing, API Gateway, CloudFront and OpenSearch Service.
"""

from typing import Any

from pipeline.compliance.pci_dss_4.declaration import (
    BUCKET,
    CLASSIC_BALANCER,
    CLUSTER,
    DISTRIBUTION,
    DOMAIN,
    INSTANCE,
    QUEUE,
    TOPIC,
    in_cluster,
    rule,
)
from pipeline.compliance.pci_dss_4.policies import refuses_plain_text
from pipeline.compliance.resolution import flag, text
from pipeline.compliance.template_pack import Resource

LISTENER_POLICIES = frozenset(
    f"ELBSecurityPolicy-TLS13-1-{each}"
    for each in (
        "3-2021-06", "3-PQ-2025-09", "3-FIPS-2023-04", "3-FIPS-PQ-2025-09",
        "2-Res-2021-06", "2-Res-PQ-2025-09", "2-Res-FIPS-2023-04", "2-Res-FIPS-PQ-2025-09",
    )
)  # fmt: skip
"""The policies of load balancers without CBC and without key exchange by RSA."""
API_POLICIES = frozenset(
    f"SecurityPolicy_TLS13_1_{each}"
    for each in (
        "3_2025_09", "3_FIPS_2025_09", "2_PFS_PQ_2025_09", "2_FIPS_PFS_PQ_2025_09", "2_2021_06",
    )
)  # fmt: skip
VIEWER_POLICIES = ("TLSv1.2_2021", "TLSv1.2_2025", "TLSv1.3_2025")
SEARCH_POLICY = "Policy-Min-TLS-1-2-PFS-2023-10"
VERSIONS = ("TLSv1.2", "TLSv1.3")
API, DOMAIN_NAME = "AWS::ApiGateway::RestApi", "AWS::ApiGateway::DomainName"
HTTP_DOMAIN_NAME = "AWS::ApiGatewayV2::DomainName"
LISTENER, TARGETS = "AWS::ElasticLoadBalancingV2::Listener", "AWS::ElasticLoadBalancingV2::TargetGroup"
METHOD, HTTP_INTEGRATION = "AWS::ApiGateway::Method", "AWS::ApiGatewayV2::Integration"
CACHE, BROKERS = "AWS::ElastiCache::ReplicationGroup", "AWS::MSK::Cluster"
COPIER, TASK, SUBSCRIPTION = "AWS::DMS::Endpoint", "AWS::ECS::TaskDefinition", "AWS::SNS::Subscription"


@rule(
    "4.2.1",
    "ListenerTls",
    LISTENER,
    CLASSIC_BALANCER,
    fault="The listener speaks less than TLS 1.2, or suites without forward secrecy or with CBC",
)
def listener_tls(listener: Resource) -> bool:
    # A classic load balancer has no policy without CBC.
    return (
        listener.kind == LISTENER
        and listener.get("Protocol") in ("HTTPS", "TLS")
        and listener.get("SslPolicy") in LISTENER_POLICIES
    )


@rule("4.2.1", "ApiTls", API, DOMAIN_NAME, HTTP_DOMAIN_NAME, DISTRIBUTION, fault="The API speaks less than TLS 1.2")
def api_tls(door: Resource) -> bool:
    if door.kind == DISTRIBUTION:
        return _viewers_use_tls(door.get("DistributionConfig"))
    if door.kind == HTTP_DOMAIN_NAME:
        names = door.items("DomainNameConfigurations")
        return bool(names) and all(each.get("SecurityPolicy") in API_POLICIES for each in names)
    return door.get("SecurityPolicy") in API_POLICIES


@rule(
    "4.2.1",
    "BackendTls",
    METHOD,
    HTTP_INTEGRATION,
    TARGETS,
    DISTRIBUTION,
    "AWS::CodeBuild::Project",
    fault="The backend is called without HTTPS, or need not prove who it is",
)
def backend_tls(caller: Resource) -> bool:
    match caller.kind:
        case "AWS::CloudFront::Distribution":
            origins = [each.get("CustomOriginConfig") for each in caller.items("DistributionConfig.Origins")]
            return all(each is None or _speaks_tls(each) for each in origins)
        case "AWS::CodeBuild::Project":
            return flag(caller.get("Source.InsecureSsl") or False) is False
        case "AWS::ElasticLoadBalancingV2::TargetGroup":
            return caller.get("TargetType") == "lambda" or caller.get("Protocol") in ("HTTPS", "TLS")
        case "AWS::ApiGatewayV2::Integration":
            private = caller.get("ConnectionType") == "VPC_LINK"
            if caller.get("IntegrationType") not in ("HTTP", "HTTP_PROXY"):
                return True
            named = bool(caller.get("TlsConfig.ServerNameToVerify"))
            return named if private else text(caller.get("IntegrationUri")).startswith("https://")
    verified = flag(caller.get("Integration.TlsConfig.InsecureSkipVerification") or False) is False
    proxied = caller.get("Integration.Type") not in ("AWS", "AWS_PROXY", "MOCK", None)
    return not proxied or (verified and text(caller.get("Integration.Uri")).startswith("https://"))


@rule("4.2.1", "BucketTls", BUCKET, fault="The bucket takes requests without TLS")
def bucket_tls(bucket: Resource) -> bool:
    return refuses_plain_text(bucket, "AWS::S3::BucketPolicy", "Bucket", "s3:GetObject", "s3:PutObject",
                              "s3:ListBucket", "s3:DeleteObject", inside=True)  # fmt: skip


@rule("4.2.1", "TopicTls", TOPIC, SUBSCRIPTION, fault="The topic takes requests, or sends notices, without TLS")
def topic_tls(topic: Resource) -> bool:
    if topic.kind == SUBSCRIPTION:
        return isinstance(topic.get("Protocol"), str) and topic.get("Protocol") != "http"
    return refuses_plain_text(topic, "AWS::SNS::TopicPolicy", "Topics", "sns:Publish")


@rule("4.2.1", "QueueTls", QUEUE, fault="The queue takes requests without TLS")
def queue_tls(queue: Resource) -> bool:
    return refuses_plain_text(queue, "AWS::SQS::QueuePolicy", "Queues", "sqs:SendMessage", "sqs:ReceiveMessage")


@rule("4.2.1", "DatabaseTls", CLUSTER, INSTANCE, fault="The database takes connections without TLS 1.2")
def database_tls(database: Resource) -> bool:
    if in_cluster(database):
        return True
    name = "DBClusterParameterGroupName" if database.kind == CLUSTER else "DBParameterGroupName"
    groups = [each.get("Parameters") or {} for each in database.template.referred(database.get(name))
              if each.kind in ("AWS::RDS::DBClusterParameterGroup", "AWS::RDS::DBParameterGroup")]  # fmt: skip
    return any(
        str(each.get("rds.force_ssl")) == "1" and each.get("ssl_min_protocol_version") in VERSIONS for each in groups
    )


@rule(
    "4.2.1",
    "StoreTls",
    DOMAIN,
    CACHE,
    BROKERS,
    COPIER,
    TASK,
    fault="Search, cache, broker or copy of data is connected without TLS 1.2",
)
def store_tls(store: Resource) -> bool:
    if store.kind == COPIER:
        return store.get("EngineName") == "s3" or store.get("SslMode") in ("require", "verify-ca", "verify-full")
    if store.kind == TASK:
        volumes = [each.get("EFSVolumeConfiguration") for each in store.items("Volumes")]
        return all(each is None or each.get("TransitEncryption") == "ENABLED" for each in volumes)
    if store.kind == CACHE:
        return flag(store.get("TransitEncryptionEnabled")) is True and store.get("TransitEncryptionMode") != "preferred"
    if store.kind == BROKERS:
        encryption: Any = "EncryptionInfo.EncryptionInTransit"
        between = store.get(f"{encryption}.InCluster")
        return (
            store.get(f"{encryption}.ClientBroker") in (None, "TLS")
            and flag(True if between is None else between) is True
        )
    options = "DomainEndpointOptions"
    https = flag(store.get(f"{options}.EnforceHTTPS")) is True
    return https and store.get(f"{options}.TLSSecurityPolicy") == SEARCH_POLICY


def _speaks_tls(origin: Any) -> bool:
    versions = origin.get("OriginSSLProtocols")  # without one, CloudFront also speaks TLS 1.0
    return bool(origin.get("OriginProtocolPolicy") == "https-only" and versions == ["TLSv1.2"])


def _viewers_use_tls(config: Any) -> bool:
    behaviours = [config["DefaultCacheBehavior"], *(config.get("CacheBehaviors") or [])]
    redirected = all(each["ViewerProtocolPolicy"] in ("https-only", "redirect-to-https") for each in behaviours)
    return redirected and config["ViewerCertificate"]["MinimumProtocolVersion"] in VIEWER_POLICIES
