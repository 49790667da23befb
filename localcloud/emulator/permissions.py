"""A service invokes a function only if the function's policy allows it (``AWS::Lambda::Permission``).

The policy names the service, and usually the resource that calls: a method of an API, a target group. MiniStack keeps
the policy and does not ask it.
"""

import logging
from typing import Any

from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy
from ministack.core.responses import get_account_id, get_region
from ministack.services import alb, apigateway_v1, eventbridge, lambda_svc

from localcloud.emulator import aliases
from localcloud.emulator.calls import current_call
from localcloud.emulator.upstream import Function, original, replaces

API_GATEWAY = "apigateway.amazonaws.com"
LOAD_BALANCER = "elasticloadbalancing.amazonaws.com"
EVENT_BRIDGE = "events.amazonaws.com"
_log = logging.getLogger("permissions")
ACCESS_DENIED = (502, {"Content-Type": "text/html"}, b"<html><body>502 Bad Gateway</body></html>")

original(lambda_svc, "function_policy_for_arn")


def may_invoke(service: str, function_arn: str, *, source_arn: str) -> bool:
    """``function_arn``: with its alias or version, if the service calls one. A permission is for exactly that."""
    policy, _ = lambda_svc.function_policy_for_arn(function_arn) or ({}, "")
    context = EvalContext(
        principal_arn=service,
        principal_type="Service",
        principal_account=get_account_id(),
        action="lambda:InvokeFunction",
        resource_arn=function_arn,
        region=get_region(),
        service_context={"aws:sourcearn": source_arn, "aws:sourceaccount": get_account_id()},
    )
    return bool(evaluate_resource_policy(policy, context, service=service).decision == "Allow")


@replaces(apigateway_v1, "_call_lambda_raw")
async def call_lambda(call: Function, function_arn: str, *args: Any, **kwargs: Any) -> Any:
    """Without the permission clients get 500, as for a function that does not exist."""
    if not may_invoke(API_GATEWAY, function_arn, source_arn=current_call.get().source_arn):
        return None, f"Invalid permissions on Lambda function {function_arn}"
    return await call(function_arn, *args, **kwargs)


@replaces(alb, "_invoke_lambda_target")
async def invoke_target(forward: Function, function_arn: str, group_arn: str, *args: Any, **kwargs: Any) -> Any:
    """Without the permission clients get 502, and the metric LambdaUserError counts it (``LambdaAccessDenied``)."""
    if not may_invoke(LOAD_BALANCER, function_arn, source_arn=group_arn):
        if invocation := aliases.current.get():
            invocation.failed = True
        return ACCESS_DENIED
    return await forward(function_arn, group_arn, *args, **kwargs)


@replaces(eventbridge, "_invoke_target")
def invoke_rule_target(invoke: Function, target: Any, event: Any, rule: Any, *args: Any) -> None:
    """Without the permission a rule does nothing, and on AWS only its metric FailedInvocations tells."""
    function_arn = target.get("Arn", "")
    if ":lambda:" in function_arn and not may_invoke(EVENT_BRIDGE, function_arn, source_arn=rule["Arn"]):
        _log.warning("%s has no permission to invoke %s", rule["Arn"], function_arn)
        return
    invoke(target, event, rule, *args)
