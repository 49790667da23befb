"""When the function of a custom resource fails, the deployment fails at once and states the reason.

MiniStack would wait an hour for the answer of a function that died before it sent one.
"""

from typing import Any

from ministack.services import lambda_svc
from ministack.services.cloudformation import custom_resource

from localcloud.emulator.own_api import settings
from localcloud.emulator.upstream import Function, original, replaces

original(custom_resource, "invoke_custom_resource")
original(custom_resource, "deliver_response")


@replaces(lambda_svc, "_execute_function_with_config_scope")
def execute(run: Function, func: Any, event: Any) -> Any:
    result = run(func, event)
    if isinstance(event, dict) and "ResponseURL" in event and result.get("error"):
        token = event["ResponseURL"].rsplit("/", 1)[-1]
        waiting = custom_resource._pending.get(token)
        if waiting is not None and waiting["result"] is None:
            custom_resource.deliver_response(token, {"Status": "FAILED", "Reason": _reason(func, result)})
    return result


def _reason(func: Any, result: Any) -> str:
    name = (func.get("config") or func)["FunctionName"]
    body = result.get("body")
    message = body.get("errorMessage") if isinstance(body, dict) else body
    return f"function {name} failed: {message} (its log: {settings().folder}/logs/{name}.log)"
