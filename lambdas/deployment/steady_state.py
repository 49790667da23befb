"""Takes production traffic off the candidate before a deployment replaces it.

An interrupted shift (its build was stopped, its machine died) leaves traffic between two versions. A candidate that is
deployed then would get this traffic without having passed any gate. CloudFormation therefore calls this before it moves
an alias ``green``: it sets all weights to blue, the stable version. It changes nothing in the steady state.

Properties: ``Environment``, ``Functions`` (names), ``Versions`` (of the candidates; a change triggers the call).
"""

from contextlib import suppress
from typing import Any

from lambdas.adapters import aws
from lambdas.deployment.custom_resource import Event, Outcome, custom_resource


@custom_resource
def handler(event: Event) -> Outcome:
    properties = event["ResourceProperties"]
    environment = properties["Environment"]
    if event["RequestType"] == "Update":
        _all_weight_to_blue(environment)
        for function in properties["Functions"]:
            _remove_second_version(function)
    return f"steady-state-{environment}", {}


def _all_weight_to_blue(environment: str) -> None:
    balancers = aws.patient_client("elbv2")
    with suppress(
        balancers.exceptions.LoadBalancerNotFoundException, balancers.exceptions.TargetGroupNotFoundException
    ):
        blue = balancers.describe_target_groups(Names=[f"payment-blue-{environment}"])["TargetGroups"][0]
        balancer = balancers.describe_load_balancers(Names=[f"payment-{environment}"])["LoadBalancers"][0]
        for listener in balancers.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]:
            steady = [_steady(action, blue["TargetGroupArn"]) for action in listener["DefaultActions"]]
            if steady != listener["DefaultActions"]:
                balancers.modify_listener(ListenerArn=listener["ListenerArn"], DefaultActions=steady)


def _steady(action: dict[str, Any], blue: str) -> dict[str, Any]:
    groups = action.get("ForwardConfig", {}).get("TargetGroups")
    if not groups:
        return action
    weights = [{**group, "Weight": 100 if group["TargetGroupArn"] == blue else 0} for group in groups]
    return {**action, "ForwardConfig": {**action["ForwardConfig"], "TargetGroups": weights}}


def _remove_second_version(function: str) -> None:
    functions = aws.patient_client("lambda")
    with suppress(functions.exceptions.ResourceNotFoundException):
        alias = functions.get_alias(FunctionName=function, Name="blue")
        if not _has_second_version(alias):
            return
        try:
            functions.update_alias(
                FunctionName=function,
                Name="blue",
                RoutingConfig={"AdditionalVersionWeights": {}},
                RevisionId=alias["RevisionId"],
            )
        except functions.exceptions.PreconditionFailedException:
            # The alias has changed. If the SDK retried this request after a lost answer, its first attempt changed it.
            if _has_second_version(functions.get_alias(FunctionName=function, Name="blue")):
                raise


def _has_second_version(alias: dict[str, Any]) -> bool:
    return bool(alias.get("RoutingConfig", {}).get("AdditionalVersionWeights"))
