"""The route of a request through the local cloud: weights, stages, headers and request validation."""

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from localcloud.settings import TIME_SCALE
from tests.integration.conftest import Platform
from tests.integration.merchant import PAYMENT, Merchant

DELAY_MINUTES = 2
"""After which CloudWatch's minutes are there, in the local cloud's minutes."""


@pytest.fixture
def api(platform: Platform) -> Merchant:
    return platform.api()


@pytest.fixture
def candidate(platform: Platform) -> Iterator[str]:
    """A second version of two functions, under the alias green. The teardown restores the aliases."""
    functions: Any = platform.client("lambda")
    names = [platform.outputs["ProcessingFunctionName"], platform.outputs["ValidationFunctionName"]]
    before = [functions.get_alias(FunctionName=name, Name="green")["FunctionVersion"] for name in names]
    for name in names:  # Lambda publishes a version only when the function has changed
        functions.update_function_configuration(FunctionName=name, Description="Candidate")
    fresh = [functions.publish_version(FunctionName=name)["Version"] for name in names]
    assert fresh[0] == fresh[1] != before[0]
    for name, version in zip(names, fresh, strict=True):
        functions.update_alias(FunctionName=name, Name="green", FunctionVersion=version)
    yield fresh[0]
    for name, version in zip(names, before, strict=True):
        functions.update_alias(FunctionName=name, Name="green", FunctionVersion=version)


def test_each_stage_reaches_its_own_colour(platform: Platform, api: Merchant, candidate: str) -> None:
    for route in ("/validate", "/process"):
        assert platform.candidate_api().pay(route).version == candidate
        assert api.pay(route).version != candidate


def test_a_client_can_not_choose_the_candidate(api: Merchant, candidate: str) -> None:
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4()), "X-Release": "candidate"}

    answer = api.send("POST", "/process", headers, json.dumps(PAYMENT).encode())

    assert answer.status == 201
    assert answer.version != candidate


def test_listener_weights_share_the_traffic(platform: Platform, api: Merchant, candidate: str) -> None:
    balancer: Any = platform.client("elbv2")
    listener = platform.outputs["ListenerArn"]

    def weigh(blue: int, green: int) -> None:
        weights = {"BlueTargetGroupArn": blue, "GreenTargetGroupArn": green}
        groups = [{"TargetGroupArn": platform.outputs[name], "Weight": weight} for name, weight in weights.items()]
        action = {"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}
        balancer.modify_listener(ListenerArn=listener, DefaultActions=[action])

    try:
        # When all weight is on green, then it gets everything, and the weights read back
        weigh(0, 100)
        assert {api.pay("/process").version for _ in range(5)} == {candidate}
        stored = balancer.describe_listeners(ListenerArns=[listener])["Listeners"][0]["DefaultActions"][0]
        assert [group["Weight"] for group in stored["ForwardConfig"]["TargetGroups"]] == [0, 100]
        # When the weight is shared, then both get requests (by chance, one run in 2^29 sees a single version)
        weigh(50, 50)
        versions = Counter(api.pay("/process").version for _ in range(30))
        assert len(versions) == 2
    finally:
        weigh(100, 0)


def test_alias_weights_share_the_traffic(platform: Platform, api: Merchant, candidate: str) -> None:
    functions: Any = platform.client("lambda")
    name = platform.outputs["ValidationFunctionName"]

    def weigh(share: float) -> None:
        weights = {candidate: share} if share else {}
        functions.update_alias(FunctionName=name, Name="blue", RoutingConfig={"AdditionalVersionWeights": weights})

    try:
        weigh(1.0)
        assert {api.pay("/validate").version for _ in range(5)} == {candidate}
        weigh(0.5)
        versions = Counter(api.pay("/validate").version for _ in range(30))
        assert len(versions) == 2
    finally:
        weigh(0)


def invocations(platform: Platform, **dimensions: str) -> float:
    """The invocations of /validate's function that CloudWatch knows by now."""
    named = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    metric = {"Namespace": "AWS/Lambda", "MetricName": "Invocations", "Dimensions": named}
    query = {"Id": "m", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}
    cloudwatch: Any = platform.client("cloudwatch")
    found = cloudwatch.get_metric_data(MetricDataQueries=[query], StartTime=0, EndTime=2**32)["MetricDataResults"]
    return sum(found[0]["Values"])


def test_the_service_metrics_are_late_and_tell_the_versions_apart(
    platform: Platform, api: Merchant, candidate: str
) -> None:
    # Given requests to the candidate by its own alias, and by an alias that divides its requests
    functions: Any = platform.client("lambda")
    name = platform.outputs["ValidationFunctionName"]
    green, blue = ({"FunctionName": name, "Resource": f"{name}:{colour}"} for colour in ("green", "blue"))
    before = invocations(platform, **green)
    try:
        functions.update_alias(
            FunctionName=name, Name="blue", RoutingConfig={"AdditionalVersionWeights": {candidate: 1.0}}
        )
        for _ in range(3):
            platform.candidate_api().pay("/validate")
            api.pay("/validate")
    finally:
        functions.update_alias(FunctionName=name, Name="blue", RoutingConfig={"AdditionalVersionWeights": {}})
    # When a caller asks at once, then the last ones are not there
    assert invocations(platform, **green) < before + 3
    # When it asks later, then they are
    time.sleep((DELAY_MINUTES + 1) * 60 * TIME_SCALE)
    assert invocations(platform, **green) == before + 3
    # And those of the divided alias are counted by the version that ran, those of the other are not
    assert invocations(platform, **blue, ExecutedVersion=candidate) == 3
    assert invocations(platform, **green, ExecutedVersion=candidate) == 0


def test_a_body_that_the_model_refuses_reaches_no_function(api: Merchant) -> None:
    answer = api.post("/validate", PAYMENT | {"customer_id": 5})

    assert answer.status == 400
    assert "x-function-version" not in answer.headers
