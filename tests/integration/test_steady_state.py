"""A deployment never moves a candidate that still has production traffic."""

from typing import Any

from .conftest import Platform


def weights(platform: Platform) -> dict[str, int]:
    listener = platform.client("elbv2").describe_listeners(ListenerArns=[platform.outputs["ListenerArn"]])["Listeners"][
        0
    ]
    groups = listener["DefaultActions"][0]["ForwardConfig"]["TargetGroups"]
    return {group["TargetGroupArn"]: group["Weight"] for group in groups}


def blue_alias(platform: Platform) -> dict[str, Any]:
    functions = platform.client("lambda")
    alias: dict[str, Any] = functions.get_alias(FunctionName=platform.outputs["ValidationFunctionName"], Name="blue")
    return alias


def leave_a_shift_half_way(platform: Platform) -> str:
    """Half of production's traffic on the candidate, without a running shift. Returns the stable version."""
    blue, green = platform.outputs["BlueTargetGroupArn"], platform.outputs["GreenTargetGroupArn"]
    groups = [{"TargetGroupArn": blue, "Weight": 50}, {"TargetGroupArn": green, "Weight": 50}]
    platform.client("elbv2").modify_listener(
        ListenerArn=platform.outputs["ListenerArn"],
        DefaultActions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}],
    )
    functions, name = platform.client("lambda"), platform.outputs["ValidationFunctionName"]
    functions.update_function_configuration(FunctionName=name, Description="the cut-off candidate")
    candidate = functions.publish_version(FunctionName=name)["Version"]
    alias = functions.update_alias(
        FunctionName=name, Name="blue", RoutingConfig={"AdditionalVersionWeights": {candidate: 0.5}}
    )
    stable: str = alias["FunctionVersion"]
    return stable


def test_a_deployment_after_an_interrupted_shift_first_returns_traffic_to_stable(platform: Platform) -> None:
    # Given a shift that was killed halfway
    stable = leave_a_shift_half_way(platform)
    assert set(weights(platform).values()) == {50}

    # When another candidate is deployed
    document = platform.template()
    (reset,) = (r for r in document["Resources"].values() if r["Type"] == "Custom::SteadyState")
    reset["Properties"]["Versions"] = "the next candidate's"
    platform.update_stack(document)

    # Then all traffic is on the stable version, which is unchanged
    assert weights(platform) == {
        platform.outputs["BlueTargetGroupArn"]: 100,
        platform.outputs["GreenTargetGroupArn"]: 0,
    }
    assert blue_alias(platform)["FunctionVersion"] == stable
    assert not blue_alias(platform).get("RoutingConfig", {}).get("AdditionalVersionWeights")
