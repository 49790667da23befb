"""The requirements of PCI DSS 4.0.1 that infrastructure code can meet or break. docs/pci-dss-4.md lists the others.

cdk-nag's pack stops at version 3.2.1, retired in March 2024. Requirement numbers are those of "Payment Card Industry
Data Security Standard: Requirements and Testing Procedures, v4.0.1" (PCI Security Standards Council, June 2024).
"""

import json
import re
from collections.abc import Callable
from typing import Any

from pipeline.compliance.template_pack import Resource, Rule, TemplatePack, text

NAME = "PCI.DSS.401"
TWELVE_MONTHS = 365
ANYWHERE = ("0.0.0.0/0", "::/0")
STRONG_LISTENER = re.compile(r"TLS13-1-[23]|TLS-1-2|FS-1-2")
STRONG_API = re.compile(r"TLS_1_2$|TLS13_1_[23]")

BUCKET = "AWS::S3::Bucket"
CLUSTER = "AWS::RDS::DBCluster"
LOAD_BALANCER = "AWS::ElasticLoadBalancingV2::LoadBalancer"
SECURITY_GROUP = "AWS::EC2::SecurityGroup"
STAGE = "AWS::ApiGateway::Stage"
TOPIC = "AWS::SNS::Topic"
IDENTITY_POLICIES = ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::Role")
RESOURCE_POLICIES = {
    "AWS::KMS::Key": "KeyPolicy",
    "AWS::S3::BucketPolicy": "PolicyDocument",
    "AWS::SecretsManager::ResourcePolicy": "ResourcePolicy",
    "AWS::SNS::TopicPolicy": "PolicyDocument",
    "AWS::SQS::QueuePolicy": "PolicyDocument",
}
KEY_OF = {
    "AWS::CodeBuild::Project": "EncryptionKey",
    "AWS::DynamoDB::Table": "SSESpecification.KMSMasterKeyId",
    "AWS::Logs::LogGroup": "KmsKeyId",
    CLUSTER: "KmsKeyId",
    BUCKET: "BucketEncryption.ServerSideEncryptionConfiguration.0.ServerSideEncryptionByDefault.KMSMasterKeyID",
    "AWS::SecretsManager::Secret": "KmsKeyId",
    TOPIC: "KmsMasterKeyId",
    "AWS::SQS::Queue": "KmsMasterKeyId",
}
"""The property of each kind of store that names its encryption key."""

RULES: list[Rule] = []


def pack() -> TemplatePack:
    """The pack, ready to be added to an app."""
    return TemplatePack(NAME, RULES)


Predicate = Callable[[Resource], bool]


def _rule(requirement: str, name: str, *kinds: str, fault: str) -> Callable[[Predicate], Predicate]:
    """Make the decorated predicate a rule of the pack. The predicate has the rule's name, in snake case."""

    def declare(holds: Predicate) -> Predicate:
        RULES.append(Rule(requirement=requirement, name=name, kinds=kinds, fault=fault, holds=holds))
        return holds

    return declare


# --- 1: network security controls -------------------------------------------------------------------------------------


@_rule("1.3.1", "NoOpenIngress", SECURITY_GROUP, "AWS::EC2::SecurityGroupIngress", fault="Any address may enter")
def no_open_ingress(resource: Resource) -> bool:
    return not any(_to_anywhere(each) for each in _permissions(resource, "SecurityGroupIngress"))


@_rule(
    "1.3.2", "NoOpenEgress", SECURITY_GROUP, "AWS::EC2::SecurityGroupEgress", fault="Traffic out is not limited by port"
)
def no_open_egress(resource: Resource) -> bool:
    if resource.kind == SECURITY_GROUP and not resource.items("SecurityGroupEgress"):
        # AWS gives a group without egress rules one that allows everything, unless other resources add rules.
        return bool(resource.referrers("AWS::EC2::SecurityGroupEgress"))
    every = [each for each in _permissions(resource, "SecurityGroupEgress") if _to_anywhere(each)]
    return not any(str(each.get("IpProtocol")) == "-1" for each in every)


@_rule("1.3.1", "DefaultGroupClosed", "AWS::EC2::VPC", fault="The VPC's default security group admits traffic")
def default_group_closed(vpc: Resource) -> bool:
    return bool(vpc.referrers("Custom::VpcRestrictDefaultSG"))


@_rule("1.4.2", "PrivateLoadBalancer", LOAD_BALANCER, fault="The load balancer is reachable from outside, past the API")
def private_load_balancer(balancer: Resource) -> bool:
    return bool(balancer.get("Scheme") == "internal")


@_rule("1.4.4", "PrivateDatabase", "AWS::RDS::DBInstance", fault="The database may have a public address")
def private_database(instance: Resource) -> bool:
    return instance.get("PubliclyAccessible") is False


@_rule("1.4.4", "PrivateBucket", BUCKET, fault="The bucket does not block every kind of public access")
def private_bucket(bucket: Resource) -> bool:
    names = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    return all(bucket.get(f"PublicAccessBlockConfiguration.{name}") is True for name in names)


# --- 3 and 4: data at rest and in transit -----------------------------------------------------------------------------


@_rule("3.5.1", "EncryptedAtRest", *KEY_OF, fault="Data is not encrypted with a key of the platform's own")
def encrypted_at_rest(store: Resource) -> bool:
    return bool(store.get(KEY_OF[store.kind]))


@_rule("3.7.4", "KeyRotation", "AWS::KMS::Key", fault="The key is not replaced at the end of its cryptoperiod")
def key_rotation(key: Resource) -> bool:
    return key.get("EnableKeyRotation") is True


@_rule(
    "4.2.1",
    "ListenerTls",
    "AWS::ElasticLoadBalancingV2::Listener",
    fault="The listener speaks less than TLS 1.2",
)
def listener_tls(listener: Resource) -> bool:
    secure = listener.get("Protocol") in ("HTTPS", "TLS")
    return secure and bool(STRONG_LISTENER.search(text(listener.get("SslPolicy"))))


@_rule("4.2.1", "ApiTls", "AWS::ApiGateway::RestApi", fault="The API speaks less than TLS 1.2")
def api_tls(api: Resource) -> bool:
    return bool(STRONG_API.search(text(api.get("SecurityPolicy"))))


@_rule("4.2.1", "BackendTls", "AWS::ApiGateway::Method", fault="The API calls its backend without HTTPS")
def backend_tls(method: Resource) -> bool:
    proxied = method.get("Integration.Type") in ("HTTP", "HTTP_PROXY")
    return not proxied or text(method.get("Integration.Uri")).startswith("https://")


@_rule("4.2.1", "BucketTls", BUCKET, fault="The bucket takes requests without TLS")
def bucket_tls(bucket: Resource) -> bool:
    return _refuses_plain_text(bucket, "AWS::S3::BucketPolicy")


@_rule("4.2.1", "TopicTls", TOPIC, fault="The topic takes requests without TLS")
def topic_tls(topic: Resource) -> bool:
    return _refuses_plain_text(topic, "AWS::SNS::TopicPolicy")


@_rule("4.2.1", "DatabaseTls", CLUSTER, fault="The database takes connections without TLS 1.2")
def database_tls(cluster: Resource) -> bool:
    parameters = [each.get("Parameters") or {} for each in cluster.template.of("AWS::RDS::DBClusterParameterGroup")
                  if each.id in cluster.names]  # fmt: skip
    return any(
        str(each.get("rds.force_ssl")) == "1" and each.get("ssl_min_protocol_version") in ("TLSv1.2", "TLSv1.3")
        for each in parameters
    )


# --- 6: secure systems ------------------------------------------------------------------------------------------------


@_rule("6.4.2", "WebApplicationFirewall", STAGE, fault="No web application firewall stands before the public API")
def web_application_firewall(stage: Resource) -> bool:
    return bool(stage.referrers("AWS::WAFv2::WebACLAssociation"))


@_rule("6.5.1", "ApprovedChanges", "AWS::CodePipeline::Pipeline", fault="No person approves a change before production")
def approved_changes(pipeline: Resource) -> bool:
    actions = [action for stage in pipeline.items("Stages") for action in stage.get("Actions", [])]
    return any(action["ActionTypeId"]["Category"] == "Approval" for action in actions)


# --- 7 and 8: access --------------------------------------------------------------------------------------------------


@_rule("7.2.5", "NoWildcardActions", *IDENTITY_POLICIES, fault="A role is allowed actions by wildcard")
def no_wildcard_actions(policy: Resource) -> bool:
    documents = [policy.get("PolicyDocument"), *(each.get("PolicyDocument") for each in policy.items("Policies"))]
    allowed = [each for document in documents for each in _statements(document) if each["Effect"] == "Allow"]
    return not any("NotAction" in each or "*" in json.dumps(each.get("Action")) for each in allowed)


@_rule("7.2.5", "NoAdministrators", "AWS::IAM::Role", fault="A role is given an administrator's policy")
def no_administrators(role: Resource) -> bool:
    return not re.search(r"AdministratorAccess|PowerUserAccess|FullAccess", json.dumps(role.get("ManagedPolicyArns")))


@_rule("7.3.3", "NoAnonymousAccess", *RESOURCE_POLICIES, fault="Anybody has access")
def no_anonymous_access(policy: Resource) -> bool:
    allowed = [each for each in _statements(policy.get(RESOURCE_POLICIES[policy.kind])) if each["Effect"] == "Allow"]
    return not any(each.get("Principal") in ("*", {"AWS": "*"}) and not each.get("Condition") for each in allowed)


@_rule("8.3.1", "AuthenticatedApi", "AWS::ApiGateway::Method", fault="The route does not ask who is calling")
def authenticated_api(method: Resource) -> bool:
    return method.get("HttpMethod") == "OPTIONS" or method.get("AuthorizationType") not in (None, "NONE")


@_rule("8.6.2", "NoEmbeddedSecrets", CLUSTER, "AWS::SecretsManager::Secret", fault="A secret stands in the code")
def no_embedded_secrets(holder: Resource) -> bool:
    return not any(isinstance(holder.get(name), str) for name in ("MasterUserPassword", "SecretString"))


@_rule("8.6.3", "SecretRotation", "AWS::SecretsManager::Secret", fault="The secret never changes")
def secret_rotation(secret: Resource) -> bool:
    return bool(secret.referrers("AWS::SecretsManager::RotationSchedule"))


# --- 10: logs and alerts ----------------------------------------------------------------------------------------------


@_rule("10.2.1", "ApiAccessLogs", STAGE, fault="The API does not log its requests")
def api_access_logs(stage: Resource) -> bool:
    return bool(stage.get("AccessLogSetting.DestinationArn"))


@_rule("10.2.1", "BalancerAccessLogs", LOAD_BALANCER, fault="The load balancer does not log its requests")
def balancer_access_logs(balancer: Resource) -> bool:
    attributes = {each["Key"]: each["Value"] for each in balancer.items("LoadBalancerAttributes")}
    return attributes.get("access_logs.s3.enabled") == "true"


@_rule("10.2.1", "BucketAccessLogs", BUCKET, fault="Access to stored data is not logged")
def bucket_access_logs(bucket: Resource) -> bool:
    return bool(bucket.get("LoggingConfiguration")) or bool(_log_sources(bucket))


@_rule("10.2.1", "DatabaseLogs", CLUSTER, fault="The database's log stays in the database")
def database_logs(cluster: Resource) -> bool:
    return bool(cluster.items("EnableCloudwatchLogsExports"))


@_rule("10.2.1", "FirewallLogs", "AWS::WAFv2::WebACL", fault="The firewall does not log what it decides")
def firewall_logs(firewall: Resource) -> bool:
    return bool(firewall.referrers("AWS::WAFv2::LoggingConfiguration"))


@_rule("10.2.1", "FlowLogs", "AWS::EC2::VPC", fault="Connections in the network are not logged")
def flow_logs(vpc: Resource) -> bool:
    return any(each.get("TrafficType") == "ALL" for each in vpc.referrers("AWS::EC2::FlowLog"))


@_rule("10.3.2", "TamperProtection", BUCKET, fault="What was written can be overwritten without a trace")
def tamper_protection(bucket: Resource) -> bool:
    return bool(bucket.get("VersioningConfiguration.Status") == "Enabled")


@_rule("10.5.1", "TwelveMonths", "AWS::Logs::LogGroup", BUCKET, fault="Logs are kept for less than twelve months")
def twelve_months(store: Resource) -> bool:
    days = [store.get("RetentionInDays")] + [
        rule.get("ExpirationInDays") for rule in store.items("LifecycleConfiguration.Rules")
    ]
    return all(each is None or each >= TWELVE_MONTHS for each in days)


@_rule("10.7.2", "AlarmsNotify", "AWS::CloudWatch::Alarm", fault="The alarm alerts nobody")
def alarms_notify(alarm: Resource) -> bool:
    return bool(alarm.items("AlarmActions")) and alarm.get("ActionsEnabled") is not False


@_rule("10.7.2", "NoticesHeard", TOPIC, fault="Nobody hears what the topic publishes")
def notices_heard(topic: Resource) -> bool:
    return bool(topic.referrers("AWS::SNS::Subscription"))


# --- shared by several rules ------------------------------------------------------------------------------------------


def _permissions(resource: Resource, inline: str) -> list[dict[str, Any]]:
    """The rules of a security group, or the rule that ``resource`` itself is."""
    if resource.kind == SECURITY_GROUP:
        return resource.items(inline)
    return [resource.body.get("Properties", {})]


def _to_anywhere(permission: dict[str, Any]) -> bool:
    return permission.get("CidrIp") in ANYWHERE or permission.get("CidrIpv6") in ANYWHERE


def _statements(document: Any) -> list[dict[str, Any]]:
    found = (document or {}).get("Statement", [])
    return found if isinstance(found, list) else [found]


def _refuses_plain_text(resource: Resource, policy: str) -> bool:
    document = "PolicyDocument"
    denied = [
        s for each in resource.referrers(policy) for s in _statements(each.get(document)) if s["Effect"] == "Deny"
    ]
    return any(
        str(each.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport")).lower() == "false" for each in denied
    )


def _log_sources(bucket: Resource) -> list[Resource]:
    """The resources that deliver their access logs to ``bucket``. Such a bucket needs no access logs of its own."""
    return [each for each in bucket.referrers(BUCKET, LOAD_BALANCER) if each is not bucket]
