"""A cut-over: its role may move one name and nothing else, and no resource of the stack is a DNS record."""

import json
from typing import Any

import pytest

from pipeline.review.findings import REPORT
from tests.infrastructure.platform_template import PlatformTemplate
from tests.infrastructure.promotion import with_cut_over
from tests.infrastructure.test_permissions import WITHOUT_RESOURCE, Grant, read

ZONE = "hostedzone/Z0123456789ABC"


@pytest.fixture(scope="module")
def moving() -> PlatformTemplate:
    [file] = with_cut_over().template_files()
    return PlatformTemplate(file, "dev")


@pytest.fixture(scope="module")
def own() -> list[Grant]:
    [file] = with_cut_over().template_files()
    return [grant for grant in read(json.loads(file.read_text())) if "/CutOver/" in grant.path]


def only(grants: list[Grant], action: str) -> Grant:
    [found] = [grant for grant in grants if action in grant.actions]
    return found


def test_without_a_cut_over_nothing_of_it_exists(platform: PlatformTemplate) -> None:
    assert not [id for id in platform.resources() if "CutOver" in id]
    assert not [name for name in platform.outputs if name.startswith("CutOver")]


def test_no_deployment_moves_clients(moving: PlatformTemplate) -> None:
    kinds = {resource["Type"] for resource in moving.resources().values()}
    assert not [kind for kind in kinds if kind.startswith("AWS::Route53::")]


def test_the_role_changes_the_addresses_and_weights_of_one_name(own: list[Grant]) -> None:
    change = only(own, "route53:ChangeResourceRecordSets")
    assert [ZONE in resource for resource in change.resources] == [True]
    assert change.statement["Condition"] == {
        "ForAllValues:StringEquals": {
            "route53:ChangeResourceRecordSetsNormalizedRecordNames": ["payments.example.com"],
            "route53:ChangeResourceRecordSetsRecordTypes": ["CNAME"],
            "route53:ChangeResourceRecordSetsActions": ["UPSERT"],
        }
    }
    services = {action.split(":")[0] for grant in own for action in grant.actions}
    assert services == {
        "cloudformation", "cloudwatch", "dynamodb", "events", "kms", "lambda", "route53", "s3", "secretsmanager", "sns",
    }  # fmt: skip


def test_the_checks_read_both_ledgers_and_write_none(own: list[Grant]) -> None:
    def reached(action: str) -> str:
        return " ".join(resource for grant in own if action in grant.actions for resource in grant.resources)

    assert "MigrationFunction" in only(own, "lambda:InvokeFunction").resources[0]
    assert "StorageTransactions" in reached("dynamodb:BatchGetItem")
    assert all(index in reached("dynamodb:Query") for index in ("/index/by-day", "/index/by-status"))
    listing = only(own, "s3:ListBucket")
    assert listing.statement["Condition"] == {"StringLike": {"s3:prefix": "audit/*"}}
    written = [action for grant in own for action in grant.actions if action.startswith(("s3:", "dynamodb:"))]
    assert set(written) == {
        "dynamodb:BatchGetItem", "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query",
        "s3:ListBucket",
    }  # fmt: skip
    assert "StorageTransactions" not in reached("dynamodb:PutItem")


def test_the_role_writes_no_record_of_a_release(own: list[Grant]) -> None:
    def keys(action: str) -> Any:
        return only(own, action).statement["Condition"]["ForAllValues:StringEquals"]["dynamodb:LeadingKeys"]

    assert keys("dynamodb:PutItem") == keys("dynamodb:DeleteItem") == ["dev/cutover"]
    assert keys("dynamodb:GetItem") == ["dev/cutover", "dev"]


def test_only_actions_that_know_no_resource_are_allowed_on_all(own: list[Grant]) -> None:
    everywhere = {action for grant in own if '"*"' in grant.resources for action in grant.actions}
    assert everywhere - set(WITHOUT_RESOURCE) == {"route53:ListHealthChecks"}


def test_the_command_finds_its_name_in_the_outputs(moving: PlatformTemplate) -> None:
    values = {name: value for name, value in moving.outputs.items() if name.startswith("CutOver")}
    assert values.pop("CutOverRoleArn")
    assert values == {
        "CutOverZoneId": "Z0123456789ABC",
        "CutOverName": "payments.example.com",
        "CutOverOldHost": "old.example.com",
        "CutOverNewHost": "new.example.com",
    }


def test_a_cut_over_adds_no_finding() -> None:
    assembly = with_cut_over()
    assert not any(each["violations"] for each in assembly.read(REPORT)["pluginReports"])
