"""IAM on the local cloud: the callers it refuses, and the permissions of the platform's roles."""

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from names import RELEASE_METRICS
from tests.integration.conftest import Platform
from tests.integration.merchant import PAYMENT


def assumed(platform: Platform, output: str) -> boto3.Session:
    granted = platform.client("sts").assume_role(RoleArn=platform.outputs[output], RoleSessionName="test")
    keys = granted["Credentials"]
    return boto3.Session(
        keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name=platform.aws.region_name
    )


def client(platform: Platform, aws: boto3.Session, service: str) -> object:
    variables = platform.cloud.environ()
    return aws.client(service, endpoint_url=variables["AWS_ENDPOINT_URL"], verify=variables["AWS_CA_BUNDLE"])


def forged(key: str, secret: str) -> Credentials:
    return Credentials(key, secret)


@pytest.mark.parametrize(
    "credentials",
    [None, forged("AKIAAAAAAAAAAAAAAAAA", "x"), forged("111111111111", "test"), forged("test", "test")],
    ids=["unsigned", "unknown key", "account number", "test"],
)
def test_a_caller_without_valid_credentials_is_refused(platform: Platform, credentials: Credentials | None) -> None:
    answer = platform.api(credentials).post("/validate", PAYMENT, signed=credentials is not None)

    assert answer.status == 403


def test_the_right_key_with_a_wrong_secret_is_refused(platform: Platform) -> None:
    variables = platform.cloud.environ()
    aws = boto3.Session(variables["AWS_ACCESS_KEY_ID"], "wrong", region_name="us-east-1")

    with pytest.raises(ClientError, match="signature we calculated does not match"):
        client(platform, aws, "dynamodb").list_tables()


def test_the_load_test_role_calls_the_api_and_reads_no_data(platform: Platform) -> None:
    # Given the role of the load gate
    role = assumed(platform, "LoadTestRoleArn")
    # When it calls the candidate, then it is served
    assert platform.candidate_api(role.get_credentials()).pay("/validate").status == 200
    # When it reads transactions, then it is refused
    with pytest.raises(ClientError, match="AccessDenied"):
        client(platform, role, "dynamodb").scan(TableName=platform.outputs["TransactionTableName"])


def test_the_release_role_can_not_touch_payments(platform: Platform) -> None:
    role = assumed(platform, "ReleaseRoleArn")
    item = {"transaction_id": {"S": "forged"}}

    with pytest.raises(ClientError, match="AccessDenied"):
        client(platform, role, "dynamodb").put_item(TableName=platform.outputs["TransactionTableName"], Item=item)
    with pytest.raises(ClientError, match="AccessDenied"):
        client(platform, role, "s3").list_objects_v2(Bucket=platform.outputs["AuditLogBucket"])


def test_the_release_role_writes_metrics_of_releases_and_no_other(platform: Platform) -> None:
    metrics = client(platform, assumed(platform, "ReleaseRoleArn"), "cloudwatch")
    data = [{"MetricName": "CandidateWeight", "Value": 10.0}]

    metrics.put_metric_data(Namespace=RELEASE_METRICS, MetricData=data)
    with pytest.raises(ClientError, match="AccessDenied"):
        metrics.put_metric_data(Namespace="AWS/ApplicationELB", MetricData=data)


def test_a_function_works_under_its_own_role_alone(platform: Platform) -> None:
    # Given a payment, for which the function writes to its table and to the audit bucket
    api = platform.api()
    assert api.pay("/process").status == 201
    # When its role loses its policies, then the function is refused
    iam = platform.client("iam")
    function = platform.client("lambda").get_function(FunctionName=platform.outputs["ProcessingFunctionName"])
    role = function["Configuration"]["Role"].rsplit("/", 1)[-1]
    attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    for policy in attached:
        iam.detach_role_policy(RoleName=role, PolicyArn=policy["PolicyArn"])
    try:
        assert api.pay("/process").status >= 500
    finally:
        for policy in attached:
            iam.attach_role_policy(RoleName=role, PolicyArn=policy["PolicyArn"])
    assert api.pay("/process").status == 201


@pytest.mark.parametrize(
    ("region", "service", "message"),
    [
        ("eu-west-1", "execute-api", "Credential should be scoped to a valid Region, not 'eu-west-1'."),
        ("us-east-1", "lambda", "Credential should be scoped to correct service: 'execute-api'."),
    ],
)
def test_a_signature_for_another_region_or_service_is_refused(
    platform: Platform, region: str, service: str, message: str
) -> None:
    api = platform.api()
    api.sign_for(service, region)

    answer = api.post("/validate", PAYMENT)

    assert answer.status == 403
    assert answer.headers["x-amzn-errortype"] == "InvalidSignatureException"
    assert message in answer.text


def test_a_signature_of_another_day_is_refused(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a scope that names another day than the request's date
    monkeypatch.setattr(SigV4Auth, "credential_scope", lambda self, _: "20200101/us-east-1/execute-api/aws4_request")
    monkeypatch.setattr(
        SigV4Auth, "scope", lambda self, _: f"{self.credentials.access_key}/20200101/us-east-1/execute-api/aws4_request"
    )

    answer = platform.api().post("/validate", PAYMENT)

    assert answer.status == 403
    assert "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP" in answer.text


def test_a_call_signed_for_another_service_of_aws_is_refused(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    dynamodb = platform.client("dynamodb")
    monkeypatch.setattr(dynamodb._request_signer, "_signing_name", "ssm")

    with pytest.raises(ClientError, match="Credential should be scoped to correct service: 'dynamodb'"):
        dynamodb.list_tables()
