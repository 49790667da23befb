"""Resources that break the intent of a requirement in a form that is easy to miss, by subject."""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.unit.pipeline.compliance.test_pci_dss_4 import (
    BALANCER,
    BLOCKED,
    BUCKET,
    CLUSTER,
    FUNCTION,
    GROUP,
    LINE,
    METHOD,
    OWN_KEY,
    PLAIN_TEXT,
    ROLE,
    SECRET,
    STAGE,
    TOPIC,
    Resources,
    guarded,
    joined,
    policy,
    ref,
    resource,
)

PARAMETERS = {"Given": {"Type": "String", "Default": "365"}}
CONDITIONS = {"Sometimes": {"Fn::Equals": [{"Ref": "Given"}, "365"]}}
KEY = {"Fn::GetAtt": ["key", "Arn"]}
INSTANCE, LOG_GROUP, ALARM = "AWS::RDS::DBInstance", "AWS::Logs::LogGroup", "AWS::CloudWatch::Alarm"
LISTENER, POLICY, BUCKET_POLICY = "AWS::ElasticLoadBalancingV2::Listener", "AWS::IAM::Policy", "AWS::S3::BucketPolicy"
ACL_ENTRY, TABLE, API = "AWS::EC2::NetworkAclEntry", "AWS::DynamoDB::Table", "AWS::ApiGateway::RestApi"
KMS_KEY, PIPELINE = "AWS::KMS::Key", "AWS::CodePipeline::Pipeline"
BUILD, DISTRIBUTION = "AWS::CodeBuild::Project", "AWS::CloudFront::Distribution"
MANAGED = {"OverrideAction": {"None": {}}, "Statement": {"ManagedRuleGroupStatement": {}}}
REPOSITORIES = {"Federated": "arn:aws:iam::111111111111:oidc-provider/token.actions.githubusercontent.com"}
SUBJECT = "token.actions.githubusercontent.com:sub"
HALVES = [{"CidrIp": "0.0.0.0/1"}, {"CidrIp": "128.0.0.0/1"}]
APPROVAL = {"ActionTypeId": {"Category": "Approval"}}
OPEN = policy("Allow", Action="*", Resource="*", Principal="*")
FOREIGN_KEY = "arn:aws:kms:us-east-1:222222222222:key/k"
LOGS_POLICY, LOOKED_UP = "AWS::Logs::ResourcePolicy", "{{resolve:secretsmanager:app:SecretString:password}}"
DEPLOY = {"ActionTypeId": {"Category": "Deploy"}, "Configuration": {"ActionMode": "CHANGE_SET_EXECUTE"}}


def sometimes(yes: Any, no: Any) -> dict[str, Any]:
    return {"Fn::If": ["Sometimes", yes, no]}


@dataclass(frozen=True)
class Case:
    rule: str
    what: str
    resources: Resources = field(default_factory=dict)


def one(rule: str, what: str, kind: str, **properties: Any) -> Case:
    return Case(rule, what, {"it": resource(kind, **properties), **OWN_KEY})


def allow(rule: str, what: str, kind: str = POLICY, **statement: Any) -> Case:
    statement = {"Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::one/*", **statement}
    return one(rule, what, kind, PolicyDocument=policy("Allow", **statement))


def denial(rule: str, what: str, bucket: str = "it", **statement: Any) -> Case:
    """A bucket, and a policy with a deny that denies too little."""
    whole = {"Action": "s3:*", "Principal": "*", "Condition": PLAIN_TEXT, "Resource": "*", **statement}
    attached = resource(BUCKET_POLICY, Bucket=ref(bucket), PolicyDocument=policy("Deny", **whole))
    return Case(rule, what, {"it": resource(BUCKET), "other": resource(BUCKET), "policy": attached})


CASES = [
    # Values behind intrinsic functions
    one("NoOpenIngress", "Fn::Sub", GROUP, SecurityGroupIngress=[{"CidrIp": {"Fn::Sub": "0.0.0.0/0"}}]),
    one("NoOpenIngress", "Fn::Join", GROUP, SecurityGroupIngress=[{"CidrIp": {"Fn::Join": ["/", ["0.0.0.0", "0"]]}}]),
    one(
        "NoOpenIngress", "Fn::If", GROUP, SecurityGroupIngress=[sometimes({"CidrIp": "0.0.0.0/0"}, ref("AWS::NoValue"))]
    ),
    one("NoOpenIngress", "the other branch", GROUP, SecurityGroupIngress=sometimes([], [{"CidrIp": "0.0.0.0/0"}])),
    one("NoOpenIngress", "a parameter", GROUP, SecurityGroupIngress=[{"CidrIp": ref("Given")}]),
    one(
        "NoOpenIngress",
        "a split",
        GROUP,
        SecurityGroupIngress=[{"CidrIp": {"Fn::Select": [0, {"Fn::Split": [",", "0.0.0.0/0,10.0.0.0/8"]}]}}],
    ),
    one("TwelveMonths", "a parameter", LOG_GROUP, RetentionInDays=ref("Given")),
    one(
        "NoWildcardActions",
        "a statement under Fn::If",
        POLICY,
        PolicyDocument={
            "Statement": [sometimes({"Effect": "Allow", "Action": "*", "Resource": "*"}, ref("AWS::NoValue"))]
        },
    ),
    one(
        "NoWildcardActions",
        "a document under Fn::If",
        POLICY,
        PolicyDocument=sometimes(policy("Allow", Action="*", Resource="*"), policy("Deny", Action="*")),
    ),
    one(
        "NoWildcardActions",
        "a joined action",
        POLICY,
        PolicyDocument=policy("Allow", Action=joined("s3:", "*"), Resource="*"),
    ),
    one("NoWildcardActions", "a document that is a parameter", POLICY, PolicyDocument=ref("Given")),
    one("EncryptedAtRest", "a key that is a parameter", LOG_GROUP, KmsKeyId=ref("Given")),
    one("EncryptedAtRest", "an imported key", LOG_GROUP, KmsKeyId={"Fn::ImportValue": "key"}),
    one(
        "PrivateBucket",
        "sometimes open",
        BUCKET,
        PublicAccessBlockConfiguration=sometimes(BLOCKED, ref("AWS::NoValue")),
    ),
    Case(
        "WebApplicationFirewall",
        "a firewall that stands there sometimes",
        {
            "it": resource(STAGE),
            **{
                id: {**each, "Condition": "Sometimes"} for id, each in guarded({"OverrideAction": {"None": {}}}).items()
            },
        },
    ),
    one("KnownKinds", "a macro's kind", "AWS::Serverless::SimpleTable"),
    # Addresses
    one("NoOpenIngress", "two halves", GROUP, SecurityGroupIngress=HALVES),
    one(
        "NoOpenIngress",
        "two halves of IPv6",
        GROUP,
        SecurityGroupIngress=[{"CidrIpv6": "::/1"}, {"CidrIpv6": "8000::/1"}],
    ),
    one("NoOpenIngress", "host bits", GROUP, SecurityGroupIngress=[{"CidrIp": "1.2.3.4/0"}]),
    one("NoOpenIngress", "another zero", GROUP, SecurityGroupIngress=[{"CidrIpv6": "0::/0"}]),
    one(
        "NoOpenIngress",
        "many small ones",
        GROUP,
        SecurityGroupIngress=[{"CidrIp": f"{first}.0.0.0/8"} for first in range(11, 100)],
    ),
    one("NoOpenIngress", "an unknown prefix list", GROUP, SecurityGroupIngress=[{"SourcePrefixListId": "pl-1"}]),
    Case(
        "NoOpenIngress",
        "a prefix list",
        {
            "it": resource(GROUP, SecurityGroupIngress=[{"SourcePrefixListId": ref("list")}]),
            "list": resource("AWS::EC2::PrefixList", Entries=[{"Cidr": "0.0.0.0/1"}, {"Cidr": "128.0.0.0/1"}]),
        },
    ),
    Case(
        "NoOpenIngress",
        "halves in separate resources",
        {
            "it": resource(GROUP, SecurityGroupIngress=HALVES[:1]),
            "other": resource("AWS::EC2::SecurityGroupIngress", GroupId=ref("it"), **HALVES[1]),
        },
    ),
    Case(
        "NoOpenEgress",
        "separate resources, all ports",
        {
            "it": resource(
                "AWS::EC2::SecurityGroupEgress",
                GroupId=ref("group"),
                CidrIp="0.0.0.0/0",
                IpProtocol="tcp",
                FromPort=0,
                ToPort=65535,
            ),
            "group": resource(GROUP, SecurityGroupEgress=[]),
        },
    ),
    one(
        "NoOpenEgress",
        "all ports",
        GROUP,
        SecurityGroupEgress=[{"CidrIp": "0.0.0.0/0", "IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535}],
    ),
    one(
        "NoOpenEgress",
        "all ports in two ranges",
        GROUP,
        SecurityGroupEgress=[
            {"CidrIp": "0.0.0.0/0", "IpProtocol": "tcp", "FromPort": first, "ToPort": first + 32767}
            for first in (0, 32768)
        ],
    ),
    one("NoOpenEgress", "halves", GROUP, SecurityGroupEgress=[{**each, "IpProtocol": "-1"} for each in HALVES]),
    one("NoOpenIngress", "a network ACL", ACL_ENTRY, CidrBlock="0.0.0.0/0", Protocol=-1, RuleAction="allow"),
    one(
        "NoOpenEgress", "a network ACL", ACL_ENTRY, CidrBlock="0.0.0.0/0", Protocol=-1, RuleAction="allow", Egress=True
    ),
    # Public doors
    one("PrivateLoadBalancer", "a classic load balancer", "AWS::ElasticLoadBalancing::LoadBalancer", Listeners=[]),
    one("AuthenticatedApi", "a function's address", "AWS::Lambda::Url", AuthType="NONE"),
    one("AuthenticatedApi", "an HTTP API's route", "AWS::ApiGatewayV2::Route", RouteKey="POST /pay"),
    one(
        "AuthenticatedApi",
        "OPTIONS that is proxied",
        METHOD,
        HttpMethod="OPTIONS",
        AuthorizationType="NONE",
        Integration={"Type": "AWS_PROXY"},
    ),
    one("AuthenticatedApi", "routes in a document", API, Body={"paths": {}}),
    one("PrivateDatabase", "OpenSearch outside a VPC", "AWS::OpenSearchService::Domain"),
    one("PrivateDatabase", "Redshift", "AWS::Redshift::Cluster", PubliclyAccessible=True),
    one("PrivateDatabase", "a cluster", CLUSTER, PubliclyAccessible=True),
    # Encryption
    one("EncryptedAtRest", "StorageEncrypted false beside a key", CLUSTER, StorageEncrypted=False, KmsKeyId=KEY),
    one(
        "EncryptedAtRest",
        "SSEEnabled false beside a key",
        TABLE,
        SSESpecification={"SSEEnabled": False, "KMSMasterKeyId": KEY},
    ),
    one(
        "EncryptedAtRest",
        "AES256 beside a key",
        BUCKET,
        BucketEncryption={
            "ServerSideEncryptionConfiguration": [
                {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256", "KMSMasterKeyID": KEY}}
            ]
        },
    ),
    one("EncryptedAtRest", "AWS's key", TOPIC, KmsMasterKeyId="alias/aws/sns"),
    one("EncryptedAtRest", "AWS's key, joined", TOPIC, KmsMasterKeyId=joined("alias/", "aws/", "sns")),
    *(
        one("EncryptedAtRest", f"a key {where}", TOPIC, KmsMasterKeyId=key)
        for where, key in {
            "of another account": FOREIGN_KEY,
            "no name of a key": "arn:aws",
            "of another account, joined": joined("arn:aws:kms:", ref("AWS::Region"), ":222222222222:key/k"),
            "of another region": joined("arn:aws:kms:eu-west-1:", ref("AWS::AccountId"), ":key/k"),
            "of another account, by its alias": FOREIGN_KEY.replace("key/k", "alias/k"),
            "of AWS, by its ARN": joined(
                "arn:aws:kms:", ref("AWS::Region"), ":", ref("AWS::AccountId"), ":alias/aws/sns"
            ),
            "that is none": "arn:aws:sns:us-east-1:111111111111:topic",
        }.items()
    ),
    one("EncryptedAtRest", "EFS", "AWS::EFS::FileSystem"),
    one("EncryptedAtRest", "EBS", "AWS::EC2::Volume", Encrypted=True),
    one("EncryptedAtRest", "a database instance", INSTANCE, StorageEncrypted=True),
    one("EncryptedAtRest", "a global table", "AWS::DynamoDB::GlobalTable", Replicas=[{"Region": "eu-west-1"}]),
    one("EncryptedAtRest", "Kinesis", "AWS::Kinesis::Stream"),
    one("EncryptedAtRest", "Firehose", "AWS::KinesisFirehose::DeliveryStream"),
    one("EncryptedAtRest", "ECR", "AWS::ECR::Repository"),
    one("EncryptedAtRest", "a backup vault", "AWS::Backup::BackupVault"),
    one("KnownKinds", "a store without a rule", "AWS::Timestream::Database"),
    one("KeyRotation", "after seven years", KMS_KEY, EnableKeyRotation=True, RotationPeriodInDays=2560),
    one("KeyRotation", "imported material", KMS_KEY, EnableKeyRotation=True, Origin="EXTERNAL"),
    # TLS
    one("ListenerTls", "CBC and RSA", LISTENER, Protocol="HTTPS", SslPolicy="ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06"),
    one("ListenerTls", "CBC", LISTENER, Protocol="HTTPS", SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06"),
    one("ListenerTls", "1.0, with a name like 1.2", LISTENER, Protocol="HTTPS", SslPolicy="x-TLS-1-2"),
    one("ApiTls", "a custom domain at 1.0", "AWS::ApiGateway::DomainName", SecurityPolicy="TLS_1_0"),
    one(
        "ApiTls",
        "CloudFront",
        "AWS::CloudFront::Distribution",
        DistributionConfig={"DefaultCacheBehavior": {"ViewerProtocolPolicy": "allow-all"}},
    ),
    one(
        "BackendTls",
        "a back end that proves nothing",
        METHOD,
        Integration={"Type": "HTTP_PROXY", "Uri": "https://x", "TlsConfig": {"InsecureSkipVerification": "true"}},
    ),
    one("BackendTls", "plain text behind the balancer", "AWS::ElasticLoadBalancingV2::TargetGroup", Protocol="HTTP"),
    denial("BucketTls", "denies one action", Action="s3:PutBucketAcl"),
    denial("BucketTls", "denies one principal", Principal={"AWS": "arn:aws:iam::1:role/x"}),
    denial("BucketTls", "denies the bucket, not its objects", Resource={"Fn::GetAtt": ["it", "Arn"]}),
    denial("BucketTls", "has a second condition", Condition={**PLAIN_TEXT, "StringEquals": {"aws:SourceAccount": "1"}}),
    denial("BucketTls", "stands in another bucket's policy", "other"),
    Case(
        "DatabaseTls",
        "parameters in a tag",
        {
            "it": resource(CLUSTER, Tags=[{"Key": "x", "Value": ref("group")}]),
            "group": resource(
                "AWS::RDS::DBClusterParameterGroup",
                Parameters={"rds.force_ssl": "1", "ssl_min_protocol_version": "TLSv1.2"},
            ),
        },
    ),
    one("QueueTls", "a queue", "AWS::SQS::Queue", KmsMasterKeyId=KEY),
    # Access
    allow("NoWildcardActions", "a role's policy", "AWS::IAM::RolePolicy", Action="*"),
    allow("NoWildcardActions", "a user's policy", "AWS::IAM::UserPolicy", Action="iam:*"),
    allow("NoWildcardActions", "a device's policy", "AWS::IoT::Policy", Action="iot:*"),
    one(
        "NoWildcardActions",
        "a policy in a group",
        "AWS::IAM::Group",
        Policies=[{"PolicyDocument": policy("Allow", Action="*", Resource="*")}],
    ),
    allow("NoWildcardActions", "a question mark", Action="s3:GetObjec?"),
    one(
        "NoWildcardActions",
        "NotAction",
        POLICY,
        PolicyDocument=policy("Allow", NotAction="iam:CreateUser", Resource="*"),
    ),
    one(
        "NoWildcardActions",
        "NotResource",
        POLICY,
        PolicyDocument=policy("Allow", Action="s3:GetObject", NotResource="arn:aws:s3:::x"),
    ),
    allow("NoWildcardActions", "PassRole of any role", Action="iam:PassRole", Resource="*"),
    one(
        "NoAdministrators",
        "a name from halves",
        ROLE,
        ManagedPolicyArns=[joined("arn:aws:iam::aws:policy/Administrator", "Access")],
    ),
    one("NoAdministrators", "a user", "AWS::IAM::User", ManagedPolicyArns=["arn:aws:iam::aws:policy/IAMFullAccess"]),
    one(
        "NoAnonymousAccess",
        "a role for anybody",
        ROLE,
        AssumeRolePolicyDocument=policy("Allow", Action="sts:AssumeRole", Principal={"AWS": "*"}),
    ),
    one(
        "NoAnonymousAccess",
        "a star in a list",
        KMS_KEY,
        KeyPolicy=policy("Allow", Action="kms:Decrypt", Principal={"AWS": ["arn:aws:iam::1:root", "*"]}),
    ),
    one(
        "NoAnonymousAccess",
        "NotPrincipal",
        KMS_KEY,
        KeyPolicy=policy("Allow", Action="kms:Decrypt", NotPrincipal={"AWS": "arn:aws:iam::1:root"}),
    ),
    one(
        "NoAnonymousAccess",
        "a condition that is always true",
        KMS_KEY,
        KeyPolicy=policy(
            "Allow", Action="kms:Decrypt", Principal="*", Condition={"StringLike": {"aws:PrincipalArn": "*"}}
        ),
    ),
    one(
        "NoAnonymousAccess",
        "a condition that is true of a missing key",
        KMS_KEY,
        KeyPolicy=policy(
            "Allow",
            Action="kms:Decrypt",
            Principal="*",
            Condition={"StringEqualsIfExists": {"aws:SourceAccount": "123456789012"}},
        ),
    ),
    allow(
        "NoAnonymousAccess",
        "public reads by TLS",
        BUCKET_POLICY,
        Principal="*",
        Condition={"Bool": {"aws:SecureTransport": "true"}},
    ),
    one("NoAnonymousAccess", "anybody may invoke", "AWS::Lambda::Permission", Principal="*", Action="lambda:Invoke"),
    Case("WebApplicationFirewall", "without rules", {"it": resource(STAGE), **guarded()}),
    Case(
        "WebApplicationFirewall", "only counts", {"it": resource(STAGE), **guarded({"OverrideAction": {"Count": {}}})}
    ),
    one(
        "ApprovedChanges",
        "after production",
        PIPELINE,
        Stages=[{"Name": "Prod", "Actions": [DEPLOY]}, {"Name": "Late", "Actions": [APPROVAL]}],
    ),
    one(
        "ApprovedChanges",
        "before the tests",
        PIPELINE,
        Stages=[
            {"Name": "First", "Actions": [APPROVAL]},
            {"Name": "Dev", "Actions": [DEPLOY]},
            {"Name": "Prod", "Actions": [DEPLOY]},
        ],
    ),
    # Secrets and logs
    one("NoEmbeddedSecrets", "a function's variable", FUNCTION, Environment={"Variables": {"DB_PASSWORD": "hunter2"}}),
    one(
        "NoEmbeddedSecrets",
        "a build's variable",
        "AWS::CodeBuild::Project",
        Environment={"EnvironmentVariables": [{"Name": "API_TOKEN", "Value": "abc"}]},
    ),
    one("NoEmbeddedSecrets", "a database instance", INSTANCE, MasterUserPassword="hunter2"),
    one("NoEmbeddedSecrets", "a joined password", INSTANCE, MasterUserPassword=joined("hunter", "2")),
    one("NoEmbeddedSecrets", "a parameter", INSTANCE, MasterUserPassword=ref("Given")),
    one(
        "NoEmbeddedSecrets",
        "a password in an address",
        FUNCTION,
        Environment={"Variables": {"DATABASE": "postgresql://app:hunter2@host/db"}},
    ),
    Case(
        "SecretRotation",
        "after 1,000 days",
        {
            "it": resource(SECRET),
            "rotation": resource(
                "AWS::SecretsManager::RotationSchedule",
                SecretId=ref("it"),
                RotationRules={"ScheduleExpression": "rate(1000 days)"},
            ),
        },
    ),
    one("BucketAccessLogs", "to itself", BUCKET, LoggingConfiguration={"DestinationBucketName": ref("it")}),
    one("BucketAccessLogs", "to itself, unsaid", BUCKET, LoggingConfiguration={"LogFilePrefix": "x"}),
    one(
        "TwelveMonths",
        "a day",
        BUCKET,
        LifecycleConfiguration={"Rules": [{"Status": "Enabled", "ExpirationInDays": "1"}]},
    ),
    one(
        "TwelveMonths",
        "a date",
        BUCKET,
        LifecycleConfiguration={"Rules": [{"Status": "Enabled", "ExpirationDate": "2020-01-01"}]},
    ),
    one("TwelveMonths", "a custom resource", "Custom::LogRetention", RetentionInDays="1"),
    one("KnownKinds", "a custom resource that may do anything", "Custom::AWS", Create="{}"),
    one("AlarmsNotify", "switched off by text", ALARM, AlarmActions=["arn"], ActionsEnabled="false"),
    Case(
        "NoticesHeard",
        "nobody's address",
        {
            "it": resource(TOPIC),
            "mail": resource("AWS::SNS::Subscription", TopicArn=ref("it"), Endpoint="alerts@example.com"),
        },
    ),
    one(
        "BalancerAccessLogs",
        "a parameter",
        BALANCER,
        LoadBalancerAttributes=[{"Key": "access_logs.s3.enabled", "Value": ref("Given")}],
    ),
    # What a second look found
    *(
        one(
            "NoAnonymousAccess",
            f"any repository of the provider: {condition}",
            ROLE,
            AssumeRolePolicyDocument=policy(
                "Allow", Action="sts:AssumeRoleWithWebIdentity", Principal=REPOSITORIES, **condition
            ),
        )
        for condition in (
            {},
            {"Condition": {"StringEquals": {"token.actions.githubusercontent.com:aud": "sts.amazonaws.com"}}},
            {"Condition": {"StringLike": {SUBJECT: "repo:*"}}},
            {"Condition": {"StringLike": {SUBJECT: "repo:our-company*"}}},
        )
    ),
    *(
        one(
            "NoAnonymousAccess",
            f"{key} is {value}",
            KMS_KEY,
            KeyPolicy=policy("Allow", Action="kms:Decrypt", Principal="*", Condition={"StringLike": {key: value}}),
        )
        for key, value in {
            "aws:PrincipalOrgID": "o-*",
            "aws:PrincipalArn": "arn:aws:iam::*:role/*",
            "aws:SourceVpc": "vpc-*",
            "aws:PrincipalAccount": "1*",
            "aws:SourceArn": "arn:aws:s3:::*",
        }.items()
    ),
    *(
        one("NoAnonymousAccess", f"a service for anybody's {what}", "AWS::Lambda::Permission", **properties)
        for what, properties in {
            "bucket": {"Principal": "s3.amazonaws.com"},
            "every bucket": {"Principal": "s3.amazonaws.com", "SourceArn": "arn:aws:s3:::*"},
            "account": {"Principal": "events.amazonaws.com", "SourceAccount": "*"},
        }.items()
    ),
    one("NoAnonymousAccess", "an event bus", "AWS::Events::EventBusPolicy", Principal="*", Action="events:PutEvents"),
    one(
        "NoAnonymousAccess",
        "an event bus, by a statement",
        "AWS::Events::EventBusPolicy",
        Statement={"Effect": "Allow", "Principal": "*", "Action": "events:PutEvents"},
    ),
    one("NoAnonymousAccess", "logs of builds", BUILD, Visibility="PUBLIC_READ"),
    one("NoAnonymousAccess", "code in a layer", "AWS::Lambda::LayerVersionPermission", Principal="*"),
    one("NoAnonymousAccess", "whom a parameter names", "AWS::Lambda::Permission", Principal=ref("Given")),
    *(
        one("NoAnonymousAccess", f"a resource policy: {kind}", kind, **{name: OPEN})
        for kind, name in {
            "AWS::ApiGateway::RestApi": "Policy",
            "AWS::Backup::BackupVault": "AccessPolicy",
            "AWS::CodeArtifact::Domain": "PermissionsPolicyDocument",
            "AWS::ECR::Repository": "RepositoryPolicyText",
            "AWS::EFS::FileSystem": "FileSystemPolicy",
            "AWS::Events::EventBus": "Policy",
            "AWS::KMS::ReplicaKey": "KeyPolicy",
            "AWS::Kinesis::ResourcePolicy": "ResourcePolicy",
            "AWS::Logs::LogGroup": "ResourcePolicyDocument",
            "AWS::OpenSearchService::Domain": "AccessPolicies",
            "AWS::S3::AccessPoint": "Policy",
            "AWS::S3Express::BucketPolicy": "PolicyDocument",
            "AWS::SecretsManager::ResourcePolicy": "ResourcePolicy",
            "AWS::SQS::QueueInlinePolicy": "PolicyDocument",
            "AWS::SSM::ResourcePolicy": "Policy",
            "AWS::Service::OfTomorrow": "WhoMay",
        }.items()
    ),
    *(
        one("NoAnonymousAccess", f"a resource policy {how}", LOGS_POLICY, PolicyDocument=document)
        for how, document in {
            "as text": json.dumps(OPEN),
            "as joined text": joined(json.dumps(OPEN)[:40], json.dumps(OPEN)[40:]),
            "as text with a parameter": joined('{"Statement": {"Effect": "Allow", "Principal": "', ref("Given"), '"}}'),
            "that is half a parameter": joined('{"Statement": ', ref("Given"), "}"),
            "that is a parameter": ref("Given"),
            "whose statements are a parameter": {"Version": "2012-10-17", "Statement": ref("Given")},
            "that is no JSON": "{'Statement': ...}",
        }.items()
    ),
    one("NoAnonymousAccess", "in a table", TABLE, ResourcePolicy={"PolicyDocument": OPEN}),
    one("NoAnonymousAccess", "a macro's", KMS_KEY, **{"Fn::Transform": {"Name": "AWS::Include"}}),
    one("BuildLogs", "a parameter", BUILD, LogsConfig={"CloudWatchLogs": {"Status": ref("Given")}}),
    one(
        "BuildLogs",
        "both off",
        BUILD,
        LogsConfig={"CloudWatchLogs": {"Status": "DISABLED"}, "S3Logs": {"Status": "DISABLED"}},
    ),
    one("NoUserLogins", "an access key", "AWS::IAM::AccessKey", UserName="app"),
    one("NoUserLogins", "a password that is looked up", "AWS::IAM::User", LoginProfile={"Password": LOOKED_UP}),
    *(
        allow("NoWildcardActions", f"{action} where no resource is named: {where}", Action=[action], Resource=where)
        for action, where in {
            "iam:PassRole": "arn:aws:iam::111111111111:role/*",
            "iam:PutRolePolicy": "*",
            "sts:AssumeRole": "arn:aws:iam::*:role/*",
            "secretsmanager:GetSecretValue": "arn:aws:secretsmanager:us-east-1:111111111111:secret:*",
            "lambda:UpdateFunctionCode": "*",
        }.items()
    ),
    *(
        one("NoAdministrators", name, ROLE, ManagedPolicyArns=[f"arn:aws:iam::aws:policy/{name}"])
        for name in ("SecretsManagerReadWrite", "ReadOnlyAccess", "AmazonDynamoDBReadOnlyAccess")
    ),
    one(
        "ApprovedChanges",
        "a build that deploys, before the approval",
        PIPELINE,
        Stages=[
            {"Name": "Prod", "Actions": [{"ActionTypeId": {"Category": "Build"}}]},
            {"Name": "Late", "Actions": [APPROVAL]},
        ],
    ),
    one(
        "ApprovedChanges",
        "a function in production's stage, before the approval",
        PIPELINE,
        Stages=[
            {
                "Name": "Prod",
                "Actions": [
                    {"ActionTypeId": {"Category": "Invoke"}},
                    {**APPROVAL, "RunOrder": 2},
                    {**DEPLOY, "RunOrder": 3},
                ],
            }
        ],
    ),
    one(
        "ApprovedChanges",
        "an approval of nothing",
        PIPELINE,
        Stages=[{"Name": "Live", "Actions": [{"ActionTypeId": {"Category": "Build"}}, {**APPROVAL, "RunOrder": 2}]}],
    ),
    *(
        Case("WebApplicationFirewall", what, {"it": resource(STAGE), **guarded(*rules)})
        for what, rules in {
            "blocks one address": [{"Action": {"Block": {}}, "Statement": {"IPSetReferenceStatement": {}}}],
            "lets through first": [
                {**MANAGED, "Priority": 2},
                {"Priority": 1, "Action": {"Allow": {}}, "Statement": {"SizeConstraintStatement": {}}},
            ],
            "looks at one path": [
                {
                    **MANAGED,
                    "Statement": {"ManagedRuleGroupStatement": {"ScopeDownStatement": {"ByteMatchStatement": {}}}},
                }
            ],
        }.items()
    ),
    Case(
        "FirewallLogs",
        "drops what it logs",
        {
            "it": resource("AWS::WAFv2::WebACL"),
            "log": resource(
                "AWS::WAFv2::LoggingConfiguration", ResourceArn=ref("it"), LoggingFilter={"DefaultBehavior": "DROP"}
            ),
        },
    ),
    one("NoEmbeddedSecrets", "an API key", "AWS::ApiGateway::ApiKey", Name="merchant", Value="0123456789abcdef"),
    one(
        "NoEmbeddedSecrets", "a parameter of SSM", "AWS::SSM::Parameter", Name="/db/password", Type="String", Value="x1"
    ),
    one("NoEmbeddedSecrets", "a program in the template", FUNCTION, Code={"ZipFile": "PASSWORD = 'hunter2'\n"}),
    one("NoEmbeddedSecrets", "JSON text", "AWS::Scheduler::Schedule", Target={"Input": '{"password": "hunter2"}'}),
    one("SecretRotation", "an access key", "AWS::IAM::AccessKey", UserName="app"),
    one("TrailActive", "without validation", "AWS::CloudTrail::Trail", IsLogging=True, EnableLogFileValidation="false"),
    one("NoPayloadsKept", "a cache", STAGE, CacheClusterEnabled=True),
    one("NoPayloadsKept", "an HTTP API", "AWS::ApiGatewayV2::Stage", DefaultRouteSettings={"DataTraceEnabled": "true"}),
    one(
        "TwelveMonths",
        "a deleted log, for a day",
        BUCKET,
        LifecycleConfiguration={"Rules": [{"Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}]},
    ),
    one("TwelveMonths", "a class that keeps for two days", LOG_GROUP, LogGroupClass="DELIVERY"),
    one("DatabaseLogs", "only upgrades", CLUSTER, EnableCloudwatchLogsExports=["upgrade"]),
    one("ApiAccessLogs", "an empty line", STAGE, AccessLogSetting={"DestinationArn": "arn", "Format": "-"}),
    one(
        "ApiAccessLogs",
        "without the caller",
        STAGE,
        AccessLogSetting={"DestinationArn": "arn", "Format": LINE.replace("$context.identity.caller", "-")},
    ),
    one("ApiAccessLogs", "CloudFront", DISTRIBUTION, DistributionConfig={}),
    one(
        "BackendTls",
        "SSL 3",
        DISTRIBUTION,
        DistributionConfig={
            "Origins": [{"CustomOriginConfig": {"OriginProtocolPolicy": "https-only", "OriginSSLProtocols": ["SSLv3"]}}]
        },
    ),
    one("BackendTls", "a source that proves nothing", BUILD, Source={"InsecureSsl": "true"}),
    one("StoreTls", "DMS", "AWS::DMS::Endpoint", EngineName="postgres", SslMode="none"),
    one(
        "StoreTls",
        "a volume",
        "AWS::ECS::TaskDefinition",
        Volumes=[{"EFSVolumeConfiguration": {"TransitEncryption": "DISABLED"}}],
    ),
    one("TopicTls", "a notice", "AWS::SNS::Subscription", Protocol="http", Endpoint="http://x.company.net"),
    one(
        "AuthenticatedStore",
        "a broker for everybody",
        "AWS::MSK::Cluster",
        ClientAuthentication={"Tls": {"Enabled": True}, "Unauthenticated": {"Enabled": True}},
    ),
    one(
        "EncryptedAtRest",
        "a build's result beside a key",
        BUILD,
        EncryptionKey=KEY,
        Artifacts={"EncryptionDisabled": True},
    ),
    one("EncryptedAtRest", "the text of queries", INSTANCE, DBClusterIdentifier="c", EnablePerformanceInsights=True),
    one(
        "KnownKinds",
        "a function of another account",
        "Custom::EmptyBucket",
        ServiceToken="arn:aws:lambda:us-east-1:1:function:x",
    ),
    *(
        one("KnownKinds", kind, f"AWS::EC2::{kind}")
        for kind in ("VPCPeeringConnection", "VPCEndpointService", "VPCEndpointServicePermissions")
    ),
    Case(
        "PrivateDatabase",
        "subnets of the internet",
        {
            "it": resource("AWS::RDS::DBSubnetGroup", SubnetIds=[ref("subnet")]),
            "subnet": resource("AWS::EC2::Subnet"),
            "table": resource("AWS::EC2::RouteTable"),
            "in": resource("AWS::EC2::SubnetRouteTableAssociation", SubnetId=ref("subnet"), RouteTableId=ref("table")),
            "route": resource("AWS::EC2::Route", RouteTableId=ref("table"), GatewayId=ref("gateway")),
            "gateway": resource("AWS::EC2::InternetGateway"),
        },
    ),
]
