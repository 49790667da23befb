"""Each rule of the PCI DSS 4.0.1 pack, met and broken."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_sns as sns

from pipeline.compliance.pci_dss_4 import NAME, RULES, pack

ROOT = Path(__file__).resolve().parents[4]
Resources = dict[str, dict[str, Any]]


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": kind, "Properties": properties}


def ref(id: str) -> dict[str, str]:
    return {"Ref": id}


def joined(*parts: Any) -> dict[str, Any]:
    return {"Fn::Join": ["", list(parts)]}


def policy(effect: str, **rest: Any) -> dict[str, Any]:
    return {"Statement": [{"Effect": effect, **rest}]}


PLAIN_TEXT = {"Bool": {"aws:SecureTransport": "false"}}
ANY = {"CidrIp": "0.0.0.0/0"}
TO_A_GROUP = {"DestinationSecurityGroupId": "sg", "IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
EVERYTHING = {"Action": "*", "Principal": "*", "Condition": PLAIN_TEXT}
OWN_KEY = {"key": {"Type": "AWS::KMS::Key", "Properties": {"EnableKeyRotation": True}}}
GROUP, BUCKET, CLUSTER = "AWS::EC2::SecurityGroup", "AWS::S3::Bucket", "AWS::RDS::DBCluster"
STAGE, METHOD, TOPIC = "AWS::ApiGateway::Stage", "AWS::ApiGateway::Method", "AWS::SNS::Topic"
BALANCER, LISTENER = "AWS::ElasticLoadBalancingV2::LoadBalancer", "AWS::ElasticLoadBalancingV2::Listener"
SECRET = "AWS::SecretsManager::Secret"
NESTED, DOMAIN, QUEUE = "AWS::CloudFormation::Stack", "AWS::OpenSearchService::Domain", "AWS::SQS::Queue"
FUNCTION, ROLE, ACL_ENTRY = "AWS::Lambda::Function", "AWS::IAM::Role", "AWS::EC2::NetworkAclEntry"
BLOCKING = {"OverrideAction": {"None": {}}, "Statement": {"ManagedRuleGroupStatement": {}}}
MONTHLY = {"ScheduleExpression": "rate(30 days)"}
BLOCKED = dict.fromkeys(("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True)
ENCRYPTED = {
    "ServerSideEncryptionConfiguration": [
        {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Ref": "key"}}}
    ]
}
APPROVAL = {"ActionTypeId": {"Category": "Approval"}}
LINE = "$context.requestTime $context.identity.caller $context.status"
"""A line of an access log."""


@dataclass(frozen=True)
class Example:
    """Resources with ``it`` twice: once it meets the rule, once it breaks the rule."""

    rule: str
    good: Resources
    bad: Resources


def alone(rule: str, kind: str, good: dict[str, Any], bad: dict[str, Any]) -> Example:
    return Example(rule, {"it": resource(kind, **good), **OWN_KEY}, {"it": resource(kind, **bad), **OWN_KEY})


def beside(rule: str, it: dict[str, Any], companion: dict[str, Any], instead: dict[str, Any] | None = None) -> Example:
    """``it`` meets the rule beside ``companion``, and breaks it alone or beside ``instead``."""
    return Example(rule, {"it": it, "other": companion}, {"it": it, **({"other": instead} if instead else {})})


def guarded(*rules: dict[str, Any]) -> Resources:
    """A web ACL with these rules, before the stage ``it``."""
    return {
        "acl": resource("AWS::WAFv2::WebACL", Rules=list(rules)),
        "association": resource(
            "AWS::WAFv2::WebACLAssociation",
            ResourceArn=joined("arn:", ref("it")),
            WebACLArn={"Fn::GetAtt": ["acl", "Arn"]},
        ),
    }


EXAMPLES = [
    alone(
        "NoOpenIngress", GROUP, {"SecurityGroupIngress": [{"CidrIp": "10.0.0.0/8"}]}, {"SecurityGroupIngress": [ANY]}
    ),
    alone("NoOpenIngress", "AWS::EC2::SecurityGroupIngress", {"SourceSecurityGroupId": "sg"}, {"CidrIpv6": "::/0"}),
    alone(
        "NoOpenEgress",
        GROUP,
        {"SecurityGroupEgress": [{**ANY, "IpProtocol": "tcp", "FromPort": 443}]},
        {"SecurityGroupEgress": [{**ANY, "IpProtocol": "-1"}]},
    ),
    beside("NoOpenEgress", resource(GROUP), resource("AWS::EC2::SecurityGroupEgress", GroupId=ref("it"), **TO_A_GROUP)),
    beside(
        "NoOpenEgress",
        resource(GROUP),
        resource("AWS::EC2::SecurityGroupEgress", GroupId={"Fn::Sub": "${it}"}, **TO_A_GROUP),
    ),
    beside("DefaultGroupClosed", resource("AWS::EC2::VPC"), resource("Custom::VpcRestrictDefaultSG", Vpc=ref("it"))),
    alone("PrivateLoadBalancer", BALANCER, {"Scheme": "internal"}, {"Scheme": "internet-facing"}),
    alone("PrivateDatabase", "AWS::RDS::DBInstance", {"PubliclyAccessible": False}, {}),
    alone(
        "PrivateBucket",
        BUCKET,
        {"PublicAccessBlockConfiguration": BLOCKED},
        {"PublicAccessBlockConfiguration": {**BLOCKED, "BlockPublicPolicy": False}},
    ),
    alone("EncryptedAtRest", BUCKET, {"BucketEncryption": ENCRYPTED}, {}),
    alone("EncryptedAtRest", "AWS::Logs::LogGroup", {"KmsKeyId": ref("key")}, {"KmsKeyId": "alias/aws/logs"}),
    alone(
        "EncryptedAtRest",
        "AWS::DynamoDB::Table",
        {"SSESpecification": {"SSEEnabled": True, "KMSMasterKeyId": ref("key")}},
        {"SSESpecification": {"SSEEnabled": True}},
    ),
    alone(
        "NoPayloadsKept",
        STAGE,
        {"MethodSettings": [{"LoggingLevel": "INFO", "DataTraceEnabled": False}]},
        {"MethodSettings": [{"LoggingLevel": "INFO", "DataTraceEnabled": True}]},
    ),
    alone("KeyRotation", "AWS::KMS::Key", {"EnableKeyRotation": True}, {}),
    alone(
        "ListenerTls",
        LISTENER,
        {"Protocol": "HTTPS", "SslPolicy": "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"},
        {"Protocol": "HTTPS", "SslPolicy": "ELBSecurityPolicy-2016-08"},
    ),
    alone(
        "ListenerTls",
        LISTENER,
        {"Protocol": "TLS", "SslPolicy": "ELBSecurityPolicy-TLS13-1-3-2021-06"},
        {"Protocol": "HTTP"},
    ),
    alone(
        "ApiTls",
        "AWS::ApiGateway::RestApi",
        {"SecurityPolicy": "SecurityPolicy_TLS13_1_2_2021_06"},
        {"SecurityPolicy": "TLS_1_0"},
    ),
    alone(
        "BackendTls",
        METHOD,
        {"Integration": {"Type": "HTTP_PROXY", "Uri": joined("https://", ref("key"))}},
        {"Integration": {"Type": "HTTP_PROXY", "Uri": "http://example"}},
    ),
    beside(
        "BucketTls",
        resource(BUCKET),
        resource(
            "AWS::S3::BucketPolicy",
            Bucket=ref("it"),
            PolicyDocument=policy(
                "Deny",
                **EVERYTHING,
                Resource=[{"Fn::GetAtt": ["it", "Arn"]}, joined({"Fn::GetAtt": ["it", "Arn"]}, "/*")],
            ),
        ),
        resource("AWS::S3::BucketPolicy", Bucket=ref("it"), PolicyDocument=policy("Allow", **EVERYTHING, Resource="*")),
    ),
    beside(
        "TopicTls",
        resource(TOPIC),
        resource(
            "AWS::SNS::TopicPolicy", Topics=[ref("it")], PolicyDocument=policy("Deny", **EVERYTHING, Resource=ref("it"))
        ),
        resource("AWS::SNS::TopicPolicy", Topics=[ref("it")], PolicyDocument=policy("Deny")),
    ),
    beside(
        "QueueTls",
        resource(QUEUE),
        resource(
            "AWS::SQS::QueuePolicy", Queues=[ref("it")], PolicyDocument=policy("Deny", **EVERYTHING, Resource=["*"])
        ),
        resource(
            "AWS::SQS::QueuePolicy",
            Queues=["elsewhere"],
            PolicyDocument=policy("Deny", **EVERYTHING, Resource=ref("it")),
        ),
    ),
    alone(
        "StoreTls",
        DOMAIN,
        {"DomainEndpointOptions": {"EnforceHTTPS": True, "TLSSecurityPolicy": "Policy-Min-TLS-1-2-PFS-2023-10"}},
        {"DomainEndpointOptions": {"EnforceHTTPS": True}},
    ),
    alone("StoreTls", "AWS::ElastiCache::ReplicationGroup", {"TransitEncryptionEnabled": "true"}, {}),
    alone(
        "StoreTls",
        "AWS::MSK::Cluster",
        {},
        {"EncryptionInfo": {"EncryptionInTransit": {"ClientBroker": "TLS_PLAINTEXT"}}},
    ),
    Example("KnownKinds", {"it": resource(BUCKET)}, {"it": resource("AWS::Timestream::Table")}),
    Example(
        "ReadableTemplates",
        {"it": {"Type": NESTED, "Properties": {}, "Metadata": {"aws:asset:path": "inner.json"}}},
        {"it": resource(NESTED, TemplateURL="https://elsewhere")},
    ),
    beside(
        "DatabaseTls",
        resource(CLUSTER, DBClusterParameterGroupName=ref("other")),
        resource(
            "AWS::RDS::DBClusterParameterGroup",
            Parameters={"rds.force_ssl": "1", "ssl_min_protocol_version": "TLSv1.2"},
        ),
        resource("AWS::RDS::DBClusterParameterGroup", Parameters={"ssl_min_protocol_version": "TLSv1.2"}),
    ),
    Example(
        "WebApplicationFirewall", {"it": resource(STAGE), **guarded(BLOCKING)}, {"it": resource(STAGE), **guarded()}
    ),
    alone(
        "ApprovedChanges",
        "AWS::CodePipeline::Pipeline",
        {"Stages": [{"Actions": [APPROVAL]}]},
        {"Stages": [{"Actions": [{"ActionTypeId": {"Category": "Deploy"}}]}]},
    ),
    alone(
        "NoWildcardActions",
        "AWS::IAM::ManagedPolicy",
        {"PolicyDocument": policy("Allow", Action=["s3:GetObject"], Resource="*")},
        {"PolicyDocument": policy("Allow", Action="s3:Get*")},
    ),
    alone(
        "NoWildcardActions",
        "AWS::IAM::ManagedPolicy",
        {"PolicyDocument": policy("Deny", Action="*")},
        {"PolicyDocument": policy("Allow", NotAction="iam:PassRole")},
    ),
    alone(
        "NoWildcardActions",
        "AWS::IAM::Role",
        {"Policies": []},
        {"Policies": [{"PolicyDocument": policy("Allow", Action="*")}]},
    ),
    alone(
        "NoAdministrators",
        "AWS::IAM::Role",
        {"ManagedPolicyArns": [ref("key")]},
        {"ManagedPolicyArns": [joined("arn:", ref("AWS::Partition"), ":iam::aws:policy/Administrator", "Access")]},
    ),
    alone(
        "NoAnonymousAccess",
        "AWS::S3::BucketPolicy",
        {"PolicyDocument": policy("Allow", Principal="*", Condition={"StringEquals": {"aws:SourceAccount": "1"}})},
        {"PolicyDocument": policy("Allow", Principal={"AWS": "*"})},
    ),
    alone(
        "NoAnonymousAccess",
        "AWS::KMS::Key",
        {"KeyPolicy": policy("Allow", Principal={"AWS": "arn"})},
        {"KeyPolicy": policy("Allow", Principal="*")},
    ),
    alone("NoUserLogins", "AWS::IAM::User", {"Groups": ["readers"]}, {"LoginProfile": {"Password": ref("key")}}),
    alone("AuthenticatedApi", METHOD, {"AuthorizationType": "AWS_IAM"}, {"AuthorizationType": "NONE"}),
    alone(
        "AuthenticatedApi", METHOD, {"HttpMethod": "OPTIONS", "Integration": {"Type": "MOCK"}}, {"HttpMethod": "POST"}
    ),
    alone("AuthenticatedStore", "AWS::ElastiCache::ReplicationGroup", {"UserGroupIds": ["readers"]}, {}),
    alone("NoEmbeddedSecrets", CLUSTER, {"ManageMasterUserPassword": True}, {"MasterUserPassword": "hunter2"}),
    beside(
        "SecretRotation",
        resource(SECRET),
        resource("AWS::SecretsManager::RotationSchedule", SecretId=ref("it"), RotationRules=MONTHLY),
        resource(
            "AWS::SecretsManager::RotationSchedule", SecretId=ref("it"), RotationRules={"AutomaticallyAfterDays": 1000}
        ),
    ),
    alone(
        "StrongSecrets",
        SECRET,
        {"GenerateSecretString": {"PasswordLength": 40}},
        {"GenerateSecretString": {"PasswordLength": 4}},
    ),
    alone("ApiAccessLogs", STAGE, {"AccessLogSetting": {"DestinationArn": "arn", "Format": LINE}}, {}),
    alone(
        "BuildLogs",
        "AWS::CodeBuild::Project",
        {"LogsConfig": {"CloudWatchLogs": {"Status": "DISABLED"}, "S3Logs": {"Status": "ENABLED"}}},
        {"LogsConfig": {"CloudWatchLogs": {"Status": "DISABLED"}}},
    ),
    alone(
        "TrailActive",
        "AWS::CloudTrail::Trail",
        {"IsLogging": True, "EnableLogFileValidation": True},
        {"IsLogging": True},
    ),
    alone(
        "BalancerAccessLogs",
        BALANCER,
        {"LoadBalancerAttributes": [{"Key": "access_logs.s3.enabled", "Value": "true"}]},
        {"LoadBalancerAttributes": [{"Key": "access_logs.s3.enabled", "Value": "false"}]},
    ),
    alone("BucketAccessLogs", BUCKET, {"LoggingConfiguration": {"DestinationBucketName": "logs"}}, {}),
    beside(
        "BucketAccessLogs",
        resource(BUCKET),
        resource(BUCKET, LoggingConfiguration={"DestinationBucketName": ref("it")}),
    ),
    alone("DatabaseLogs", CLUSTER, {"EnableCloudwatchLogsExports": ["postgresql"]}, {}),
    beside(
        "FirewallLogs",
        resource("AWS::WAFv2::WebACL"),
        resource("AWS::WAFv2::LoggingConfiguration", ResourceArn=ref("it")),
    ),
    beside(
        "FlowLogs",
        resource("AWS::EC2::VPC"),
        resource("AWS::EC2::FlowLog", ResourceId=ref("it"), TrafficType="ALL"),
        resource("AWS::EC2::FlowLog", ResourceId=ref("it"), TrafficType="REJECT"),
    ),
    alone("TamperProtection", BUCKET, {"VersioningConfiguration": {"Status": "Enabled"}}, {}),
    alone("TwelveMonths", "AWS::Logs::LogGroup", {"RetentionInDays": 365}, {"RetentionInDays": 180}),
    alone(
        "TwelveMonths",
        BUCKET,
        {"LifecycleConfiguration": {"Rules": [{"ExpirationInDays": 400}, {"Id": "x"}]}},
        {"LifecycleConfiguration": {"Rules": [{"ExpirationInDays": 30}]}},
    ),
    alone("AlarmsNotify", "AWS::CloudWatch::Alarm", {"AlarmActions": ["arn"]}, {"AlarmActions": []}),
    alone(
        "AlarmsNotify",
        "AWS::CloudWatch::Alarm",
        {"AlarmActions": ["arn"], "ActionsEnabled": True},
        {"AlarmActions": ["arn"], "ActionsEnabled": False},
    ),
    beside(
        "NoticesHeard",
        resource(TOPIC),
        resource("AWS::SNS::Subscription", TopicArn=ref("it"), Endpoint="oncall@company.net"),
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where nested templates are."""
    path = tmp_path_factory.mktemp("assembly")
    (path / "inner.json").write_text("{}")
    return path


def broken(resources: Resources, folder: Path, **sections: Any) -> set[tuple[str, str]]:
    """The findings in a template: name of the rule, logical id."""
    found = pack().broken({"Resources": resources, **sections}, folder)
    return {(rule.name, each.id) for rule, each, _ in found}


def holds(rule: str, resources: Resources, folder: Path) -> bool:
    [found] = [each for each in RULES if each.name == rule]
    assert "*" in found.kinds or resources["it"]["Type"] in found.kinds
    return (rule, "it") not in broken(resources, folder)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.rule)
def test_each_rule_accepts_its_good_example_and_finds_its_bad_one(example: Example, folder: Path) -> None:
    assert holds(example.rule, example.good, folder)
    assert not holds(example.rule, example.bad, folder)


def test_every_rule_has_an_example_and_a_line_in_the_matrix() -> None:
    matrix = (ROOT / "docs" / "pci-dss-4.md").read_text()
    assert {each.name for each in RULES} == {each.rule for each in EXAMPLES}
    for rule in RULES:
        assert f"| {rule.requirement} |" in matrix
        assert f"`{rule.name}`" in matrix


def test_a_broken_rule_fails_the_synthesis_with_its_requirement(tmp_path: Path) -> None:
    # Given a topic without a key and without subscribers
    app = cdk.App(outdir=str(tmp_path), tree_metadata=False, context={"aws:cdk:enable-path-metadata": True})
    sns.Topic(cdk.Stack(app, "Stack"), "Topic")
    cdk.Validations.of(app).add_plugins(pack())
    # When the app is synthesised
    with pytest.raises(RuntimeError) as failed:
        app.synth()
    # Then it fails, and names requirement, construct and the way to acknowledge it
    assert "Data is not encrypted with a key of the platform's own (requirement 3.5.1)" in str(failed.value)
    assert "Stack/Topic/Resource" in str(failed.value)
    assert f"Acknowledge with '{NAME}::{NAME}-10.7.2-NoticesHeard'" in str(failed.value)
