"""IAM and security changes come first, statement by statement. Far-reaching changes are alarming."""

from typing import Any

import pytest

from tests.unit.pipeline.review.given import Template, changes, policy, resource, texts

READ = {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": {"Fn::GetAtt": ["B", "Arn"]}}
BUCKET = {"B": resource("AWS::S3::Bucket", path="Storage/Audit")}


def details(base: Template, head: Template) -> list[tuple[str, str, bool]]:
    [entry] = changes(base, head)
    assert entry.section == "security"
    return [(each.sign, each.text, each.alarming) for each in entry.details]


def test_an_added_statement_names_the_constructs_that_it_refers_to() -> None:
    write = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": {"Fn::Join": ["", [READ["Resource"], "/*"]]}}
    assert texts(changes(BUCKET | policy(READ), BUCKET | policy(READ, write))) == [
        "security: changed AWS::IAM::ManagedPolicy Api/Policy (dev)\n+ Allow s3:PutObject on ${Storage/Audit.Arn}/*"
    ]


@pytest.mark.parametrize(
    ("after", "verdict", "alarming"),
    [
        ({"Action": ["s3:GetObject", "s3:PutObject"]}, "widened", False),
        ({"Action": "s3:*"}, "widened ← wildcard action s3:*", True),
        ({"Action": "*"}, "widened ← wildcard action *", True),
        ({"Resource": "*"}, "widened ← any resource", True),
        ({"Condition": {"Bool": {"aws:SecureTransport": "true"}}}, "narrowed", False),
        ({"Action": ["s3:PutObject"]}, "changed", False),
        ({"NotAction": "iam:*", "Action": None}, "changed ← wildcard action not iam:*", True),
    ],
)
def test_a_changed_statement_is_widened_narrowed_or_changed(
    after: dict[str, Any], verdict: str, alarming: bool
) -> None:
    (sign, text, loud), *parts = details(BUCKET | policy(READ), BUCKET | policy(READ | after))
    assert (sign, text, loud) == ("!", f"{verdict}: Allow s3:GetObject on ${{Storage/Audit.Arn}}", alarming)
    assert parts


def test_a_lost_condition_widens_and_a_larger_denial_narrows() -> None:
    limited = READ | {"Condition": {"StringEquals": {"aws:SourceAccount": "1"}}}
    denied = READ | {"Effect": "Deny", "Sid": "No"}
    assert details(BUCKET | policy(limited), BUCKET | policy(READ))[0][1].startswith("widened")
    more = denied | {"Action": ["s3:GetObject", "s3:PutObject"]}
    assert details(BUCKET | policy(denied), BUCKET | policy(more))[0][1].startswith("narrowed")
    assert details(BUCKET | policy(more), BUCKET | policy(denied))[0][1].startswith("widened")


def test_a_removed_denial_is_alarming() -> None:
    denied = {"Effect": "Deny", "Action": "s3:*", "Principal": "*", "Resource": "*"}
    [(sign, text, alarming)] = details(BUCKET | policy(READ, denied), BUCKET | policy(READ))
    assert (sign, text, alarming) == ("-", "Deny *: s3:* on * ← a denial is gone", True)


def test_another_language_version_of_a_policy_is_alarming() -> None:
    older = policy(READ)
    older["P"]["Properties"]["PolicyDocument"]["Version"] = "2008-10-17"
    assert details(BUCKET | policy(READ), BUCKET | older) == [("!", "Version: 2012-10-17 → 2008-10-17", True)]


def test_another_order_or_form_of_a_policy_is_no_change() -> None:
    other = {"Effect": "Allow", "Action": ["kms:Decrypt", "kms:Encrypt"], "Resource": "arn:k"}
    same = {"Effect": "Allow", "Action": ["kms:Encrypt", "kms:Decrypt"], "Resource": ["arn:k"]}
    assert changes(BUCKET | policy(READ, other), BUCKET | policy(same, READ | {"Action": "s3:GetObject"})) == []


@pytest.mark.parametrize(
    ("type", "name"),
    [
        ("AWS::KMS::Key", "KeyPolicy"),
        ("AWS::S3::BucketPolicy", "PolicyDocument"),
        ("AWS::SecretsManager::ResourcePolicy", "ResourcePolicy"),
        ("AWS::IAM::Role", "AssumeRolePolicyDocument"),
        ("AWS::EC2::VPCEndpoint", "PolicyDocument"),
    ],
)
def test_policies_of_resources_are_security_and_anyone_is_alarming(type: str, name: str) -> None:
    statement = {"Effect": "Allow", "Action": "x:Use", "Principal": {"AWS": "*"}, "Resource": "*"}
    base, head = ({"R": resource(type, {name: {"Statement": of}})} for of in ([], [statement]))
    [(sign, text, alarming)] = details(base, head)
    assert sign == "+"
    assert text.endswith("Allow AWS *: x:Use on * ← anyone")
    assert alarming


@pytest.mark.parametrize(
    ("type", "before", "after"),
    [
        (
            "AWS::EC2::SecurityGroup",
            {"SecurityGroupIngress": {"Fn::If": ["C", [], "a"]}},
            {"SecurityGroupIngress": {"Fn::If": ["C", [], "b"]}},
        ),
        (
            "AWS::IAM::ManagedPolicy",
            {"PolicyDocument": {"Statement": [READ, {"Fn::If": ["C", READ, "a"]}]}},
            {"PolicyDocument": {"Statement": [READ, {"Fn::If": ["C", READ, "b"]}]}},
        ),
        (
            "AWS::IAM::ManagedPolicy",
            {"PolicyDocument": {"Statement": [READ | {"Effect": "Deny"}]}},
            {"PolicyDocument": {"Statement": [READ | {"Effect": "Deny", "Resource": "${Storage/Audit.Arn}"}]}},
        ),
        ("AWS::Lambda::Permission", {"FunctionUrlAuthType": "AWS_IAM"}, {"FunctionUrlAuthType": "NONE"}),
        ("AWS::EC2::SecurityGroupIngress", {"SourceSecurityGroupOwnerId": "1"}, {"SourceSecurityGroupOwnerId": "2"}),
    ],
)
def test_a_statement_that_cannot_be_parsed_is_still_shown(
    type: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    base, head = (BUCKET | {"R": resource(type, of)} for of in (before, after))
    assert details(base, head)


def test_an_added_or_removed_role_shows_its_statements() -> None:
    role = {"R": resource("AWS::IAM::Role", {"AssumeRolePolicyDocument": {"Statement": [READ]}, "RoleName": "r"})}
    assert [each[0] for each in details(BUCKET, BUCKET | role)] == ["+", "+"]
    assert texts(changes(BUCKET | role, BUCKET))[0].startswith("security: removed AWS::IAM::Role R (dev)\n- Assume")


def test_a_new_resource_is_a_security_change_only_if_it_is_open_or_unprotected() -> None:
    group = {"L": resource("AWS::Logs::LogGroup", {"KmsKeyId": "k"})}
    database = {"D": resource("AWS::RDS::DBInstance", {"PubliclyAccessible": True, "KmsKeyId": "k"})}
    assert texts(changes({}, group | database)) == [
        "security: added AWS::RDS::DBInstance D (dev)\n+ PubliclyAccessible: true",
        "rest: added AWS::Logs::LogGroup L (dev)",
    ]


def test_an_invocation_permission_is_shown_as_a_statement() -> None:
    properties = {"Action": "lambda:InvokeFunction", "FunctionName": "f", "Principal": "s3.amazonaws.com"}
    limited = properties | {"SourceArn": "arn:b"}
    base, head = ({"R": resource("AWS::Lambda::Permission", of)} for of in (limited, properties))
    assert details(base, head) == [
        ("!", "widened: Allow s3.amazonaws.com: lambda:InvokeFunction on f if SourceArn = arn:b", False),
        ("-", "    condition SourceArn = arn:b", False),
    ]


def test_rules_of_security_groups_show_port_and_peer() -> None:
    rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIp": "0.0.0.0/0"}
    base, head = (
        {"G": resource("AWS::EC2::SecurityGroup", {f"SecurityGroup{way}": [rule]})} for way in ("Egress", "Ingress")
    )
    assert details(base, head) == [
        ("+", "ingress tcp 443 from 0.0.0.0/0 ← open to everyone", True),
        ("-", "egress tcp 443 to 0.0.0.0/0", False),
    ]


def test_a_changed_standalone_rule_is_shown_once() -> None:
    rule = {"IpProtocol": "-1", "GroupId": {"Ref": "G"}, "SourceSecurityGroupId": "sg-1"}
    base, head = (
        {"G": resource("AWS::EC2::SecurityGroup", path="Db"), "R": resource("AWS::EC2::SecurityGroupIngress", of)}
        for of in (rule, rule | {"SourceSecurityGroupId": "sg-2"})
    )
    assert texts(changes(base, head)) == [
        "security: changed AWS::EC2::SecurityGroupIngress R (dev)\n"
        "- ingress all traffic from sg-1 at ${Db}\n+ ingress all traffic from sg-2 at ${Db}"
    ]


@pytest.mark.parametrize(
    ("type", "before", "after", "text"),
    [
        ("AWS::KMS::Key", {"EnableKeyRotation": True}, {"EnableKeyRotation": False}, "EnableKeyRotation: true → false"),
        (
            "AWS::WAFv2::WebACL",
            {"Rules": [{"Name": "A", "Priority": 1}, {"Name": "SQL", "Priority": 2}]},
            {"Rules": [{"Name": "A", "Priority": 1}]},
            'Rules[SQL]: {"Name": "SQL", "Priority": 2}',
        ),
        (
            "AWS::ElasticLoadBalancingV2::Listener",
            {"SslPolicy": "ELBSecurityPolicy-TLS13-1-2-2021-06"},
            {"SslPolicy": "ELBSecurityPolicy-2016-08"},
            "SslPolicy: ELBSecurityPolicy-TLS13-1-2-2021-06 → ELBSecurityPolicy-2016-08",
        ),
        (
            "AWS::S3::Bucket",
            {"PublicAccessBlockConfiguration": {"BlockPublicAcls": True}},
            {"PublicAccessBlockConfiguration": {"BlockPublicAcls": False}},
            "PublicAccessBlockConfiguration.BlockPublicAcls: true → false",
        ),
        ("AWS::ApiGateway::Method", {"AuthorizationType": "AWS_IAM"}, {}, "AuthorizationType: AWS_IAM"),
    ],
)
def test_security_properties_of_other_types_are_security_changes(
    type: str, before: dict[str, Any], after: dict[str, Any], text: str
) -> None:
    base, head = ({"R": resource(type, of)} for of in (before, after))
    [entry] = [each for each in changes(base, head) if each.section == "security"]
    assert [each.text for each in entry.details] == [text]


@pytest.mark.parametrize(
    ("type", "before", "after"),
    [
        ("AWS::KMS::Key", {"EnableKeyRotation": True}, {"EnableKeyRotation": False}),
        ("AWS::ApiGateway::Method", {"AuthorizationType": "AWS_IAM"}, {"AuthorizationType": "NONE"}),
        ("AWS::WAFv2::WebACL", {"Rules": [{"Name": "A"}, {"Name": "SQL"}]}, {"Rules": [{"Name": "A"}]}),
        ("AWS::RDS::DBInstance", {"PubliclyAccessible": False}, {"PubliclyAccessible": True}),
        ("AWS::S3::Bucket", {"BucketEncryption": {"A": 1}}, {}),
        (
            "AWS::CodePipeline::Pipeline",
            {"Stages": [{"Name": "Prod", "Actions": [{"Name": "Approve"}, {"Name": "Deploy"}]}]},
            {"Stages": [{"Name": "Prod", "Actions": [{"Name": "Deploy"}]}]},
        ),
    ],
)
def test_a_control_is_alarming_when_switched_off_but_not_when_switched_on(
    type: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    base, head = ({"R": resource(type, of)} for of in (before, after))
    assert [alarming for _, _, alarming in details(base, head)] == [True]
    assert [alarming for _, _, alarming in details(head, base)] == [False]


def test_far_reaching_changes_come_first() -> None:
    base = BUCKET | policy(READ)
    wide = policy(READ | {"Action": "*"})
    role = {"A": resource("AWS::IAM::Role", {"RoleName": "a"}, path="A")}
    assert [each.type for each in changes(base, BUCKET | role | wide)] == ["AWS::IAM::ManagedPolicy", "AWS::IAM::Role"]
