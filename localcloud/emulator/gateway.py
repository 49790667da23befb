"""API Gateway: how a request of a REST API finds its stage and resource, stage variables, validators, metrics."""

import re
import time
from typing import Any

from ministack import app
from ministack.core.responses import request_scope
from ministack.services import apigateway_v1
from ministack.services.cloudformation import provisioners

from localcloud.emulator import metrics
from localcloud.emulator.calls import Call, current_call
from localcloud.emulator.deployments import serving
from localcloud.emulator.private_integration import with_mapped_headers
from localcloud.emulator.properties import after_write
from localcloud.emulator.upstream import Function, original, replaces

# The host name of an API's URL, as the stack outputs state it. MiniStack expects its own domain there.
app._EXECUTE_API_RE = re.compile(r"^([a-z0-9]{8,10})\.execute-api\.[a-z0-9-]+\.amazonaws\.com(?::\d+)?$")
original(apigateway_v1, "_match_resource_tree")


EMPTY_SEGMENT = "\0"
"""Stands for an empty segment of a path. MiniStack would drop it, and serve ``/dev//validate`` as ``/dev/validate``."""


@replaces(app, "_parse_execute_api_url")
def parse_url(parse: Function, host: str, path: str) -> Any:
    parsed = parse(host, path)
    if parsed is None:
        return None
    api_id, stage, rest = parsed
    if app._EXECUTE_API_RE.match(host) and path.startswith("//"):
        stage, rest = EMPTY_SEGMENT, path[1:]
    return api_id, stage, re.sub("/(?=/)", f"/{EMPTY_SEGMENT}", rest)


@replaces(apigateway_v1, "handle_execute")
async def handle_execute(
    execute: Function, api_id: str, stage_name: str, method: str, path: str, headers: Any, body: bytes, query: Any
) -> Any:
    started = time.perf_counter()
    scope = apigateway_v1.find_api_scope(api_id)
    if scope is None:
        return await execute(api_id, stage_name, method, path, headers, body, query)
    with request_scope(*scope), serving(api_id, stage_name) as stage:
        if stage is None:
            return await execute(api_id, stage_name, method, path, headers, body, query)
        call = Call(
            api_id=api_id,
            stage=stage_name,
            method=method,
            resource=_resource(api_id, method, path),
            variables=stage["variables"] or {},
        )
        token = current_call.set(call)
        try:
            answer = await execute(api_id, stage_name, method, path, headers, body, query)
        finally:
            current_call.reset(token)
        metrics.record_api(
            api=(apigateway_v1._rest_apis.get(api_id) or {}).get("name", ""),
            stage=stage_name,
            resource=call.resource,
            method=method,
            milliseconds=(time.perf_counter() - started) * 1000,
            status=answer[0],
        )
        return answer


@replaces(apigateway_v1, "_extract_lambda_ref_from_integration_uri")
def lambda_reference(extract: Function, uri: str) -> Any:
    """Resolve stage variables: ``…:function:name:${stageVariables.alias}/invocations`` gives each stage its alias."""
    return extract(current_call.get().with_variables(uri) if uri else uri)


def _resource(api_id: str, method: str, path: str) -> str | None:
    """The path of the API's resource that serves the request, such as ``/orders/{id}``."""
    resource, _ = apigateway_v1._match_resource_tree(api_id, [segment for segment in path.split("/") if segment])
    methods = (resource or {}).get("resourceMethods", {})
    return str(resource["path"]) if methods.keys() & {method, "ANY"} else None


@after_write("AWS::ApiGateway::Method")
def complete_method(_: str, props: Any) -> None:
    """Store the properties of a template's method that MiniStack ignores."""
    method = apigateway_v1._resources[props["RestApiId"]][props["ResourceId"]]["resourceMethods"][props["HttpMethod"]]
    if props.get("RequestValidatorId"):
        method["requestValidatorId"] = props["RequestValidatorId"]
    declared = props.get("Integration") or {}
    integration = method.get("methodIntegration") or {}
    for name in ("ConnectionId", "IntegrationTarget", "TlsConfig"):
        if declared.get(name):
            integration[name[0].lower() + name[1:]] = declared[name]
    # An unknown mapping fails the deployment.
    with_mapped_headers({}, integration.get("requestParameters") or {}, {}, {})


@after_write("AWS::ApiGateway::RequestValidator")
def store_validator(validator_id: str, props: Any) -> None:
    """Register a template's validator. MiniStack does not, and therefore validates nothing."""
    apigateway_v1._request_validators.setdefault(props["RestApiId"], {})[validator_id] = {
        "id": validator_id,
        "name": props.get("Name", validator_id),
        "validateRequestBody": provisioners._cfn_bool(props.get("ValidateRequestBody")),
        "validateRequestParameters": provisioners._cfn_bool(props.get("ValidateRequestParameters")),
    }
