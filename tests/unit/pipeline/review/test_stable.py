"""A change must not take from the stable version what it uses: its role, its rights, what its settings name."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from pipeline.review.comparison import compare
from pipeline.review.stable import words
from pipeline.review.synthesis import ROOT
from tests.unit.pipeline.review.given import Template, resource, side, stack, stacks

CODE = frozenset({"put_item", "get_secret_value"})


def allow(action: str | list[str], resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def via(service: str) -> dict[str, Any]:
    return {"Condition": {"StringEquals": {"kms:ViaService": f"{service}.us-east-1.amazonaws.com"}}}


def platform(*statements: dict[str, Any]) -> Template:
    """A function that is released by an alias, its role with one policy, and a secret that its settings name."""
    return {
        "Role": resource("AWS::IAM::Role", {"ManagedPolicyArns": [{"Ref": "Policy"}]}, path="Function/Role"),
        "Policy": resource(
            "AWS::IAM::ManagedPolicy", {"PolicyDocument": {"Statement": list(statements)}}, path="Function/Policy"
        ),
        "Secret": resource("AWS::SecretsManager::Secret", {"Description": "A password"}, path="Secret"),
        "Function": resource(
            "AWS::Lambda::Function",
            {"Role": {"Fn::GetAtt": ["Role", "Arn"]}, "Environment": {"Variables": {"SECRET": {"Ref": "Secret"}}}},
            path="Function",
        ),
        "Blue": resource("AWS::Lambda::Alias", {"FunctionName": {"Ref": "Function"}, "Name": "blue"}, path="Blue"),
    }


def found(before: Template, after: Template) -> list[str]:
    comparison = compare(
        side(stacks=stacks(stack(before)), code=CODE), side(stacks=stacks(stack(after)), code=CODE), name="main"
    )
    assert comparison.passes is not bool(comparison.findings.new)
    assert {each.construct for each in comparison.findings.new} <= {"Dev/Platform/Function"}
    return [each.rule.removeprefix("StableVersion::Loses") for each in comparison.findings.new]


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        ([allow("dynamodb:PutItem", "t")], [], ["Right[dynamodb:PutItem on t]"]),
        ([allow("dynamodb:PutItem", "t")], [allow("dynamodb:PutItem", "u")], ["Right[dynamodb:PutItem on t]"]),
        ([allow("dynamodb:PutItem", "t")], [allow("dynamodb:PutItem", "t", **via("s3"))],
         ["Right[dynamodb:PutItem on t]"]),
        ([allow("dynamodb:PutItem", "t"), allow("kms:Decrypt", "k", **via("dynamodb"))],
         [allow("dynamodb:PutItem", "t")], ["Right[kms:Decrypt on k]"]),
        ([allow("logs:PutLogEvents", "l")], [], ["Right[logs:PutLogEvents on l]"]),
        # What the stable version does not use, may go.
        ([allow("dynamodb:Query", "t")], [], []),
        ([allow("kms:Decrypt", "k", **via("sns"))], [], []),
        # What is only written in another way, stays.
        ([allow("dynamodb:PutItem", "t")], [allow(["dynamodb:PutItem", "dynamodb:Query"], ["t", "u"])], []),
        ([allow("dynamodb:PutItem", "t/1", **via("s3"))], [allow("dynamodb:*", "t/*")], []),
    ],
)  # fmt: skip
def test_a_right_that_the_stable_version_uses_is_not_taken(
    before: list[Any], after: list[Any], lost: list[str]
) -> None:
    assert found(platform(*before), platform(*after)) == lost


def test_its_role_is_not_taken() -> None:
    # Given another role for the function, as when its construct moves
    head = platform()
    head["Other"] = head.pop("Role") | {"Metadata": {"aws:cdk:path": "Dev/Platform/Elsewhere/Resource"}}
    head["Function"]["Properties"]["Role"] = {"Fn::GetAtt": ["Other", "Arn"]}
    assert found(platform(), head) == ["Role"]


def test_what_its_settings_name_is_not_taken() -> None:
    # Given a change whose code no longer needs the secret, and that takes it in the same step
    head = platform()
    del head["Secret"]
    head["Function"]["Properties"]["Environment"] = {}
    assert found(platform(), head) == ["Resource[Secret]"]
    # When the settings went in a change before, then it may go
    released = platform()
    released["Function"]["Properties"]["Environment"] = {}
    assert found(released, head) == []


def test_a_function_that_is_not_released_by_an_alias_may_change_as_it_likes() -> None:
    before, after = platform(allow("dynamodb:PutItem", "t")), platform()
    for each in (before, after):
        del each["Blue"]
    assert found(before, after) == []


def test_an_environment_that_did_not_exist_loses_nothing() -> None:
    platforms = stacks(stack(deepcopy(platform(allow("dynamodb:PutItem")))))
    assert compare(side(stacks={}, code=CODE), side(stacks=platforms), name="main").passes


def test_the_functions_calls_are_found_in_their_code(tmp_path: Path) -> None:
    assert {"transact_write_items", "update_item", "put_object", "query"} <= words(ROOT)
    assert words(tmp_path) == frozenset()
