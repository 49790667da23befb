"""The route of a request through the local cloud: weights, stages, headers and request validation."""

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.conftest import Platform
from tests.integration.merchant import PAYMENT, Merchant


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


def test_the_service_metrics_tell_the_versions_apart(platform: Platform, candidate: str) -> None:
    # Given requests to the candidate
    for _ in range(3):
        platform.candidate_api().pay("/validate")
    # When a caller asks for the metrics by alias and executed version
    name = platform.outputs["ValidationFunctionName"]
    dimensions = [
        {"Name": "FunctionName", "Value": name},
        {"Name": "Resource", "Value": f"{name}:green"},
        {"Name": "ExecutedVersion", "Value": candidate},
    ]
    metric = {"Namespace": "AWS/Lambda", "MetricName": "Invocations", "Dimensions": dimensions}
    query = {"Id": "m", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}
    cloudwatch: Any = platform.client("cloudwatch")
    found = cloudwatch.get_metric_data(MetricDataQueries=[query], StartTime=0, EndTime=2**32)["MetricDataResults"]
    # Then they count these requests and no others
    assert sum(found[0]["Values"]) == 3


def test_a_body_that_the_model_refuses_reaches_no_function(api: Merchant) -> None:
    body = {name: value for name, value in PAYMENT.items() if name != "customer_id"}

    answer = api.post("/validate", body)

    assert answer.status == 400
    assert "x-function-version" not in answer.headers
