"""The role of shadow requests: it exists only where somebody moves, and may ask the candidate what it would decide."""

from dataclasses import replace

import pytest

from environments import DEV, MigrationSettings
from names import CANDIDATE_RELEASE, Function
from tests.infrastructure.conftest import synthesised
from tests.infrastructure.platform_template import PlatformTemplate, as_list, logical_id, text

ASKED = (Function.VALIDATION, Function.FRAUD_DETECTION)


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> PlatformTemplate:
    """Dev, to which another system moves."""
    return synthesised(replace(DEV, migration=MigrationSettings()), tmp_path_factory.mktemp("moving"))


def knowing(template: PlatformTemplate) -> set[str]:
    """The functions that know of the role."""
    return {
        each["FunctionName"]
        for each in template.properties("AWS::Lambda::Function")
        if "SHADOW_ROLE_ARN" in each.get("Environment", {}).get("Variables", {})
    }


def test_where_nobody_moves_there_is_no_such_role(platform: PlatformTemplate) -> None:
    assert knowing(platform) == set()
    assert "ShadowRoleArn" not in platform.outputs
    assert not [id for id in platform.resources() if id.startswith("Shadow")]


def test_it_may_ask_two_routes_of_the_candidate_and_nothing_else(moving: PlatformTemplate) -> None:
    role = moving.named("AWS::IAM::Role", RoleName="payment-shadow-dev")
    [policy] = map(logical_id, role["ManagedPolicyArns"])
    [statement] = [statement for id, statement in moving.statements() if id == policy]
    assert as_list(statement["Action"]) == ["execute-api:Invoke"]
    allowed = [text(each) for each in as_list(statement["Resource"])]
    assert {each.rsplit('"', 2)[1] for each in allowed} == {
        f"/{CANDIDATE_RELEASE}/POST{function.path}" for function in ASKED
    }
    assert "*" not in "".join(allowed)


def test_only_the_functions_of_these_routes_know_the_role(moving: PlatformTemplate) -> None:
    assert knowing(moving) == {function.of("dev") for function in ASKED}
    for function in ASKED:
        variables = moving.named("AWS::Lambda::Function", FunctionName=function.of("dev"))["Environment"]["Variables"]
        assert ":role/payment-shadow-dev" in text(variables["SHADOW_ROLE_ARN"])
