"""The pack finds each violation in disguise, and gives the same verdict whatever the form of a template."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.assembly import STACK
from pipeline.compliance.pci_dss_4 import RULES, pack
from tests.unit.pipeline.compliance.disguises import CASES, CONDITIONS, KEY, LOG_GROUP, OPEN, PARAMETERS, Case
from tests.unit.pipeline.compliance.test_pci_dss_4 import (
    EXAMPLES,
    GROUP,
    OWN_KEY,
    Example,
    Resources,
    broken,
    joined,
    policy,
    ref,
    resource,
)

OF_ACCOUNT = joined('{"Statement": {"Effect": "Allow", "Principal": {"AWS": "', ref("AWS::AccountId"), '"}}}')


@pytest.mark.parametrize("case", CASES, ids=lambda each: f"{each.rule}: {each.what}")
def test_a_violation_in_disguise_is_found(case: Case, tmp_path: Path) -> None:
    found = broken(case.resources, tmp_path, Parameters=PARAMETERS, Conditions=CONDITIONS)
    assert (case.rule, "it") in found


@pytest.mark.parametrize(
    ("kind", "properties"),
    [
        ("AWS::SNS::TopicPolicy", {"PolicyDocument": policy("Allow", Principal={"Service": "events.amazonaws.com"})}),
        ("AWS::Logs::ResourcePolicy", {"PolicyDocument": OF_ACCOUNT}),
        ("AWS::IAM::Role", {"Policies": [{"PolicyDocument": policy("Allow", Action="s3:GetObject", Resource="*")}]}),
        ("AWS::EC2::VPCEndpoint", {"PolicyDocument": OPEN}),
        ("AWS::SQS::QueuePolicy", {"PolicyDocument": policy("Deny", Action="*", Principal="*")}),
        (
            "AWS::SNS::Topic",
            {"DataProtectionPolicy": {"Statement": [{"Principal": ["*"], "Operation": {"Audit": {}}}]}},
        ),
        ("AWS::WAFv2::WebACL", {"Rules": [{"Statement": {"NotStatement": {"Statement": {"Arn": ref("Given")}}}}]}),
        ("AWS::Lambda::LayerVersionPermission", {"Principal": "*", "OrganizationId": "o-123"}),
        ("AWS::Lambda::LayerVersionPermission", {"Principal": "111111111111"}),
    ],
)
def test_a_policy_that_names_whom_it_admits_is_none_for_anybody(kind: str, properties: Any, tmp_path: Path) -> None:
    found = broken({"it": resource(kind, **properties)}, tmp_path, Parameters=PARAMETERS)
    assert ("NoAnonymousAccess", "it") not in found


@pytest.mark.parametrize(
    "key",
    [
        "0f0e0d0c-0000-4000-8000-000000000000",
        "alias/payments",
        joined("arn:", ref("AWS::Partition"), ":kms:", ref("AWS::Region"), ":", ref("AWS::AccountId"), ":key/k"),
        "arn:aws:kms:us-east-1:111111111111:key/k",
    ],
)
def test_a_key_of_the_stacks_own_account_is_own(key: Any, tmp_path: Path) -> None:
    # Given stacks of two accounts, one of which has the key
    file = tmp_path / "stack.template.json"
    file.write_text(json.dumps({"Resources": {"it": resource("AWS::SQS::Queue", KmsMasterKeyId=key)}}))

    def found(account: str) -> set[tuple[str, str]]:
        stack = {"type": STACK, "environment": f"aws://{account}/us-east-1", "properties": {"templateFile": file.name}}
        (tmp_path / "manifest.json").write_text(json.dumps({"artifacts": {"it": stack}}))
        judged = pack()
        judged.validate(SimpleNamespace(template_paths=[str(file)]))
        return judged.found

    finding = ("PCI.DSS.401::PCI.DSS.401-3.5.1-EncryptedAtRest", "it")
    assert finding not in found("111111111111")
    assert (finding in found("222222222222")) == ("111111111111" in str(key))


def test_a_nested_stack_is_read_with_the_values_it_gets(tmp_path: Path) -> None:
    # Given a nested stack that gets an address and a key from its parent
    inner = {
        "Parameters": {"Who": {"Type": "String"}, "KeyArn": {"Type": "String"}},
        "Resources": {
            "door": resource(GROUP, SecurityGroupIngress=[{"CidrIp": ref("Who")}]),
            "logs": resource(LOG_GROUP, KmsKeyId=ref("KeyArn")),
        },
    }
    (tmp_path / "inner.json").write_text(json.dumps(inner))
    stack = resource("AWS::CloudFormation::Stack", Parameters={"Who": "0.0.0.0/0", "KeyArn": KEY})
    stack["Metadata"] = {"aws:asset:path": "inner.json"}
    # When the parent is checked
    found = broken({"stack": stack, **OWN_KEY}, tmp_path)
    # Then the open door is found, and the parent's key is known as one
    assert ("NoOpenIngress", "door") in found
    assert ("EncryptedAtRest", "logs") not in found


def test_conditions_without_end_are_unknown(tmp_path: Path) -> None:
    names = [f"C{number}" for number in range(20)]
    rules = [{"Fn::If": [name, {"CidrIp": "10.0.0.0/8"}, {"CidrIp": "10.0.0.0/9"}]} for name in names]
    found = broken(
        {"it": resource(GROUP, SecurityGroupIngress=rules)}, tmp_path, Conditions={each: {} for each in names}
    )
    assert ("NoOpenIngress", "it") in found


# --- The same value in another form -----------------------------------------------------------------------------------

TEXT_REWRITES = (
    lambda value: {"Fn::Sub": value} if "$" not in value else value,
    lambda value: {"Fn::Join": ["", [value[: len(value) // 2], value[len(value) // 2 :]]]},
    lambda value: {"Fn::Sub": ["${x}", {"x": value}]},
    lambda value: {"Fn::Select": ["1", ["", value]]},
)
ANY_REWRITES = (
    lambda value: {"Fn::If": ["Sometimes", value, value]},
    lambda value: {"Fn::FindInMap": ["Map", "Top", "Value"]} if value == "0.0.0.0/0" else value,
)


def rewritten(draw: st.DrawFn, value: Any) -> Any:
    """``value``, or a form of it that means the same to CloudFormation."""
    if isinstance(value, dict):
        if len(value) == 1 and next(iter(value)).startswith(("Fn::", "Ref")):
            return value
        value = {name: rewritten(draw, each) for name, each in value.items()}
    elif isinstance(value, list):
        value = [rewritten(draw, each) for each in value]
    choices = [lambda same: same, *ANY_REWRITES, *(TEXT_REWRITES if isinstance(value, str) else ())]
    if isinstance(value, (bool, int)):
        choices.append(lambda number: str(number).lower())
    return draw(st.sampled_from(choices))(value)


@st.composite
def disguised(draw: st.DrawFn) -> tuple[str, Resources, bool]:
    """A rule, an example of it in an equivalent form, and whether that form breaks the rule."""
    example: Example = draw(st.sampled_from(EXAMPLES))
    bad = draw(st.booleans())
    return example.rule, {
        id: {**each, "Properties": {name: rewritten(draw, value) for name, value in each["Properties"].items()}}
        for id, each in (example.bad if bad else example.good).items()
    }, bad  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(disguised())
def test_the_verdict_is_the_same_whatever_the_form(case: tuple[str, Resources, bool]) -> None:
    name, resources, bad = case
    [rule] = [each for each in RULES if each.name == name]
    document = {
        "Resources": resources,
        "Conditions": CONDITIONS,
        "Mappings": {"Map": {"Top": {"Value": "0.0.0.0/0"}}},
    }
    # "inner.json" of the nested example is not there, so only its verdict differs.
    found = {(each.name, at.id) for each, at, _ in pack().broken(document, Path("/nowhere"))}
    assert ((rule.name, "it") in found) == (bad or name == "ReadableTemplates")
