"""Creates a function's alias ``blue`` if it is missing, at a closed version. Only the release controller moves it.

A version that nothing has proven yet must not answer customers. So the alias of a new function leads to a version of
its own, whose handler answers 503 to all. The first release replaces it. To publish it, the handler of $LATEST changes
for a moment; nobody calls $LATEST.

Properties: ``FunctionName``, ``Handler`` (of the function), ``ClosedHandler``. Attribute: ``AliasArn``.
"""

from contextlib import suppress
from typing import Any

from lambdas.adapters import aws
from lambdas.deployment.custom_resource import Event, Outcome, custom_resource

_ALIAS = "blue"


@custom_resource
def handler(event: Event) -> Outcome:
    properties = event["ResourceProperties"]
    function = properties["FunctionName"]
    physical_id = f"{function}:{_ALIAS}"
    client = aws.patient_client("lambda")
    if event["RequestType"] == "Delete":
        if event["PhysicalResourceId"] == physical_id:  # otherwise the creation failed, and there is nothing to delete
            with suppress(client.exceptions.ResourceNotFoundException):
                client.delete_alias(FunctionName=function, Name=_ALIAS)
        return event["PhysicalResourceId"], {}
    try:
        alias = client.get_alias(FunctionName=function, Name=_ALIAS)
    except client.exceptions.ResourceNotFoundException:
        alias = _create(client, function, _publish_closed(client, function, properties))
    return physical_id, {"AliasArn": alias["AliasArn"]}


def _create(client: Any, function: str, version: str) -> dict[str, Any]:
    try:
        created: dict[str, Any] = client.create_alias(
            FunctionName=function,
            Name=_ALIAS,
            FunctionVersion=version,
            Description="Stable. Moved by the release controller only.",
        )
    except client.exceptions.ResourceConflictException:  # the SDK repeated it after a lost answer
        created = client.get_alias(FunctionName=function, Name=_ALIAS)
    return created


def _publish_closed(client: Any, function: str, properties: dict[str, Any]) -> str:
    """Publish a version that answers 503, and return its number. An attempt that was cut off may be repeated."""
    _set_handler(client, function, properties["ClosedHandler"])
    published: str = client.publish_version(
        FunctionName=function, Description="Closed: answers 503 until the first release is promoted"
    )["Version"]
    _set_handler(client, function, properties["Handler"])
    return published


def _set_handler(client: Any, function: str, handler: str) -> None:
    client.update_function_configuration(FunctionName=function, Handler=handler)
    client.get_waiter("function_updated").wait(FunctionName=function, WaiterConfig={"Delay": 1, "MaxAttempts": 40})
