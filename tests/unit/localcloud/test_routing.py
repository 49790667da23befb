"""The version and the target group that a request reaches, and the headers that it carries."""

import pytest

from localcloud.emulator.aliases import pick_version
from localcloud.emulator.load_balancer import pick_target_group
from localcloud.emulator.private_integration import with_mapped_headers


@pytest.mark.parametrize(("draw", "version"), [(0.0, "8"), (0.09, "8"), (0.1, "7"), (0.999, "7")])
def test_an_alias_gives_its_share_to_the_additional_version(draw: float, version: str) -> None:
    alias = {"FunctionVersion": "7", "RoutingConfig": {"AdditionalVersionWeights": {"8": 0.1}}}

    assert pick_version(alias, draw) == version


def test_an_alias_without_weights_has_one_version() -> None:
    assert pick_version({"FunctionVersion": "7"}, 0.0) == "7"


@pytest.mark.parametrize(("draw", "group"), [(0.0, "blue"), (0.899, "blue"), (0.9, "green"), (0.999, "green")])
def test_target_groups_share_traffic_by_weight(draw: float, group: str) -> None:
    groups = [{"TargetGroupArn": "blue", "Weight": 90}, {"TargetGroupArn": "green", "Weight": 10}]

    assert pick_target_group(groups, draw) == group


def test_a_group_of_weight_zero_gets_nothing() -> None:
    groups = [{"TargetGroupArn": "blue", "Weight": 0}, {"TargetGroupArn": "green", "Weight": 1}]

    assert {pick_target_group(groups, draw / 10) for draw in range(10)} == {"green"}
    assert pick_target_group([{"TargetGroupArn": "blue", "Weight": 0}], 0.5) is None


def test_a_mapped_header_replaces_the_clients_own() -> None:
    # Given an integration that maps a stage variable into X-Release
    parameters = {"integration.request.header.X-Release": "stageVariables.release"}
    # When a client of the stable stage forges that header
    sent = with_mapped_headers({"x-release": "candidate", "accept": "*/*"}, parameters, {"release": "stable"}, {})
    # Then the stage's value arrives
    assert sent == {"x-release": "stable", "accept": "*/*"}


def test_a_forged_header_is_dropped_when_the_stage_has_no_value() -> None:
    parameters = {"integration.request.header.X-Release": "stageVariables.release"}

    assert with_mapped_headers({"X-Release": "candidate"}, parameters, {}, {}) == {}


def test_headers_map_from_constants_and_from_the_request() -> None:
    parameters = {
        "integration.request.header.X-Source": "'gateway'",
        "integration.request.header.X-Client": "method.request.header.User-Agent",
        "integration.request.header.X-Request-Id": "context.requestId",
    }

    sent = with_mapped_headers({"user-agent": "test"}, parameters, {}, {"context.requestId": "42"})

    assert sent == {"user-agent": "test", "x-source": "gateway", "x-client": "test", "x-request-id": "42"}


def test_a_mapping_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"can't map 'method\.request\.body'"):
        with_mapped_headers({}, {"integration.request.header.X": "method.request.body"}, {}, {})
