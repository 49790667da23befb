"""Takes production traffic off the candidate before a deployment replaces it.

An interrupted shift (its build was stopped, its machine died) leaves traffic between two versions. A candidate that is
deployed then would get this traffic without having passed any gate. CloudFormation therefore calls this before it moves
an alias ``green``: all traffic goes to the older of the two versions. It changes nothing in the steady state.

The older one is the stable version in a shift. In an undo it is the version that is returned to, because a deployment
always has the highest number: the alias ``blue`` then moves to it, so that no traffic goes back to the bad version.

Properties: ``Environment``; the names ``LoadBalancer``, ``StableTargetGroup``, ``Functions`` (a list),
``BalancedFunction`` (the one behind the load balancer), ``StableAlias`` and ``CandidateAlias`` (of each function);
``Versions`` (of the candidates; a change triggers the call).
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from lambdas.adapters import aws
from lambdas.deployment.custom_resource import Event, Outcome, custom_resource


@custom_resource
def handler(event: Event) -> Outcome:
    properties = event["ResourceProperties"]
    if event["RequestType"] == "Update":
        stable = properties["StableAlias"]

        def first() -> None:
            # CloudFormation may roll back to the properties of an earlier release, which had neither of these.
            if balanced := properties.get("BalancedFunction"):
                _move_to_older(balanced, stable, _main_version(balanced, properties["CandidateAlias"]))

        _all_weight_to_stable(properties["LoadBalancer"], properties["StableTargetGroup"], first)
        for function in properties["Functions"]:
            _remove_second_version(function, stable)
    return f"steady-state-{properties['Environment']}", {}


def _all_weight_to_stable(load_balancer: str, target_group: str, first: Callable[[], None]) -> None:
    """``first``: what to do before the weights of a listener change."""
    balancers = aws.patient_client("elbv2")
    with suppress(
        balancers.exceptions.LoadBalancerNotFoundException, balancers.exceptions.TargetGroupNotFoundException
    ):
        stable = balancers.describe_target_groups(Names=[target_group])["TargetGroups"][0]
        balancer = balancers.describe_load_balancers(Names=[load_balancer])["LoadBalancers"][0]
        for listener in balancers.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]:
            steady = [_steady(action, stable["TargetGroupArn"]) for action in listener["DefaultActions"]]
            if steady != listener["DefaultActions"]:
                first()
                balancers.modify_listener(ListenerArn=listener["ListenerArn"], DefaultActions=steady)


def _steady(action: dict[str, Any], stable: str) -> dict[str, Any]:
    groups = action.get("ForwardConfig", {}).get("TargetGroups")
    if not groups:
        return action
    weights = [{**group, "Weight": 100 if group["TargetGroupArn"] == stable else 0} for group in groups]
    return {**action, "ForwardConfig": {**action["ForwardConfig"], "TargetGroups": weights}}


def _remove_second_version(function: str, alias: str) -> None:
    """One alias, one version: the older of its two."""
    functions = aws.patient_client("lambda")
    with suppress(functions.exceptions.ResourceNotFoundException):
        found = functions.get_alias(FunctionName=function, Name=alias)
        if second := _second_version(found):
            _point(function, found, min(found["FunctionVersion"], second, key=int))


def _move_to_older(function: str, alias: str, version: str | None) -> None:
    """Point the alias at ``version`` if that is older than its own."""
    functions = aws.patient_client("lambda")
    with suppress(functions.exceptions.ResourceNotFoundException):
        found = functions.get_alias(FunctionName=function, Name=alias)
        if version and int(version) < int(found["FunctionVersion"]):
            _point(function, found, version)


def _point(function: str, found: dict[str, Any], version: str) -> None:
    functions = aws.patient_client("lambda")
    try:
        functions.update_alias(
            FunctionName=function,
            Name=found["Name"],
            FunctionVersion=version,
            RoutingConfig={"AdditionalVersionWeights": {}},
            RevisionId=found["RevisionId"],
        )
    except functions.exceptions.PreconditionFailedException:
        # The alias has changed. If the SDK retried this request after a lost answer, its first attempt changed it.
        now = functions.get_alias(FunctionName=function, Name=found["Name"])
        if _second_version(now) or now["FunctionVersion"] != version:
            raise


def _main_version(function: str, alias: str) -> str | None:
    functions = aws.patient_client("lambda")
    with suppress(functions.exceptions.ResourceNotFoundException):
        version: str = functions.get_alias(FunctionName=function, Name=alias)["FunctionVersion"]
        return version
    return None


def _second_version(found: dict[str, Any]) -> str | None:
    """The other version that gets a share of the alias's requests."""
    return next(iter(found.get("RoutingConfig", {}).get("AdditionalVersionWeights") or {}), None)
