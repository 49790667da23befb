"""When the function of a custom resource fails, the deployment fails at once and states the reason.

MiniStack would wait an hour for the answer of a function that died before it sent one. The answer is an object that the
function puts into Amazon S3 by a URL without its own signature, so the function must have a way to S3.
"""

from typing import Any

from ministack.services import lambda_svc
from ministack.services.cloudformation import custom_resource

from localcloud.emulator.own_api import settings
from localcloud.emulator.reachability import Interface, refusal_of_service
from localcloud.emulator.upstream import Function, original, replaces

original(custom_resource, "invoke_custom_resource")
original(custom_resource, "deliver_response")


@replaces(lambda_svc, "_execute_function_with_config_scope")
def execute(run: Function, func: Any, event: Any) -> Any:
    if not (isinstance(event, dict) and "ResponseURL" in event):
        return run(func, event)
    lost = _lost_answer(func.get("config") or func)
    result = {"error": True, "body": {"errorMessage": lost}} if lost else run(func, event)
    if result.get("error"):
        token = event["ResponseURL"].rsplit("/", 1)[-1]
        waiting = custom_resource._pending.get(token)
        if waiting is not None and waiting["result"] is None:
            custom_resource.deliver_response(token, {"Status": "FAILED", "Reason": _reason(func, result)})
    return result


def _lost_answer(config: Any) -> str | None:
    """Why the function's answer to CloudFormation can't arrive. On AWS the stack waits an hour for such an answer."""
    interface = Interface.of_function(config)
    return refusal_of_service(interface, "s3") if interface else None


def _reason(func: Any, result: Any) -> str:
    name = (func.get("config") or func)["FunctionName"]
    body = result.get("body")
    message = body.get("errorMessage") if isinstance(body, dict) else body
    return f"function {name} failed: {message} (its log: {settings().folder}/logs/{name}.log)"
