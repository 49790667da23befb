"""Requirements 3.5.1 and 3.7.4: data at rest is encrypted with keys of the platform's own, which are replaced."""

from dataclasses import dataclass
from typing import Any

from pipeline.compliance.pci_dss_4.declaration import (
    BUCKET,
    CLUSTER,
    DOMAIN,
    FUNCTION,
    HTTP_STAGE,
    INSTANCE,
    QUEUE,
    SECRET,
    STAGE,
    TOPIC,
    in_cluster,
    rule,
)
from pipeline.compliance.resolution import flag, number, text, unknown
from pipeline.compliance.template_pack import EVERY_KIND, Resource

KMS_KINDS = ("AWS::KMS::Key", "AWS::KMS::Alias", "AWS::KMS::ReplicaKey")
YEAR = 365


@dataclass(frozen=True)
class Store:
    """Where a kind of store says how it is encrypted."""

    key: str
    """Path of the key's id."""
    switch: str = ""
    """Path of the value that turns encryption by this key on, if there is one."""
    on: tuple[Any, ...] = (True,)


def _same(*kinds: str, store: Store) -> dict[str, Store]:
    return dict.fromkeys(kinds, store)


BY_DEFAULT = "BucketEncryption.ServerSideEncryptionConfiguration.0.ServerSideEncryptionByDefault"
STORES = {
    BUCKET: Store(f"{BY_DEFAULT}.KMSMasterKeyID", f"{BY_DEFAULT}.SSEAlgorithm", ("aws:kms", "aws:kms:dsse")),
    "AWS::DynamoDB::Table": Store("SSESpecification.KMSMasterKeyId", "SSESpecification.SSEEnabled"),
    "AWS::EC2::Volume": Store("KmsKeyId", "Encrypted"),
    "AWS::EFS::FileSystem": Store("KmsKeyId", "Encrypted"),
    "AWS::Redshift::Cluster": Store("KmsKeyId", "Encrypted"),
    "AWS::Kinesis::Stream": Store("StreamEncryption.KeyId", "StreamEncryption.EncryptionType", ("KMS",)),
    "AWS::KinesisFirehose::DeliveryStream": Store(
        "DeliveryStreamEncryptionConfigurationInput.KeyARN",
        "DeliveryStreamEncryptionConfigurationInput.KeyType",
        ("CUSTOMER_MANAGED_CMK",),
    ),
    "AWS::ECR::Repository": Store(
        "EncryptionConfiguration.KmsKey", "EncryptionConfiguration.EncryptionType", ("KMS", "KMS_DSSE")
    ),
    "AWS::Backup::BackupVault": Store("EncryptionKeyArn"),
    "AWS::CodeBuild::Project": Store("EncryptionKey"),
    "AWS::DMS::ReplicationConfig": Store("ComputeConfig.KmsKeyId"),
    **_same("AWS::DMS::Endpoint", "AWS::DMS::ReplicationInstance", store=Store("KmsKeyId")),
    "AWS::MSK::Cluster": Store("EncryptionInfo.EncryptionAtRest.DataVolumeKMSKeyId"),
    "AWS::ElastiCache::ReplicationGroup": Store("KmsKeyId", "AtRestEncryptionEnabled"),
    **_same(CLUSTER, INSTANCE, "AWS::DocDB::DBCluster", "AWS::Neptune::DBCluster",
            store=Store("KmsKeyId", "StorageEncrypted")),
    **_same(DOMAIN, "AWS::Elasticsearch::Domain",
            store=Store("EncryptionAtRestOptions.KmsKeyId", "EncryptionAtRestOptions.Enabled")),
    **_same("AWS::Logs::LogGroup", SECRET, "AWS::FSx::FileSystem", store=Store("KmsKeyId")),
    **_same(TOPIC, QUEUE, store=Store("KmsMasterKeyId")),
}  # fmt: skip
GLOBAL_TABLE = "AWS::DynamoDB::GlobalTable"
SWITCHED_OFF = {
    "AWS::CodeBuild::Project": ("Artifacts.EncryptionDisabled", "LogsConfig.S3Logs.EncryptionDisabled"),
}
"""Properties that end the encryption beside a key."""

STORING_NOTHING = tuple(
    [
        "AWS::ApiGateway::",
        "AWS::ApiGatewayV2::",
        "AWS::ApplicationAutoScaling::",
        "AWS::CDK::Metadata",
        "AWS::CertificateManager::",
        "AWS::CloudFormation::WaitCondition",
        "AWS::CloudTrail::Trail",
        "AWS::CloudWatch::",
        "AWS::CodePipeline::Pipeline",
        "AWS::CodeStarNotifications::",
        "AWS::CloudFront::",
        "AWS::CodeBuild::ReportGroup",
        "AWS::Cognito::IdentityPool",
        "AWS::DMS::ReplicationSubnetGroup",
        "AWS::EC2::EIP",
        "AWS::EC2::EgressOnlyInternetGateway",
        "AWS::EC2::FlowLog",
        "AWS::EC2::InternetGateway",
        "AWS::EC2::NatGateway",
        "AWS::EC2::NetworkAcl",
        "AWS::EC2::NetworkAclEntry",
        "AWS::EC2::PrefixList",
        "AWS::EC2::Route",
        "AWS::EC2::RouteTable",
        "AWS::EC2::SecurityGroup",
        "AWS::EC2::SecurityGroupEgress",
        "AWS::EC2::SecurityGroupIngress",
        "AWS::EC2::Subnet",
        "AWS::EC2::SubnetNetworkAclAssociation",
        "AWS::EC2::SubnetRouteTableAssociation",
        "AWS::EC2::VPC",
        "AWS::EC2::VPCEndpoint",
        "AWS::EC2::VPCGatewayAttachment",
        "AWS::ECS::Cluster",
        "AWS::ECS::TaskDefinition",
        "AWS::ElasticLoadBalancing::",
        "AWS::ElasticLoadBalancingV2::",
        "AWS::Events::EventBusPolicy",
        "AWS::Events::Rule",
        "AWS::IAM::",
        "AWS::KMS::Alias",
        "AWS::KMS::Key",
        "AWS::Lambda::Alias",
        "AWS::Lambda::EventSourceMapping",
        "AWS::Lambda::Function",
        "AWS::Lambda::Permission",
        "AWS::Lambda::Url",
        "AWS::Lambda::Version",
        "AWS::Logs::MetricFilter",
        "AWS::Logs::SubscriptionFilter",
        "AWS::RDS::DBClusterParameterGroup",
        "AWS::RDS::DBParameterGroup",
        "AWS::RDS::DBSubnetGroup",
        "AWS::S3::BucketPolicy",
        "AWS::SNS::Subscription",
        "AWS::SNS::TopicPolicy",
        "AWS::SQS::QueuePolicy",
        "AWS::SSM::Parameter",
        "AWS::Scheduler::",
        "AWS::SecretsManager::ResourcePolicy",
        "AWS::SecretsManager::RotationSchedule",
        "AWS::ServiceDiscovery::",
        "AWS::WAFv2::",
    ]
)
"""The reviewed kinds, and services, that keep no data of a payment. CodePipeline and CloudTrail keep theirs in a
bucket, and CloudFormation writes parameters of SSM as plain text only, so settings are all that they hold."""
OWN_CUSTOM = frozenset(
    f"Custom::{each}"
    for each in (
        "BlueAlias", "DatabaseSchema",
        "FirstSeal", "EmptyBucket", "IntegrationTls", "LogRetention", "S3AutoDeleteObjects",
        "SteadyState", "VpcRestrictDefaultSG",
    )
)  # fmt: skip
"""The custom resources whose functions were reviewed. Any other may do anything, so it is a finding."""


@rule("3.5.1", "EncryptedAtRest", *STORES, GLOBAL_TABLE, fault="Data is not encrypted with a key of the platform's own")
def encrypted_at_rest(store: Resource) -> bool:
    if store.kind == GLOBAL_TABLE:
        replicas = store.items("Replicas")
        keys = [replica["SSESpecification"]["KMSMasterKeyId"] for replica in replicas]
        return (
            flag(store.get("SSESpecification.SSEEnabled")) is True and bool(keys) and all(own(store, k) for k in keys)
        )
    if any(flag(store.get(each) or False) is not False for each in SWITCHED_OFF.get(store.kind, ())):
        return False
    # Performance Insights keeps the text of queries.
    insights = flag(store.get("EnablePerformanceInsights") or False)
    if insights is not False and not own(store, store.get("PerformanceInsightsKMSKeyId")):
        return False
    if in_cluster(store):
        return True
    where = STORES[store.kind]
    if where.switch:
        value = store.get(where.switch)
        if not (flag(value) is True if where.on == (True,) else value in where.on):
            return False
    return own(store, store.get(where.key))


@rule("3.5.1", "NoPayloadsKept", STAGE, HTTP_STAGE, fault="The API logs or caches whole requests and answers")
def no_payloads_kept(stage: Resource) -> bool:
    routes = [*stage.items("DefaultRouteSettings"), *(stage.get("RouteSettings") or {}).values()]
    settings = [*stage.items("MethodSettings"), *routes]
    kept = [each.get(name, False) for each in settings for name in ("DataTraceEnabled", "CachingEnabled")]
    return all(flag(each) is False for each in [*kept, stage.get("CacheClusterEnabled") or False])


@rule(
    "3.5.1",
    "KnownKinds",
    EVERY_KIND,
    fault="Nobody has reviewed whether this kind stores data, or what its function does",
)
def known_kinds(resource: Resource) -> bool:
    kind = resource.kind
    if kind in OWN_CUSTOM:
        # Elsewhere a function with the same name could be another one.
        return [each.kind for each in resource.template.referred(resource.get("ServiceToken"))] == [FUNCTION]
    if kind in STORES or kind == GLOBAL_TABLE or kind == "AWS::CloudFormation::Stack":
        return True
    return any(kind == each or (each.endswith("::") and kind.startswith(each)) for each in STORING_NOTHING)


@rule("3.7.4", "KeyRotation", "AWS::KMS::Key", fault="The key is not replaced at the end of its cryptoperiod")
def key_rotation(key: Resource) -> bool:
    period = key.get("RotationPeriodInDays")
    days = YEAR if period is None else number(period)
    made_by_kms = key.get("Origin") in (None, "AWS_KMS", "AWS_CLOUDHSM")
    return flag(key.get("EnableKeyRotation")) is True and days is not None and days <= YEAR and made_by_kms


def own(store: Resource, key: Any) -> bool:
    """Whether ``key`` names a key that the platform manages: one of a template, or one of the stack's account.

    A bare id or alias is always of the account. An ARN may be of another one, whose owner can take the key away.
    """
    if not key or unknown(key):
        return False
    referred = store.template.referred(key)
    if referred:
        return all(each.kind in KMS_KINDS for each in referred)
    name = text(key)
    if ":" in name:
        _, _, service, region, account, name = [*name.split(":", 5), *[""] * 5][:6]
        if service != "kms" or not _is_here(store, account, region):
            return False
    return name.strip("\0") != "" and "alias/aws/" not in name


def _is_here(store: Resource, account: str, region: str) -> bool:
    """Whether these are of the store's stack: as pseudo parameters, or as its manifest names them."""
    own_account, own_region = store.template.environment.removeprefix("aws://").split("/")
    return account in ("\0", own_account) and region in ("\0", own_region)
