"""Network access, data access and permissions are limited to the needed ones."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import pytest

from environments import PIPELINE
from lambdas.api.contract import OPENAPI
from names import Function, Role
from tests.infrastructure.platform_template import PlatformTemplate, as_list, logical_id, text

GATEWAY_RESPONSE_TYPES = """
ACCESS_DENIED API_CONFIGURATION_ERROR AUTHORIZER_CONFIGURATION_ERROR AUTHORIZER_FAILURE BAD_REQUEST_BODY
BAD_REQUEST_PARAMETERS DEFAULT_4XX DEFAULT_5XX EXPIRED_TOKEN INTEGRATION_FAILURE INTEGRATION_TIMEOUT INVALID_API_KEY
INVALID_SIGNATURE MISSING_AUTHENTICATION_TOKEN QUOTA_EXCEEDED REQUEST_TOO_LARGE RESOURCE_NOT_FOUND THROTTLED
UNAUTHORIZED UNSUPPORTED_MEDIA_TYPE WAF_FILTERED
"""
"""All of API Gateway's (Developer Guide, "Gateway response types for API Gateway")."""
EVERY_FUNCTION = {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "kms:Decrypt",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
}
"""The actions of every function: write logs and traces, read settings, run in the VPC."""


USES_VELOCITY = {
    "dynamodb:BatchGetItem",
    "dynamodb:UpdateItem",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "secretsmanager:GetSecretValue",
    "ssm:GetParameter",
}
"""The actions of every route: read customers, merchants and rules, and count cards against card testing."""


def test_no_role_carries_an_inline_or_an_aws_managed_policy(platform: PlatformTemplate) -> None:
    assert not platform.resources("AWS::IAM::Policy")
    for role in platform.properties("AWS::IAM::Role"):
        assert not role.get("Policies")
        assert not [arn for arn in role.get("ManagedPolicyArns", []) if "aws:policy" in text(arn)]


def test_each_function_has_a_role_of_its_own(platform: PlatformTemplate) -> None:
    roles = [logical_id(function["Role"]) for function in platform.properties("AWS::Lambda::Function")]
    assert len(roles) == len(set(roles))


def test_no_functions_own_code_may_touch_network_interfaces(platform: PlatformTemplate) -> None:
    # Given the permissions that Lambda needs to connect a function to the VPC
    policies = platform.resources("AWS::IAM::ManagedPolicy")
    roles = platform.resources("AWS::IAM::Role")
    for function in platform.properties("AWS::Lambda::Function"):
        role = roles[logical_id(function["Role"])]["Properties"]
        [policy] = [policies[logical_id(each)]["Properties"] for each in role["ManagedPolicyArns"]]
        allowed, denied = (
            [each for each in policy["PolicyDocument"]["Statement"] if each["Effect"] == effect]
            for effect in ("Allow", "Deny")
        )
        # Then each network permission is denied to the function's own code
        [denial] = denied
        network = {a for each in allowed for a in as_list(each["Action"]) if "Interface" in a or "Address" in a}
        assert len(network) == 5
        assert network <= set(denial["Action"])
        assert denial["Resource"] == "*"
        [(key, function_arn)] = denial["Condition"]["ArnEquals"].items()
        assert key == "lambda:SourceFunctionArn"
        assert f':function:{function["FunctionName"]}"' in text(function_arn)


def test_the_data_key_serves_a_role_only_through_a_service(platform: PlatformTemplate) -> None:
    [data_key] = [
        id
        for id, key in platform.resources("AWS::KMS::Key").items()
        if "Payment data" in key["Properties"]["Description"]
    ]
    uses = [
        (policy, text(statement.get("Condition", {})))
        for policy, statement in platform.statements()
        if any(data_key in text(resource) for resource in as_list(statement["Resource"]))
    ]
    assert uses
    assert not [policy for policy, condition in uses if "kms:ViaService" not in condition]


@pytest.mark.parametrize(
    ("function", "own"),
    [
        ("Validation", USES_VELOCITY),
        ("FraudDetection", {*USES_VELOCITY, "dynamodb:Query"}),
        (
            "Processing",
            {
                *USES_VELOCITY,
                "dynamodb:ConditionCheckItem",
                "dynamodb:DeleteItem",
                "dynamodb:GetItem",
                "dynamodb:PutItem",
                "dynamodb:Query",
                "s3:GetObject",
                "s3:PutObject",
            },
        ),
    ],
)
def test_a_function_has_exactly_its_permissions(dev: PlatformTemplate, function: str, own: set[str]) -> None:
    allowed = {
        action
        for policy, statement in dev.statements()
        if policy.startswith(f"Compute{function}Policy")
        for action in as_list(statement["Action"])
    }
    assert allowed == EVERY_FUNCTION | own


def test_only_who_pays_and_who_gives_back_may_write_what_limits_count(dev: PlatformTemplate) -> None:
    [velocity] = [id for id in dev.resources("AWS::DynamoDB::Table") if "Velocity" in id]
    may = {
        (policy.partition("Policy")[0], action)
        for policy, statement in dev.statements()
        if any(velocity in text(resource) for resource in as_list(statement["Resource"]))
        for action in as_list(statement["Action"])
    }
    uses = {
        (f"Compute{each.id}", f"dynamodb:{action}") for each in Function for action in ("BatchGetItem", "UpdateItem")
    }
    # The sweeper completes voids and declines, and gives back for them
    uses |= {("Sweeper", f"dynamodb:{action}") for action in ("BatchGetItem", "UpdateItem")}
    assert may == {
        *uses,
        *((each, "dynamodb:PutItem") for each in ("ComputeProcessing", "ComputeTransactions", "Sweeper")),
    }


def test_only_the_stack_can_delete_the_audit_trail_and_in_prod_nobody(platform: PlatformTemplate) -> None:
    deleting = {
        policy
        for policy, statement in platform.statements()
        if any(action.startswith("s3:Delete") for action in as_list(statement["Action"]))
    }
    if platform.environment == "prod":
        assert not deleting
    else:
        assert len(deleting) == 1
        assert deleting.pop().startswith("StorageEmptierPolicy")


def test_functions_run_in_private_subnets_traced_encrypted_and_below_the_apis_timeout(
    platform: PlatformTemplate,
) -> None:
    for function in platform.properties("AWS::Lambda::Function"):
        assert function["Architectures"] == ["arm64"]
        assert function["Runtime"] == "python3.14"
        assert function["TracingConfig"] == {"Mode": "Active"}
        assert function["KmsKeyArn"]
        assert all("privateSubnet" in text(subnet) for subnet in function["VpcConfig"]["SubnetIds"])
        assert len(function["VpcConfig"]["SubnetIds"]) == 3
    aliased = {logical_id(alias["FunctionName"]) for alias in platform.properties("AWS::Lambda::Alias")}
    for id in aliased:
        assert platform.body["Resources"][id]["Properties"]["Timeout"] < 29


def test_all_functions_are_one_artefact_except_the_watchdog(platforms: Mapping[str, PlatformTemplate]) -> None:
    """Built once, promoted unchanged. The watchdog is delivery code, of which functions of payments hold nothing."""
    artefacts: dict[str, set[str]] = {}
    for template in platforms.values():
        for function in template.properties("AWS::Lambda::Function"):
            code = function["Handler"].partition(".")[0]
            artefacts.setdefault(code, set()).add(function["Code"]["S3Key"])
    assert {code: len(keys) for code, keys in artefacts.items()} == {"lambdas": 1, "pipeline": 1}


def test_every_route_requires_a_signed_and_well_formed_request(platform: PlatformTemplate) -> None:
    methods = platform.properties("AWS::ApiGateway::Method")
    resources = {id: each["Properties"] for id, each in platform.resources("AWS::ApiGateway::Resource").items()}

    def path(id: str) -> str:
        parent = logical_id(resources[id]["ParentId"])
        return f"{path(parent) if parent in resources else ''}/{resources[id]['PathPart']}"

    served = {(method["HttpMethod"], path(logical_id(method["ResourceId"]))): method for method in methods}
    assert served.keys() == {tuple(route) for function in Function for route in function.routes}
    for method in methods:
        assert method["AuthorizationType"] == "AWS_IAM"
        assert method["RequestValidatorId"]
        if method["HttpMethod"] == "POST":
            assert method["RequestModels"]["application/json"]
    for route in (("POST", "/process"), ("POST", "/transactions/{transaction_id}/reversal")):
        assert served[route]["RequestParameters"] == {"method.request.header.Idempotency-Key": True}
    validator = platform.only("AWS::ApiGateway::RequestValidator")
    assert validator["ValidateRequestBody"] is True
    assert validator["ValidateRequestParameters"] is True


def test_the_gateways_models_are_the_contracts_without_patterns(platform: PlatformTemplate) -> None:
    """API Gateway quotes a value that misses a pattern, and the value may be a card number."""
    schemas = {each["Schema"]["title"]: each["Schema"] for each in platform.properties("AWS::ApiGateway::Model")}
    assert schemas.keys() == {"Payment", "Decision", "Reversal"}
    assert {"customer_id", "amount", "currency", "card_number"} <= schemas["Payment"]["properties"].keys()
    # The function names each missing field; API Gateway's refusal would name none.
    assert not any("required" in schema for schema in schemas.values())
    assert "pattern" not in text(schemas)


def test_the_gateways_own_refusals_repeat_nothing_that_the_client_sent(platform: PlatformTemplate) -> None:
    responses = platform.properties("AWS::ApiGateway::GatewayResponse")
    assert {"BAD_REQUEST_BODY", "DEFAULT_4XX", "DEFAULT_5XX"} <= {r["ResponseType"] for r in responses}
    for response in responses:
        assert response["ResponseParameters"] == {"gatewayresponse.header.Content-Type": "'application/problem+json'"}
        assert "validationErrorString" not in text(response["ResponseTemplates"])


def test_every_refusal_of_the_gateway_is_a_problem_document_with_its_status(platform: PlatformTemplate) -> None:
    responses = {each["ResponseType"]: each for each in platform.properties("AWS::ApiGateway::GatewayResponse")}
    problem = json.loads(OPENAPI.read_bytes())["components"]["schemas"]["Problem"]
    for type_ in GATEWAY_RESPONSE_TYPES.split():
        template = responses[type_]["ResponseTemplates"]["application/json"]
        document = json.loads(template.replace("$context.error.messageString", '"The message"'))
        jsonschema.validate(document, problem)
        if "StatusCode" in responses[type_]:
            assert responses[type_]["StatusCode"] == str(document["status"])


def test_both_stages_are_throttled_logged_and_behind_the_firewall(platform: PlatformTemplate) -> None:
    stages = platform.resources("AWS::ApiGateway::Stage")
    associated = text(platform.properties("AWS::WAFv2::WebACLAssociation"))
    assert len(stages) == 2
    for id, stage in stages.items():
        properties = stage["Properties"]
        assert "$context.requestId" in properties["AccessLogSetting"]["Format"]
        [settings] = properties["MethodSettings"]
        assert settings["ThrottlingRateLimit"] > 0
        assert settings["DataTraceEnabled"] is False, "bodies hold card numbers"
        assert id in associated
    assert "Authorization" not in text([s["Properties"]["AccessLogSetting"] for s in stages.values()])


def test_execution_logs_go_to_groups_of_the_stack(platform: PlatformTemplate) -> None:
    groups = {
        id: text(group["Properties"]["LogGroupName"])
        for id, group in platform.resources("AWS::Logs::LogGroup").items()
        if "API-Gateway-Execution-Logs_" in text(group["Properties"]["LogGroupName"])
    }
    assert len(groups) == 2
    for stage in platform.resources("AWS::ApiGateway::Stage").values():
        # API Gateway makes a missing group at a stage's first log: it must be there before.
        [own] = [id for id in groups if id in stage["DependsOn"]]
        assert groups[own].endswith(f'/{stage["Properties"]["StageName"]}"]]}}')


def test_the_firewall_has_managed_rules_a_rate_limit_and_a_log_without_credentials(
    platform: PlatformTemplate,
) -> None:
    rules = {rule["Name"]: rule for rule in platform.only("AWS::WAFv2::WebACL")["Rules"]}
    limited = rules.pop("RequestsPerAddress")
    assert "AWSManagedRulesCommonRuleSet" in rules
    assert [rule["OverrideAction"] for rule in rules.values()] == [{"None": {}}] * 4, "else they only count"
    assert "Block" in limited["Action"]
    assert limited["Statement"]["RateBasedStatement"]["AggregateKeyType"] == "IP"
    logging = platform.only("AWS::WAFv2::LoggingConfiguration")
    redacted = {field["SingleHeader"]["Name"] for field in logging["RedactedFields"]}
    assert {"authorization", "x-amz-security-token"} <= redacted


def test_every_endpoint_requires_current_tls(platform: PlatformTemplate) -> None:
    api = platform.only("AWS::ApiGateway::RestApi")
    assert api["SecurityPolicy"].startswith("SecurityPolicy_TLS13_1_2")
    listener = platform.only("AWS::ElasticLoadBalancingV2::Listener")
    assert (listener["Protocol"], listener["Port"]) == ("HTTPS", 443)
    assert listener["SslPolicy"].startswith("ELBSecurityPolicy-TLS13-1-2")
    assert listener["Certificates"] == [{"CertificateArn": {"Ref": "AlbCertificateArn"}}]
    parameters = platform.only("AWS::RDS::DBClusterParameterGroup")["Parameters"]
    assert (parameters["rds.force_ssl"], parameters["ssl_min_protocol_version"]) == ("1", "TLSv1.2")
    for bucket, policy in _bucket_policies(platform):
        refused = [s for s in policy if s["Effect"] == "Deny" and s["Principal"] == {"AWS": "*"}]
        assert any("aws:SecureTransport" in text(s["Condition"]) for s in refused), bucket
        assert any("s3:TlsVersion" in text(s["Condition"]) for s in refused), bucket


def test_the_listeners_certificate_needs_no_argument_of_a_deployment(dev: PlatformTemplate) -> None:
    """Neither CDK Pipelines nor ``cdk deploy`` passes it: CloudFormation reads the named SSM parameters."""
    for id, name in (("AlbCertificateArn", "alb-certificate-arn"), ("AlbHostName", "alb-host-name")):
        parameter = dev.body["Parameters"][id]
        assert parameter["Type"] == "AWS::SSM::Parameter::Value<String>"
        assert parameter["Default"] == f"/payment/{name}-dev"


def test_a_private_certificate_is_accepted_by_setting_only(platforms: Mapping[str, PlatformTemplate]) -> None:
    # Given dev with the bootstrap's own certificate, then API Gateway accepts it
    assert platforms["dev"].only("Custom::IntegrationTls")["InsecureSkipVerification"] == "true"
    # Given an environment with a public one, then API Gateway is told to verify it, also when it was not before
    assert platforms["keeping"].only("Custom::IntegrationTls")["InsecureSkipVerification"] == "false"


def test_security_groups_have_the_rules_that_connections_need_and_no_other(platform: PlatformTemplate) -> None:
    # Given the groups at both ends of each connection, taken from the resources that connect
    def ids(groups: Any) -> str:
        [group] = groups
        return logical_id(group)

    [functions] = {ids(each["VpcConfig"]["SecurityGroupIds"]) for each in platform.properties("AWS::Lambda::Function")}
    link = ids(platform.only("AWS::ApiGatewayV2::VpcLink")["SecurityGroupIds"])
    balancer = ids(platform.only("AWS::ElasticLoadBalancingV2::LoadBalancer")["SecurityGroups"])
    database = ids(platform.only("AWS::RDS::DBCluster")["VpcSecurityGroupIds"])
    port = platform.only("AWS::ElasticLoadBalancingV2::Listener")["Port"]
    # A load balancer invokes functions by Lambda's API, so that no rule stands between the two.
    needed = {
        ("egress", link, balancer, port),
        ("ingress", balancer, link, port),
        ("egress", functions, database, 5432),
        ("ingress", database, functions, 5432),
        ("egress", functions, "0.0.0.0/0", 443),
    }
    # Then those are the rules, besides the one by which CDK says that a group allows nothing
    assert (
        set(_rules(platform)) - {("egress", balancer, "nothing", 252), ("egress", database, "nothing", 252)} == needed
    )


def _rules(platform: PlatformTemplate) -> Iterator[tuple[str, str, str, int]]:
    """Each rule's direction, group, peer and port."""
    rules = [
        (kind, {"GroupId": {"Ref": id}, **rule})
        for id, group in platform.resources("AWS::EC2::SecurityGroup").items()
        for kind in ("Ingress", "Egress")
        for rule in group["Properties"].get(f"SecurityGroup{kind}", [])
    ]
    for kind in ("Ingress", "Egress"):
        rules += [(kind, rule) for rule in platform.properties(f"AWS::EC2::SecurityGroup{kind}")]
    for kind, rule in rules:
        peer = rule.get("SourceSecurityGroupId") or rule.get("DestinationSecurityGroupId")
        address = {"255.255.255.255/32": "nothing"}.get(rule.get("CidrIp"), rule.get("CidrIp"))
        assert rule["IpProtocol"] in ("tcp", "icmp")
        assert rule["FromPort"] == rule["ToPort"] or address == "nothing"
        yield kind.lower(), logical_id(rule["GroupId"]), logical_id(peer) if peer else address, rule["FromPort"]


def test_the_load_balancer_is_private_and_reachable_only_through_the_link(platform: PlatformTemplate) -> None:
    assert platform.only("AWS::ElasticLoadBalancingV2::LoadBalancer")["Scheme"] == "internal"
    [link_group] = platform.only("AWS::ApiGatewayV2::VpcLink")["SecurityGroupIds"]
    [rule] = [r for r in platform.properties("AWS::EC2::SecurityGroupIngress") if r["FromPort"] == 443]
    assert rule["SourceSecurityGroupId"] == link_group


def test_only_the_functions_reach_the_database(platform: PlatformTemplate) -> None:
    [database_group] = platform.only("AWS::RDS::DBCluster")["VpcSecurityGroupIds"]
    [functions_group] = {
        text(function["VpcConfig"]["SecurityGroupIds"]) for function in platform.properties("AWS::Lambda::Function")
    }
    [rule] = [r for r in platform.properties("AWS::EC2::SecurityGroupIngress") if r["GroupId"] == database_group]
    assert text([rule["SourceSecurityGroupId"]]) == functions_group
    assert (rule["FromPort"], rule["ToPort"]) == (5432, 5432)


def test_no_security_group_is_open_to_the_world(platform: PlatformTemplate) -> None:
    for group in platform.properties("AWS::EC2::SecurityGroup"):
        assert not group.get("SecurityGroupIngress")
    for rule in platform.properties("AWS::EC2::SecurityGroupIngress"):
        assert "CidrIp" not in rule


def test_the_default_security_group_is_closed(platform: PlatformTemplate) -> None:
    [vpc] = platform.resources("AWS::EC2::VPC")
    assert logical_id(platform.only("Custom::VpcRestrictDefaultSG")["SecurityGroupId"]) == vpc


def test_custom_resources_are_our_own_functions(platform: PlatformTemplate) -> None:
    """CDK's own are Node functions, which neither our artefacts nor the local cloud have."""
    for function in platform.properties("AWS::Lambda::Function"):
        assert function["Handler"].startswith(("lambdas.", "pipeline."))
    for id, resource in platform.resources().items():
        if resource["Type"].startswith("Custom::"):
            provider = platform.body["Resources"][logical_id(resource["Properties"]["ServiceToken"])]
            assert provider["Type"] == "AWS::Lambda::Function", id
            assert int(resource["Properties"]["ServiceTimeout"]) <= 960, id


@pytest.mark.parametrize(("role", "builds"), [(Role.RELEASE, ["shift"]), (Role.LOAD_TEST, ["load-gate", "shift"])])
def test_only_its_builds_of_the_pipelines_account_may_assume_a_delivery_role(
    platform: PlatformTemplate, role: Role, builds: list[str]
) -> None:
    name = platform.environment
    [statement] = platform.named("AWS::IAM::Role", RoleName=role.of(name))["AssumeRolePolicyDocument"]["Statement"]
    assert (PIPELINE.account or "AWS::AccountId") in text(statement["Principal"])
    trusted = statement["Condition"]["ArnEquals"]["aws:PrincipalArn"]
    assert [text(each).rstrip('"]}').rpartition("/")[2] for each in trusted] == [
        f"payment-step-{build}-{name}" for build in builds
    ]
    assert "*" not in text(statement)


def test_people_of_the_account_give_an_ephemeral_environments_commands(
    platforms: Mapping[str, PlatformTemplate],
) -> None:
    role = platforms["pr42"].named("AWS::IAM::Role", RoleName="payment-release-pr42")
    [statement] = role["AssumeRolePolicyDocument"]["Statement"]
    assert "Condition" not in statement


def test_the_load_gate_may_only_call_the_api_and_read_outputs_and_former_results(dev: PlatformTemplate) -> None:
    statements = [each for policy, each in dev.statements() if policy.startswith("DeliveryRolesLoadTestPolicy")]
    allowed = {action for each in statements for action in as_list(each["Action"])}
    assert allowed == {"cloudformation:DescribeStacks", "dynamodb:GetItem", "execute-api:Invoke", "kms:Decrypt"}
    # And of all tables it reads that of the releases, which holds no payment
    [table] = [logical_id(each["Resource"]) for each in statements if each["Action"] == "dynamodb:GetItem"]
    assert dev.resources("AWS::DynamoDB::Table")[table]["Properties"]["TableName"] == "payment-releases-dev"


def _bucket_policies(platform: PlatformTemplate) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    policies = {
        logical_id(p["Bucket"]): p["PolicyDocument"]["Statement"] for p in platform.properties("AWS::S3::BucketPolicy")
    }
    for bucket in platform.resources("AWS::S3::Bucket"):
        yield bucket, policies[bucket]
