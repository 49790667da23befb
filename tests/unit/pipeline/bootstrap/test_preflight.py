"""The preflight: what could stop a first deployment is named with what to do, and one unknown answer stops nobody."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from environments import DEV, PROD, Environment, PipelineSettings
from pipeline.bootstrap import __main__ as bootstrap
from pipeline.bootstrap import account as account_module
from pipeline.bootstrap import preflight, preflight_report, questions
from pipeline.bootstrap.preflight import Check
from pipeline.bootstrap.questions import Status

ACCOUNT = "111111111111"
ZONES = [("us-east-1a", "use1-az1"), ("us-east-1b", "use1-az3"), ("us-east-1c", "use1-az2"), ("us-east-1d", "use1-az4")]
FINE: Mapping[str, Any] = {
    "get_caller_identity": {"Account": ACCOUNT},
    "get_parameter": {"Parameter": {"Value": "30"}},
    "describe_orderable_db_instance_options": {"OrderableDBInstanceOptions": [{"Engine": "aurora-postgresql"}]},
    "describe_availability_zones": {
        "AvailabilityZones": [{"ZoneName": n, "ZoneId": i} for n, i in ZONES if i[-1] != "3"]
    },
    "get_account_settings": {"AccountLimit": {"ConcurrentExecutions": 1000}},
    "get_service_quota": {"Quota": {"Value": 5.0}},
    "describe_vpcs": {"Vpcs": [{}]},
    "describe_addresses": {"Addresses": []},
    "check_capacity": {"Capacity": 1402},
    "describe_certificate": {"Certificate": {"Status": "ISSUED", "NotAfter": datetime(2027, 5, 1, tzinfo=UTC)}},
    "list_subscriptions_by_topic": {
        "Subscriptions": [{"Endpoint": "ops@acme.test", "SubscriptionArn": "arn:aws:sns:1"}]
    },
    "get_connection": {"Connection": {"ConnectionStatus": "AVAILABLE"}},
    "list_curated_environment_images": {
        "platforms": [{"languages": [{"images": [{"name": "aws/codebuild/amazonlinux-x86_64-standard:5.0"}]}]}]
    },
}


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Operation")


class ParameterNotFound(Exception):
    pass


class Aws:
    """A session whose every client answers from one table; an exception in it is raised."""

    region_name = "us-east-1"
    exceptions = type("Exceptions", (), {"ParameterNotFound": ParameterNotFound})

    def __init__(self, **answers: Any) -> None:
        self._answers = {"describe_stacks": refusal("ValidationError"), **FINE, **answers}

    def client(self, service: str) -> Any:
        return self

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        if operation.startswith("_"):
            raise AttributeError(operation)

        def answer(**_: Any) -> Any:
            found = self._answers[operation]
            if isinstance(found, Exception):
                raise found
            return found

        return answer


@pytest.fixture(autouse=True)
def pipeline_is_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_module, "PIPELINE", PipelineSettings())


@pytest.fixture
def cdk_out(tmp_path: Path) -> Path:
    """A cloud assembly of dev with a firewall."""
    acl = {"Type": "AWS::WAFv2::WebACL", "Properties": {"Scope": "REGIONAL", "Rules": []}}
    (tmp_path / "dev.template.json").write_text(json.dumps({"Resources": {"WebAcl": acl}}))
    properties = {"stackName": DEV.stack_name, "templateFile": "dev.template.json"}
    stack = {"type": "aws:cloudformation:stack", "properties": properties}
    (tmp_path / "manifest.json").write_text(json.dumps({"artifacts": {"dev": stack}}))
    return tmp_path


OURS = replace(DEV, alert_email="ops@acme.test")


def checks(aws: Aws, cdk_out: Path, target: Environment = OURS) -> dict[str, Check]:
    found = preflight.check_environment(aws, target, cdk_out=cdk_out)  # type: ignore[arg-type]
    return {each.name: each for each in found}


def test_an_account_in_order_is_ready(cdk_out: Path) -> None:
    found = checks(Aws(), cdk_out)
    assert {name: each.status for name, each in found.items() if each.status is not Status.OK} == {}
    assert preflight.ready(list(found.values()))
    assert len(found) == 11


@pytest.mark.parametrize(
    ("answers", "name", "status", "remedy"),
    [
        ({"get_caller_identity": {"Account": "9" * 12}}, "account", Status.FAILED, "use that account's"),
        (
            {"get_account_settings": {"AccountLimit": {"ConcurrentExecutions": 10}}},
            "Lambda concurrency", Status.FAILED, "ask for 1000 under Service Quotas",
        ),
        ({"describe_vpcs": {"Vpcs": [{}] * 5}}, "VPCs", Status.FAILED, "L-F678F1CE"),
        ({"describe_addresses": {"Addresses": [{}] * 5}}, "elastic IPs", Status.FAILED, "L-0263D0A3"),
        (
            {"describe_orderable_db_instance_options": {"OrderableDBInstanceOptions": []}},
            "Aurora", Status.FAILED, f"us-east-1 has no serverless aurora-postgresql {questions.ENGINE_VERSION}",
        ),
        (
            {"describe_availability_zones": {"AvailabilityZones": [{"ZoneName": n, "ZoneId": i} for n, i in ZONES]}},
            "zones for VPC links", Status.FAILED, "choose 3 of us-east-1a, us-east-1c, us-east-1d",
        ),
        ({"check_capacity": {"Capacity": 1600}}, "firewall capacity", Status.WARNING, "charges extra"),
        (
            {"describe_certificate": {"Certificate": {"Status": "EXPIRED"}}},
            "certificate", Status.FAILED, "python -m pipeline.bootstrap --env dev",
        ),
        (
            {
                "describe_stacks": {"Stacks": [{"Outputs": [{"OutputKey": "AlertTopicArn", "OutputValue": "arn"}]}]},
                "list_subscriptions_by_topic": {
                    "Subscriptions": [{"Endpoint": "ops@acme.test", "SubscriptionArn": "PendingConfirmation"}]
                },
            },
            "alarm e-mail", Status.WARNING, "confirm",
        ),
        ({"get_account_settings": refusal("AccessDeniedException")}, "Lambda concurrency", Status.UNKNOWN, "no"),
        ({"get_service_quota": refusal("UnknownOperationException")}, "VPCs", Status.UNKNOWN, "no"),
        (
            {"check_capacity": EndpointConnectionError(endpoint_url="https://wafv2")},
            "firewall capacity", Status.UNKNOWN, "https://wafv2",
        ),
    ],
)  # fmt: skip
def test_what_could_stop_the_deployment_is_named_with_what_to_do(
    cdk_out: Path, answers: dict[str, Any], name: str, status: Status, remedy: str
) -> None:
    found = checks(Aws(**answers), cdk_out, replace(OURS, account=ACCOUNT))
    assert (found[name].status, remedy in found[name].remedy) == (status, True), found[name]
    # Only a failure stops the deployment, and nothing else is suspected but what has the same cause
    assert preflight.ready(list(found.values())) is (status is not Status.FAILED)
    assert all(each.status in (Status.OK, Status.UNKNOWN) for each in found.values() if each.name != name)


def test_with_the_credentials_of_another_account_nothing_else_is_asked(cdk_out: Path) -> None:
    found = checks(Aws(), cdk_out, replace(OURS, account="2" * 12))
    assert [(name, each.status) for name, each in found.items()] == [("account", Status.FAILED)]


def test_a_quota_that_was_never_changed_is_the_default_of_aws(cdk_out: Path) -> None:
    aws = Aws(
        get_service_quota=refusal("NoSuchResourceException"), get_aws_default_service_quota={"Quota": {"Value": 5}}
    )
    assert checks(aws, cdk_out)["VPCs"].found == "1 of 5 in use"


def test_a_region_without_roots_and_an_address_that_nobody_reads_are_seen(cdk_out: Path) -> None:
    aws = Aws()
    aws.region_name = "il-central-1"
    found = checks(aws, cdk_out, DEV)
    assert found["RDS root certificates"].status is Status.FAILED
    assert "--renew-roots" in found["RDS root certificates"].remedy
    assert (found["alarm e-mail"].status, found["alarm e-mail"].found) == (Status.FAILED, "alerts@example.com")
    assert found["zones for VPC links"].status is Status.UNKNOWN


def test_only_where_a_person_approves_data_that_go_with_the_stack_are_a_warning(cdk_out: Path) -> None:
    def retention(target: Environment) -> Check:
        return checks(Aws(), cdk_out, target)["retention"]

    assert retention(OURS).status is Status.OK
    assert retention(PROD).status is Status.OK
    going = retention(replace(PROD, retain_data=False, audit_lock_days=None))
    assert (going.status, going.found) == (Status.WARNING, "off: retain_data, audit_lock_days")


def test_the_pipelines_own_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    def status(aws: Aws, settings: PipelineSettings) -> dict[str, Status]:
        return {each.name: each.status for each in preflight.check_pipeline(aws, settings, [])}  # type: ignore[arg-type]

    good = PipelineSettings(approver_email="boss@acme.test")
    assert set(status(Aws(), good).values()) == {Status.OK}
    assert status(Aws(get_service_quota={"Quota": {"Value": 0.0}}), good)["builds at once"] is Status.FAILED
    assert status(Aws(list_curated_environment_images={"platforms": []}), good)["build image"] is Status.FAILED
    pending = {"Connection": {"ConnectionStatus": "PENDING"}}
    assert status(Aws(get_connection=pending), good)["connection"] is Status.FAILED
    assert status(Aws(), PipelineSettings())["approvers' e-mail"] is Status.FAILED
    # A local cloud sends no mail
    monkeypatch.setenv("LOCAL_CLOUD", "dev")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://localhost")
    assert status(Aws(), PipelineSettings())["approvers' e-mail"] is Status.WARNING


def test_the_command_prints_a_table_or_json_and_ends_by_the_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    aws = Aws(get_account_settings={"AccountLimit": {"ConcurrentExecutions": 10}})
    monkeypatch.setattr(bootstrap.aws, "session", lambda *_: aws)
    monkeypatch.setattr(bootstrap, "environment", lambda name: OURS)
    assert bootstrap.main(["--check", "--env", "dev"]) == 1
    table = capsys.readouterr().out
    assert "dev  Lambda concurrency" in table
    assert "-> 100 are needed: ask for 1000" in table
    assert "Not ready to deploy: 1 failed" in table
    assert bootstrap.main(["--check", "--env", "dev", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ready"] is False
    [failed] = [each for each in document["checks"] if each["status"] == "failed"]
    assert failed.keys() == {"target", "name", "status", "found", "remedy"}
    # And alone it asks for everything
    assert bootstrap.main(["--check", "--json"]) == 1
    assert {each["target"] for each in json.loads(capsys.readouterr().out)["checks"]} == {
        "pipeline", "dev", "staging", "prod",
    }  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        ["--json", "--env", "dev"],
        ["--yes", "--env", "dev"],
        ["--recover", "--pipeline"],
        ["--check", "--recover", "--env", "dev"],
    ],
)
def test_options_that_make_no_sense_together_are_a_usage_error(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bootstrap.main(arguments)
    assert ended.value.code == 2


def test_the_report_of_checks_is_aligned() -> None:
    found = [
        Check(target="dev", name="a", status=Status.OK, found="1"),
        Check(target="staging", name="long", status=Status.FAILED, found="2", remedy="do it"),
    ]
    assert preflight_report.table(found).splitlines()[:3] == [
        "dev      a     OK      1",
        "staging  long  FAILED  2",
        "         -> do it",
    ]
    assert questions.ok("1") == (Status.OK, "1", "")
