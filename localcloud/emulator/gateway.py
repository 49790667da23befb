"""API Gateway: private integrations, stage variables, mapped request headers, validators, metrics.

An ``HTTP_PROXY`` integration with a VPC link reaches the load balancer inside the emulator. Nothing else can reach an
internal load balancer.
"""

import contextvars
import re
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

from ministack import app
from ministack.core.responses import new_uuid, request_scope
from ministack.services import alb, apigateway_v1
from ministack.services.cloudformation import provisioners

from localcloud.emulator import metrics
from localcloud.emulator.properties import after_write
from localcloud.emulator.upstream import Function, original, replaces

# The host name of an API's URL, as the stack outputs state it. MiniStack expects its own domain there.
original(app, "_parse_execute_api_url")
app._EXECUTE_API_RE = re.compile(r"^([a-z0-9]{8,10})\.execute-api\.[a-z0-9-]+\.amazonaws\.com(?::\d+)?$")

_STAGE_VARIABLE = re.compile(r"\$\{stageVariables\.(\w+)\}")
_stage: contextvars.ContextVar[Mapping[str, Any]] = contextvars.ContextVar("stage")


def _with_variables(text: str) -> str:
    variables = _stage.get().get("variables") or {}
    return _STAGE_VARIABLE.sub(lambda match: str(variables.get(match[1], "")), text)


@replaces(apigateway_v1, "handle_execute")
async def handle_execute(
    execute: Function, api_id: str, stage_name: str, method: str, path: str, headers: Any, body: bytes, query: Any
) -> Any:
    started = time.perf_counter()
    scope = apigateway_v1.find_api_scope(api_id)
    if scope is None:
        return await execute(api_id, stage_name, method, path, headers, body, query)
    with request_scope(*scope):
        token = _stage.set(apigateway_v1._stages_v1.get(api_id, {}).get(stage_name) or {})
        try:
            answer = await execute(api_id, stage_name, method, path, headers, body, query)
        finally:
            _stage.reset(token)
        metrics.record_api(
            api=(apigateway_v1._rest_apis.get(api_id) or {}).get("name", ""),
            stage=stage_name,
            resource=path,
            method=method,
            milliseconds=(time.perf_counter() - started) * 1000,
            status=answer[0],
        )
        return answer


@replaces(apigateway_v1, "_extract_lambda_ref_from_integration_uri")
def lambda_reference(extract: Function, uri: str) -> Any:
    """Resolve stage variables: ``…:function:name:${stageVariables.alias}/invocations`` gives each stage its alias."""
    return extract(_with_variables(uri) if uri else uri)


@replaces(apigateway_v1, "_invoke_http_proxy_v1")
async def invoke_http_proxy(
    invoke: Function,
    integration: Any,
    path: str,
    method: str,
    headers: Any,
    body: bytes,
    query: Any,
    path_params: Any = None,
) -> Any:
    parameters = integration.get("requestParameters") or {}
    identity = apigateway_v1._iam_caller_identity(headers, query) or {}
    context = {f"context.identity.{name}": str(value) for name, value in identity.items() if value}
    context["context.requestId"] = new_uuid()
    headers = with_mapped_headers(headers, parameters, _stage.get().get("variables") or {}, context)
    target = urllib.parse.urlsplit(_with_variables(integration.get("uri", "")))
    balancer = _load_balancer(integration)
    if balancer is None:
        return await invoke(integration, path, method, headers, body, query, path_params)
    if integration.get("connectionType") != "VPC_LINK":
        return apigateway_v1._gw_error("API_CONFIGURATION_ERROR", "Internal server error")
    port = target.port or (443 if target.scheme == "https" else 80)
    headers["host"] = target.netloc
    return await alb.dispatch_request(
        balancer, method, target.path or "/", headers, body, query, port, raw_path=target.path or "/"
    )


def with_mapped_headers(
    headers: Mapping[str, str], parameters: Mapping[str, str], variables: Mapping[str, str], context: Mapping[str, str]
) -> dict[str, str]:
    """The request's headers after an integration's mapping. A mapped header replaces the client's header of that name.

    A source is a quoted constant, a stage variable, a header, the request's id or the request's caller. Raises
    ``ValueError`` for any other source.
    """
    mapped = {name.lower(): value for name, value in headers.items()}
    for destination, source in parameters.items():
        if not destination.startswith("integration.request.header."):
            continue
        name = destination.removeprefix("integration.request.header.").lower()
        mapped.pop(name, None)
        if source.startswith("'"):
            mapped[name] = source.strip("'")
        elif source.startswith("stageVariables."):
            if (value := variables.get(source.removeprefix("stageVariables."))) is not None:
                mapped[name] = value
        elif source == "context.requestId" or source.startswith("context.identity."):
            if source in context:
                mapped[name] = context[source]
        elif source.startswith("method.request.header."):
            wanted = source.removeprefix("method.request.header.").lower()
            if (value := next((v for k, v in headers.items() if k.lower() == wanted), None)) is not None:
                mapped[name] = value
        else:
            raise ValueError(f"request parameter {destination}: the local cloud can't map {source!r}")
    return mapped


def _load_balancer(integration: Mapping[str, Any]) -> Any:
    if integration.get("integrationTarget"):
        return alb._lbs.get(integration["integrationTarget"])
    return alb.find_lb_for_host(urllib.parse.urlsplit(integration.get("uri", "")).netloc)


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
