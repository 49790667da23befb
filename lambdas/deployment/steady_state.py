"""Takes production traffic off the candidate before a deployment replaces it.

An interrupted shift (its build was stopped, its machine died) leaves traffic between two versions. A candidate that is
deployed then would get this traffic without having passed any gate. CloudFormation therefore calls this before it moves
an alias ``green``: it sets all weights to blue, the stable version. It changes nothing in the steady state.

Properties: ``Environment``; the names ``LoadBalancer``, ``StableTargetGroup``, ``Functions`` (a list) and
``StableAlias`` (of each function); ``Versions`` (of the candidates; a change triggers the call).
"""

from contextlib import suppress
from typing import Any

from lambdas.adapters import aws
from lambdas.deployment.custom_resource import Event, Outcome, custom_resource


@custom_resource
def handler(event: Event) -> Outcome:
    properties = event["ResourceProperties"]
    if event["RequestType"] == "Update":
        _all_weight_to_stable(properties["LoadBalancer"], properties["StableTargetGroup"])
        for function in properties["Functions"]:
            _remove_second_version(function, properties["StableAlias"])
    return f"steady-state-{properties['Environment']}", {}


def _all_weight_to_stable(load_balancer: str, target_group: str) -> None:
    balancers = aws.patient_client("elbv2")
    with suppress(
        balancers.exceptions.LoadBalancerNotFoundException, balancers.exceptions.TargetGroupNotFoundException
    ):
        stable = balancers.describe_target_groups(Names=[target_group])["TargetGroups"][0]
        balancer = balancers.describe_load_balancers(Names=[load_balancer])["LoadBalancers"][0]
        for listener in balancers.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]:
            steady = [_steady(action, stable["TargetGroupArn"]) for action in listener["DefaultActions"]]
            if steady != listener["DefaultActions"]:
                balancers.modify_listener(ListenerArn=listener["ListenerArn"], DefaultActions=steady)


def _steady(action: dict[str, Any], stable: str) -> dict[str, Any]:
    groups = action.get("ForwardConfig", {}).get("TargetGroups")
    if not groups:
        return action
    weights = [{**group, "Weight": 100 if group["TargetGroupArn"] == stable else 0} for group in groups]
    return {**action, "ForwardConfig": {**action["ForwardConfig"], "TargetGroups": weights}}


def _remove_second_version(function: str, alias: str) -> None:
    functions = aws.patient_client("lambda")
    with suppress(functions.exceptions.ResourceNotFoundException):
        found = functions.get_alias(FunctionName=function, Name=alias)
        if not _has_second_version(found):
            return
        try:
            functions.update_alias(
                FunctionName=function,
                Name=alias,
                RoutingConfig={"AdditionalVersionWeights": {}},
                RevisionId=found["RevisionId"],
            )
        except functions.exceptions.PreconditionFailedException:
            # The alias has changed. If the SDK retried this request after a lost answer, its first attempt changed it.
            if _has_second_version(functions.get_alias(FunctionName=function, Name=alias)):
                raise


def _has_second_version(found: dict[str, Any]) -> bool:
    return bool(found.get("RoutingConfig", {}).get("AdditionalVersionWeights"))
