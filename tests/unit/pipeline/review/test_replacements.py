"""Replaced and deleted resources, by CloudFormation's schemas. Stateful resources come first."""

from typing import Any

import pytest

from tests.unit.pipeline.review.given import Template, changes, resource, stack, stacks, texts

TABLE = {"TableName": "payments", "BillingMode": "PAY_PER_REQUEST", "KeySchema": [{"AttributeName": "id"}]}


def table(**more: Any) -> dict[str, Any]:
    return resource("AWS::DynamoDB::Table", TABLE | more, path="Storage/Payments", DeletionPolicy="Delete")


def test_a_property_that_no_update_can_change_replaces_a_stateful_resource() -> None:
    assert texts(changes({"T": table()}, {"T": table(TableName="other")})) == [
        "stateful: replaced AWS::DynamoDB::Table Storage/Payments (dev)\n"
        "! TableName: payments → other\n  the new one is empty; its data is deleted"
    ]


def test_a_conditionally_create_only_property_may_replace() -> None:
    [entry] = changes({"T": table()}, {"T": table(KeySchema=[{"AttributeName": "key"}])})
    assert (entry.section, entry.action) == ("stateful", "may be replaced")


def test_a_property_that_an_update_can_change_replaces_nothing() -> None:
    [entry] = changes({"T": table()}, {"T": table(TimeToLiveSpecification={"Enabled": True})})
    assert (entry.section, entry.action) == ("rest", "changed")


def test_replaced_stateful_resources_come_first() -> None:
    base, head = (
        {"G": resource("AWS::EC2::SecurityGroup", {"GroupDescription": of}), "T": table(TableName=of)} for of in "ab"
    )
    assert [(each.section, each.type) for each in changes(base, head)] == [
        ("stateful", "AWS::DynamoDB::Table"),
        ("replacement", "AWS::EC2::SecurityGroup"),
    ]


def test_another_logical_id_is_a_replacement_that_fails_if_the_name_is_kept() -> None:
    renamed = resource("AWS::DynamoDB::Table", TABLE, path="Storage/Transactions", DeletionPolicy="Delete")
    [entry] = changes({"Old": table()}, {"New": renamed})
    assert texts([entry]) == [
        "stateful: replaced AWS::DynamoDB::Table Storage/Transactions (dev)\n"
        "! logical id: Old → New\n"
        "! the name payments stays: the deployment fails while the old one has it\n"
        "  the new one is empty; its data is deleted"
    ]
    assert entry.alarming


def test_several_renamed_tables_are_paired_by_their_names() -> None:
    def tables(prefix: str) -> Template:
        more = {"TimeToLiveSpecification": {"AttributeName": prefix}}
        return {
            f"{prefix}{name}": resource("AWS::DynamoDB::Table", TABLE | more | {"TableName": name}) for name in "abc"
        }

    base, head = tables("Old"), dict(reversed(tables("New").items()))
    assert [each.details[0].text for each in changes(base, head) if each.section == "stateful"] == [
        f"logical id: Old{name} → New{name}" for name in "abc"
    ]


def test_a_reference_to_a_renamed_resource_is_no_change() -> None:
    user = {"U": resource("AWS::SSM::Parameter", {"Value": {"Ref": "Old"}})}
    head = {"U": resource("AWS::SSM::Parameter", {"Value": {"Ref": "New"}}), "New": table()}
    assert [each.type for each in changes(user | {"Old": table()}, head)] == ["AWS::DynamoDB::Table"]


def test_a_replaced_key_also_replaces_its_database() -> None:
    cluster = resource("AWS::RDS::DBCluster", {"KmsKeyId": {"Fn::GetAtt": ["K2", "Arn"]}}, path="Db")
    before = resource("AWS::RDS::DBCluster", {"KmsKeyId": {"Fn::GetAtt": ["K1", "Arn"]}}, path="Db")
    key = resource("AWS::KMS::Key", {"Description": "data"}, path="Key")
    [told_of_key, told_of_cluster] = texts(changes({"K1": key, "Db": before}, {"K2": key, "Db": cluster}))
    assert "replaced AWS::KMS::Key Key" in told_of_key
    assert told_of_cluster == (
        "stateful: may be replaced AWS::RDS::DBCluster Db (dev)\n"
        "! KmsKeyId follows Key, which is replaced\n  the new one is empty; its data is deleted"
    )


def test_dependent_replacements_are_one_entry_for_each_type() -> None:
    def network(cidr: str) -> Template:
        groups = {f"G{n}": resource("AWS::EC2::SecurityGroup", {"VpcId": {"Ref": "V"}}) for n in (1, 2)}
        return {"V": resource("AWS::EC2::VPC", {"CidrBlock": cidr})} | groups

    assert texts(changes(network("10.0.0.0/16"), network("10.1.0.0/16"))) == [
        "replacement: replaced AWS::EC2::VPC V (dev)\n! CidrBlock: 10.0.0.0/16 → 10.1.0.0/16",
        "replacement: may be replaced AWS::EC2::SecurityGroup G1, G2 (dev)\n! refers to what is replaced",
    ]


@pytest.mark.parametrize(
    ("type", "attributes", "fate"),
    [
        ("AWS::S3::Bucket", {"DeletionPolicy": "Delete"}, "its data is deleted"),
        ("AWS::S3::Bucket", {}, "its data is deleted"),
        ("AWS::S3::Bucket", {"DeletionPolicy": "Retain"}, "the old one stays, outside the stack"),
        ("AWS::RDS::DBCluster", {}, "a snapshot of its data stays"),
        ("AWS::Logs::LogGroup", {}, "its data is deleted"),
        ("AWS::SecretsManager::Secret", {}, "its data is deleted"),
        ("AWS::Cognito::UserPool", {}, "its data is deleted"),
    ],
)
def test_a_deleted_stateful_resource_shows_the_fate_of_its_data(
    type: str, attributes: dict[str, str], fate: str
) -> None:
    entries = changes({"R": resource(type, **attributes)}, {})
    assert f"stateful: deleted {type} R (dev)\n  {fate}" in texts(entries)


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ({"DeletionPolicy": "Retain"}, {"DeletionPolicy": "Delete"}, "- DeletionPolicy: Retain → Delete"),
        ({"UpdateReplacePolicy": "Snapshot"}, {}, "- UpdateReplacePolicy: Snapshot → none"),
    ],
)
def test_a_lost_retention_policy_is_alarming(before: dict[str, str], after: dict[str, str], text: str) -> None:
    entries = changes(*({"R": resource("AWS::S3::Bucket", **of)} for of in (before, after)))
    assert texts(entries) == [f"stateful: loses protection AWS::S3::Bucket R (dev)\n{text}"]
    assert [
        each.section for each in changes(*({"R": resource("AWS::S3::Bucket", **of)} for of in (after, before)))
    ] == ["rest"]


def test_lost_deletion_protection_of_resource_or_stack_is_alarming() -> None:
    base, head = (
        stacks(stack({"C": resource("AWS::RDS::DBCluster", {"DeletionProtection": on})}, protected=on))
        for on in (True, False)
    )
    assert texts(changes(base, head)) == [
        "stateful: loses protection stack payment-platform-dev (dev)\n- termination protection",
        "stateful: loses protection AWS::RDS::DBCluster C (dev)\n! DeletionProtection: true → false",
    ]


def test_another_type_under_the_same_logical_id_is_removed_and_added() -> None:
    entries = changes({"R": resource("AWS::S3::Bucket")}, {"R": resource("AWS::SNS::Topic")})
    assert {(each.section, each.action) for each in entries} == {
        ("stateful", "deleted"),
        ("replacement", "has another type"),
        ("rest", "added"),
    }


def test_a_type_without_schema_may_be_replaced_by_any_change() -> None:
    base, head = ({"R": resource("AWS::Nothing::Known", {"A": of})} for of in "ab")
    assert ("replacement", "may be replaced") in [(each.section, each.action) for each in changes(base, head)]


def test_a_new_version_or_deployment_is_no_replacement() -> None:
    def version(id: str) -> Template:
        renewed = resource("AWS::Lambda::Version", {"FunctionName": "f"}, path="F/CurrentVersion")
        return {id: renewed | {"Metadata": renewed["Metadata"] | {"aws:cdk:do-not-refactor": True}}}

    assert texts(changes(version("V1"), version("V2"))) == [
        "rest: new version AWS::Lambda::Version F/CurrentVersion (dev)"
    ]
