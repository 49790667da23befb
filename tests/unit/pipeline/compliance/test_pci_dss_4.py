"""Each rule of the PCI DSS 4.0.1 pack, met and broken."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_sns as sns

from pipeline.compliance.pci_dss_4 import NAME, RULES, pack
from pipeline.compliance.template_pack import Template

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
GROUP, BUCKET, CLUSTER = "AWS::EC2::SecurityGroup", "AWS::S3::Bucket", "AWS::RDS::DBCluster"
STAGE, METHOD, TOPIC = "AWS::ApiGateway::Stage", "AWS::ApiGateway::Method", "AWS::SNS::Topic"
BALANCER, LISTENER = "AWS::ElasticLoadBalancingV2::LoadBalancer", "AWS::ElasticLoadBalancingV2::Listener"
SECRET = "AWS::SecretsManager::Secret"
BLOCKED = dict.fromkeys(("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True)
ENCRYPTED = {"ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"KMSMasterKeyID": "key"}}]}
APPROVAL = {"ActionTypeId": {"Category": "Approval"}}


@dataclass(frozen=True)
class Example:
    """Resources with ``it`` twice: once it meets the rule, once it breaks the rule."""

    rule: str
    good: Resources
    bad: Resources


def alone(rule: str, kind: str, good: dict[str, Any], bad: dict[str, Any]) -> Example:
    return Example(rule, {"it": resource(kind, **good)}, {"it": resource(kind, **bad)})


def beside(rule: str, it: dict[str, Any], companion: dict[str, Any], instead: dict[str, Any] | None = None) -> Example:
    """``it`` meets the rule beside ``companion``, and breaks it alone or beside ``instead``."""
    return Example(rule, {"it": it, "other": companion}, {"it": it, **({"other": instead} if instead else {})})


EXAMPLES = [
    alone("NoOpenIngress", GROUP, {"SecurityGroupIngress": [{"CidrIp": "10.0.0.0/8"}]},
          {"SecurityGroupIngress": [ANY]}),
    alone("NoOpenIngress", "AWS::EC2::SecurityGroupIngress", {"SourceSecurityGroupId": "sg"}, {"CidrIpv6": "::/0"}),
    alone(
        "NoOpenEgress",
        GROUP,
        {"SecurityGroupEgress": [{**ANY, "IpProtocol": "tcp", "FromPort": 443}]},
        {"SecurityGroupEgress": [{**ANY, "IpProtocol": "-1"}]},
    ),
    beside("NoOpenEgress", resource(GROUP), resource("AWS::EC2::SecurityGroupEgress", GroupId=ref("it"))),
    beside("NoOpenEgress", resource(GROUP), resource("AWS::EC2::SecurityGroupEgress", GroupId={"Fn::Sub": "${it}"})),
    beside("DefaultGroupClosed", resource("AWS::EC2::VPC"), resource("Custom::VpcRestrictDefaultSG", Vpc=ref("it"))),
    alone("PrivateLoadBalancer", BALANCER, {"Scheme": "internal"}, {"Scheme": "internet-facing"}),
    alone("PrivateDatabase", "AWS::RDS::DBInstance", {"PubliclyAccessible": False}, {}),
    alone("PrivateBucket", BUCKET, {"PublicAccessBlockConfiguration": BLOCKED},
          {"PublicAccessBlockConfiguration": {**BLOCKED, "BlockPublicPolicy": False}}),
    alone("EncryptedAtRest", BUCKET, {"BucketEncryption": ENCRYPTED}, {}),
    alone("EncryptedAtRest", "AWS::Logs::LogGroup", {"KmsKeyId": ref("key")}, {"RetentionInDays": 365}),
    alone("EncryptedAtRest", "AWS::DynamoDB::Table", {"SSESpecification": {"KMSMasterKeyId": "key"}},
          {"SSESpecification": {"SSEEnabled": True}}),
    alone("KeyRotation", "AWS::KMS::Key", {"EnableKeyRotation": True}, {}),
    alone("ListenerTls", LISTENER, {"Protocol": "HTTPS", "SslPolicy": "ELBSecurityPolicy-TLS13-1-2-2021-06"},
          {"Protocol": "HTTPS", "SslPolicy": "ELBSecurityPolicy-2016-08"}),
    alone("ListenerTls", LISTENER, {"Protocol": "TLS", "SslPolicy": "ELBSecurityPolicy-TLS-1-2-2017-01"},
          {"Protocol": "HTTP"}),
    alone("ApiTls", "AWS::ApiGateway::RestApi", {"SecurityPolicy": "SecurityPolicy_TLS13_1_2_2021_06"},
          {"SecurityPolicy": "TLS_1_0"}),
    alone("BackendTls", METHOD, {"Integration": {"Type": "HTTP_PROXY", "Uri": joined("https://", ref("x"))}},
          {"Integration": {"Type": "HTTP_PROXY", "Uri": "http://example"}}),
    beside("BucketTls", resource(BUCKET),
           resource("AWS::S3::BucketPolicy", Bucket=ref("it"), PolicyDocument=policy("Deny", Condition=PLAIN_TEXT)),
           resource("AWS::S3::BucketPolicy", Bucket=ref("it"), PolicyDocument=policy("Allow", Condition=PLAIN_TEXT))),
    beside("TopicTls", resource(TOPIC),
           resource("AWS::SNS::TopicPolicy", Topics=[ref("it")], PolicyDocument=policy("Deny", Condition=PLAIN_TEXT)),
           resource("AWS::SNS::TopicPolicy", Topics=[ref("it")], PolicyDocument=policy("Deny"))),
    beside("DatabaseTls", resource(CLUSTER, DBClusterParameterGroupName=ref("other")),
           resource("AWS::RDS::DBClusterParameterGroup",
                    Parameters={"rds.force_ssl": "1", "ssl_min_protocol_version": "TLSv1.2"}),
           resource("AWS::RDS::DBClusterParameterGroup", Parameters={"ssl_min_protocol_version": "TLSv1.2"})),
    beside("WebApplicationFirewall", resource(STAGE),
           resource("AWS::WAFv2::WebACLAssociation", ResourceArn={"Fn::Join": ["", ["arn:", ref("it")]]})),
    alone("ApprovedChanges", "AWS::CodePipeline::Pipeline", {"Stages": [{"Actions": [APPROVAL]}]},
          {"Stages": [{"Actions": [{"ActionTypeId": {"Category": "Deploy"}}]}]}),
    alone("NoWildcardActions", "AWS::IAM::ManagedPolicy", {"PolicyDocument": policy("Allow", Action=["s3:GetObject"])},
          {"PolicyDocument": policy("Allow", Action="s3:Get*")}),
    alone("NoWildcardActions", "AWS::IAM::ManagedPolicy", {"PolicyDocument": policy("Deny", Action="*")},
          {"PolicyDocument": policy("Allow", NotAction="iam:PassRole")}),
    alone("NoWildcardActions", "AWS::IAM::Role", {"Policies": []},
          {"Policies": [{"PolicyDocument": policy("Allow", Action="*")}]}),
    alone("NoAdministrators", "AWS::IAM::Role", {"ManagedPolicyArns": [ref("own")]},
          {"ManagedPolicyArns": [joined("arn:", ref("AWS::Partition"), ":iam::aws:policy/AdministratorAccess")]}),
    alone("NoAnonymousAccess", "AWS::S3::BucketPolicy",
          {"PolicyDocument": policy("Allow", Principal="*", Condition={"StringEquals": {"aws:SourceAccount": "1"}})},
          {"PolicyDocument": policy("Allow", Principal={"AWS": "*"})}),
    alone("NoAnonymousAccess", "AWS::KMS::Key", {"KeyPolicy": policy("Allow", Principal={"AWS": "arn"})},
          {"KeyPolicy": policy("Allow", Principal="*")}),
    alone("AuthenticatedApi", METHOD, {"AuthorizationType": "AWS_IAM"}, {"AuthorizationType": "NONE"}),
    alone("AuthenticatedApi", METHOD, {"HttpMethod": "OPTIONS"}, {"HttpMethod": "POST"}),
    alone("NoEmbeddedSecrets", CLUSTER, {"ManageMasterUserPassword": True}, {"MasterUserPassword": "hunter2"}),
    beside("SecretRotation", resource(SECRET), resource("AWS::SecretsManager::RotationSchedule", SecretId=ref("it"))),
    alone("ApiAccessLogs", STAGE, {"AccessLogSetting": {"DestinationArn": "arn"}}, {}),
    alone("BalancerAccessLogs", BALANCER,
          {"LoadBalancerAttributes": [{"Key": "access_logs.s3.enabled", "Value": "true"}]},
          {"LoadBalancerAttributes": [{"Key": "access_logs.s3.enabled", "Value": "false"}]}),
    alone("BucketAccessLogs", BUCKET, {"LoggingConfiguration": {"DestinationBucketName": "logs"}}, {}),
    beside("BucketAccessLogs", resource(BUCKET),
           resource(BUCKET, LoggingConfiguration={"DestinationBucketName": ref("it")})),
    alone("DatabaseLogs", CLUSTER, {"EnableCloudwatchLogsExports": ["postgresql"]}, {}),
    beside("FirewallLogs", resource("AWS::WAFv2::WebACL"),
           resource("AWS::WAFv2::LoggingConfiguration", ResourceArn=ref("it"))),
    beside("FlowLogs", resource("AWS::EC2::VPC"),
           resource("AWS::EC2::FlowLog", ResourceId=ref("it"), TrafficType="ALL"),
           resource("AWS::EC2::FlowLog", ResourceId=ref("it"), TrafficType="REJECT")),
    alone("TamperProtection", BUCKET, {"VersioningConfiguration": {"Status": "Enabled"}}, {}),
    alone("TwelveMonths", "AWS::Logs::LogGroup", {"RetentionInDays": 365}, {"RetentionInDays": 180}),
    alone("TwelveMonths", BUCKET, {"LifecycleConfiguration": {"Rules": [{"ExpirationInDays": 400}, {"Id": "x"}]}},
          {"LifecycleConfiguration": {"Rules": [{"ExpirationInDays": 30}]}}),
    alone("AlarmsNotify", "AWS::CloudWatch::Alarm", {"AlarmActions": ["arn"]}, {"AlarmActions": []}),
    alone("AlarmsNotify", "AWS::CloudWatch::Alarm", {"AlarmActions": ["arn"], "ActionsEnabled": True},
          {"AlarmActions": ["arn"], "ActionsEnabled": False}),
    beside("NoticesHeard", resource(TOPIC), resource("AWS::SNS::Subscription", TopicArn=ref("it"))),
]  # fmt: skip


def holds(rule: str, resources: Resources) -> bool:
    [found] = [each for each in RULES if each.name == rule]
    template = Template({"Resources": resources})
    it = template.resources[0]
    assert it.kind in found.kinds
    return found.holds(it)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.rule)
def test_each_rule_accepts_its_good_example_and_finds_its_bad_one(example: Example) -> None:
    assert holds(example.rule, example.good)
    assert not holds(example.rule, example.bad)


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
