"""Creates a function's alias ``blue`` if it is missing. Only the release controller moves it.

Properties: ``FunctionName``, ``Version`` (the version of a new alias). Attribute: ``AliasArn``.
"""

from contextlib import suppress

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
        alias = client.create_alias(
            FunctionName=function,
            Name=_ALIAS,
            FunctionVersion=properties["Version"],
            Description="Stable. Moved by the release controller only.",
        )
    except client.exceptions.ResourceConflictException:
        alias = client.get_alias(FunctionName=function, Name=_ALIAS)
    return physical_id, {"AliasArn": alias["AliasArn"]}
