"""API Gateway on the local cloud: what a stage serves, and who reaches the load balancer and the functions."""

import json
import ssl
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import urllib3
from aws_cdk import App

from environments import DEV
from pipeline.bootstrap.certificate import issue
from stages.platform_stage import PlatformStage
from tests.integration.conftest import ROOT, Platform
from tests.integration.merchant import PAYMENT

NEW_HOST = "payments.example.com"


@pytest.fixture(scope="module")
def verifying(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Dev's template, except that API Gateway verifies the load balancer's certificate."""
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    app = App(outdir=str(tmp_path_factory.mktemp("verifying")), context=context)
    stage = PlatformStage(app, "Dev", environment=replace(DEV, alb_certificate_verified=True))
    path = stage.synth().get_stack_by_name(stage.platform.stack_name).template_full_path
    template: dict[str, Any] = json.loads(Path(path).read_text())
    return template


@contextmanager
def listening_with(platform: Platform, *, host: str, certificate: str) -> Iterator[None]:
    """The parameters of the load balancer as ``python -m pipeline.bootstrap`` would set them."""
    ssm = platform.client("ssm")
    values = {"/payment/alb-host-name-dev": host, "/payment/alb-certificate-arn-dev": certificate}
    before = {name: ssm.get_parameter(Name=name)["Parameter"]["Value"] for name in values}
    for name, value in values.items():
        ssm.put_parameter(Name=name, Value=value, Overwrite=True)
    try:
        yield
    finally:
        for name, value in before.items():
            ssm.put_parameter(Name=name, Value=value, Overwrite=True)


def imported(platform: Platform, host: str) -> str:
    """The ARN in ACM of a certificate that no public authority signed."""
    made = issue(host, now=datetime.now(UTC))
    arn: str = platform.client("acm").import_certificate(
        Certificate=made.certificate, CertificateChain=made.chain, PrivateKey=made.private_key
    )["CertificateArn"]
    return arn


def integration(platform: Platform) -> dict[str, str]:
    """The ids of the method that leads to the load balancer, as API Gateway's API names them."""
    gateway = platform.client("apigateway")
    api = platform.outputs["ApiGatewayUrl"].partition("://")[2].partition(".")[0]
    [resource] = [each for each in gateway.get_resources(restApiId=api)["items"] if each["path"] == "/process"]
    return {"restApiId": api, "resourceId": resource["id"], "httpMethod": "POST"}


def test_a_stage_serves_what_its_deployment_copied(platform: Platform) -> None:
    gateway, api = platform.client("apigateway"), platform.api()
    method = integration(platform)
    stage = {"restApiId": method["restApiId"], "stageName": "dev"}
    before = gateway.get_stage(**stage)["deploymentId"]
    uri = gateway.get_integration(**method)["uri"]

    def write(value: str) -> None:
        gateway.update_integration(**method, patchOperations=[{"op": "replace", "path": "/uri", "value": value}])

    def serve(deployment: str) -> None:
        patch = {"op": "replace", "path": "/deploymentId", "value": deployment}
        gateway.update_stage(**stage, patchOperations=[patch])

    # Given an integration that was changed to a host name that the listener's certificate is not for
    write("https://another.internal:443/process")
    try:
        # Then the stage goes on serving its deployment
        assert api.pay("/process").status == 201
        # When a new deployment copies the change, then the stage serves that
        serve(gateway.create_deployment(restApiId=method["restApiId"])["id"])
        assert api.pay("/process").status == 500
    finally:
        write(uri)
        serve(before)
    assert api.pay("/process").status == 201


@contextmanager
def certificate_of_listener(platform: Platform, arn: str) -> Iterator[None]:
    balancer, listener = platform.client("elbv2"), platform.outputs["ListenerArn"]
    before = balancer.describe_listeners(ListenerArns=[listener])["Listeners"][0]["Certificates"]
    balancer.modify_listener(ListenerArn=listener, Certificates=[{"CertificateArn": arn}])
    try:
        yield
    finally:
        balancer.modify_listener(ListenerArn=listener, Certificates=before)


def test_a_new_host_name_leaves_the_route_up(platform: Platform) -> None:
    """CDK does not know the name, so the deployment stays; the stages' variables must bring the name to the route."""
    api = platform.api()
    # When the load balancer gets another host name, with a certificate for that name only
    with listening_with(platform, host=NEW_HOST, certificate=imported(platform, NEW_HOST)):
        platform.update_stack(platform.template())
        # Then payments go on
        assert api.pay("/process").status == 201
    # And they go on when the old name comes back
    platform.update_stack(platform.template())
    assert api.pay("/process").status == 201


def test_verification_of_a_public_certificate_can_be_switched_on_and_off(
    platform: Platform, verifying: dict[str, Any]
) -> None:
    gateway, api = platform.client("apigateway"), platform.api()
    public = platform.client("acm").request_certificate(DomainName=NEW_HOST)["CertificateArn"]
    # When the load balancer gets a public certificate, which API Gateway verifies
    with listening_with(platform, host=NEW_HOST, certificate=public):
        platform.update_stack(verifying)
        # Then payments go on
        assert api.pay("/process").status == 201
        assert gateway.get_integration(**integration(platform))["tlsConfig"] == {"insecureSkipVerification": False}
        # And a private certificate of the same name is refused
        with certificate_of_listener(platform, imported(platform, NEW_HOST)):
            assert api.pay("/process").status == 500
    # When the bootstrap's own certificate and name come back
    platform.update_stack(platform.template())
    # Then payments go on too
    assert api.pay("/process").status == 201
    assert gateway.get_integration(**integration(platform))["tlsConfig"] == {"insecureSkipVerification": True}
    # And a certificate for another name is refused
    with certificate_of_listener(platform, imported(platform, "other.internal")):
        assert api.pay("/process").status == 500


@pytest.mark.parametrize("address", ["host", "path"])
def test_nothing_outside_the_vpc_reaches_the_internal_load_balancer(platform: Platform, address: str) -> None:
    # Given an unsigned request that poses as a caller whom API Gateway authenticated
    variables, key = platform.cloud.environ(), str(uuid.uuid4())
    headers = {"Content-Type": "application/json", "Idempotency-Key": key, "X-Caller": "AIDAFORGED"}
    prefix = ""
    if address == "host":
        headers["Host"] = platform.outputs["AlbDnsName"]
    else:
        prefix = "/_alb/payment-dev"
    trust = ssl.create_default_context(cafile=variables["AWS_CA_BUNDLE"])
    table = platform.outputs["TransactionTableName"]
    before = platform.client("dynamodb").scan(TableName=table, Select="COUNT")["Count"]
    # When it goes to the load balancer itself
    answer = urllib3.PoolManager(ssl_context=trust).request(
        "POST", f"{variables['AWS_ENDPOINT_URL']}{prefix}/process", body=json.dumps(PAYMENT), headers=headers
    )
    # Then it gets nowhere, and no payment is written
    assert (answer.status, answer.data.decode()) == (403, "payment-dev is internal: nothing outside its VPC reaches it")
    assert platform.client("dynamodb").scan(TableName=table, Select="COUNT")["Count"] == before


@pytest.mark.parametrize("path", ["//validate", "/validate//", "/validate//x", "/unknown"])
def test_a_path_of_no_resource_answers_403(platform: Platform, path: str) -> None:
    answer = platform.api().post(path, PAYMENT)

    assert answer.status == 403
    assert answer.headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"


def test_paths_of_clients_never_become_metrics(platform: Platform) -> None:
    cloudwatch, api = platform.client("cloudwatch"), platform.api()
    card = PAYMENT["card_number"]

    def metrics() -> list[Mapping[str, Any]]:
        pages = cloudwatch.get_paginator("list_metrics").paginate(Namespace="AWS/ApiGateway")
        return [metric for page in pages for metric in page["Metrics"]]

    # Given the metrics of requests to a resource, and to none
    api.pay("/validate")
    api.post("/unknown", PAYMENT)
    before = metrics()
    # When clients put card numbers into paths and stages
    for number in range(20):
        api.post(f"/{card}{number}", PAYMENT)
    # Then there are no more metrics than before, and none holds a card number
    after = metrics()
    assert len(after) == len(before)
    assert card not in json.dumps(after)
    resources = {d["Value"] for metric in after for d in metric["Dimensions"] if d["Name"] == "Resource"}
    assert "/validate" in resources


@pytest.mark.parametrize(
    ("function", "route", "status"), [("Validation", "/validate", 500), ("Processing", "/process", 502)]
)
def test_a_service_invokes_a_function_only_with_permission(
    platform: Platform, function: str, route: str, status: int
) -> None:
    functions, api = platform.client("lambda"), platform.api()
    name = platform.outputs[f"{function}FunctionName"]
    assert api.pay(route).status < 300
    # When the permission for what serves production is taken away
    policy = json.loads(functions.get_policy(FunctionName=name, Qualifier="blue")["Policy"])
    [statement] = [each for each in policy["Statement"] if each["Resource"].endswith(":blue")]
    functions.remove_permission(FunctionName=name, Qualifier="blue", StatementId=statement["Sid"])
    permission = {
        "FunctionName": name,
        "Qualifier": "blue",
        "Action": "lambda:InvokeFunction",
        "Principal": statement["Principal"]["Service"],
    }
    source = statement["Condition"]["ArnLike"]["AWS:SourceArn"]
    try:
        # Then the service can't invoke it
        assert api.pay(route).status == status
        # And a permission for another resource is no help
        functions.add_permission(**permission, StatementId="other", SourceArn=source.replace("dev", "other"))
        assert api.pay(route).status == status
        functions.remove_permission(FunctionName=name, Qualifier="blue", StatementId="other")
    finally:
        functions.add_permission(**permission, StatementId=statement["Sid"], SourceArn=source)
    assert api.pay(route).status < 300
