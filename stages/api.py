"""The API: the functions' routes behind WAF and IAM authorization, on a stable and a candidate stage."""

import json
from pathlib import Path
from typing import Any, cast

from aws_cdk import Stack
from aws_cdk import aws_apigateway as apigateway
from constructs import Construct

import names
from names import Colour, Function, Reached, Route
from stages.blue_green import BlueGreenFunction
from stages.compute import Compute
from stages.firewall import Firewall
from stages.function import FunctionBase
from stages.gateway_responses import refuse_with_problems
from stages.load_balancer import LoadBalancer
from stages.private_integration import PrivateIntegration

_CONTRACT = json.loads((Path(__file__).resolve().parent.parent / "lambdas" / "api" / "openapi.json").read_bytes())
"""The OpenAPI document, which the functions use too."""
API_GATEWAY = "apigateway.amazonaws.com"


class Api(Construct):
    """The route of each released function, as the contract describes it.

    Both stages serve the same deployment. Their stage variables choose the version: ``alias`` is the functions' alias,
    and ``release`` becomes a header by which the load balancer recognises the candidate's requests. The integration
    sets this header, and replaces one that the client sent. The other variables say where the load balancer is.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        base: FunctionBase,
        compute: Compute,
        balancer: LoadBalancer,
    ) -> None:
        super().__init__(scope, id)
        environment, encryption = base.environment, base.encryption
        self._base = base
        self._environment = environment
        self._private = PrivateIntegration(self, "Private", base=base, balancer=balancer)
        self._access_log = encryption.log_group(self, "AccessLog", name=names.log_group("api-access", environment.name))
        self.api = apigateway.RestApi(
            self,
            "RestApi",
            rest_api_name=names.platform(environment.name),
            description=f"Card payments, {environment.name}",
            endpoint_configuration=apigateway.EndpointConfiguration(types=[apigateway.EndpointType.REGIONAL]),
            # An account has one role for API Gateway logs, shared by its environments. Bootstrap creates it.
            cloud_watch_role=False,
            deploy_options=self._stage_options(environment.name, alias=Colour.STABLE, release=names.STABLE_RELEASE),
            default_method_options=apigateway.MethodOptions(authorization_type=apigateway.AuthorizationType.IAM),
        )
        rest_api = cast(apigateway.CfnRestApi, self.api.node.default_child)
        rest_api.add_property_override("SecurityPolicy", "SecurityPolicy_TLS13_1_2_2021_06")
        rest_api.add_property_override("EndpointAccessMode", "STRICT")
        # Remove CDK's own output of the URL: the stack has ApiGatewayUrl.
        self.api.node.try_remove_child("Endpoint")
        self._validator = self.api.add_request_validator(
            "Validator", validate_request_body=True, validate_request_parameters=True
        )
        refuse_with_problems(self.api)

        self._deployment = cast(apigateway.Deployment, self.api.latest_deployment)
        self._models = {name: self._model(name) for name in _bodies()}
        for function, released in compute.functions.items():
            match function.reached:
                case Reached.ALIAS:
                    self._alias_routes(function, released)
                case Reached.LOAD_BALANCER:
                    self._balancer_route(function)

        self.stable_stage = self.api.deployment_stage
        self.candidate_stage = apigateway.Stage(
            self,
            "CandidateStage",
            deployment=self._deployment,
            **self._stage_options(
                names.CANDIDATE_RELEASE, alias=Colour.CANDIDATE, release=names.CANDIDATE_RELEASE
            )._values,
        )
        self._own_execution_log("StableExecutionLog", self.stable_stage, environment.name)
        self._own_execution_log("CandidateExecutionLog", self.candidate_stage, names.CANDIDATE_RELEASE)
        self.url = self.stable_stage.url_for_path("/")
        self.candidate_url = self.candidate_stage.url_for_path("/")
        Firewall(
            self,
            "Firewall",
            environment=environment,
            encryption=encryption,
            stage_arns={"Stable": self.stable_stage.stage_arn, "Candidate": self.candidate_stage.stage_arn},
        )

    def invoke_arns(self, stage: str) -> list[str]:
        """The ARNs of the routes of ``stage``, for a role that may ``execute-api:Invoke`` them."""
        methods = sorted({route.method for function in Function for route in function.routes})
        return [self.api.arn_for_execute_api(method, "/*", stage) for method in methods]

    def _stage_options(self, name: str, *, alias: str, release: str) -> apigateway.StageOptions:
        return apigateway.StageOptions(
            stage_name=name,
            variables={"alias": alias, "release": release, **self._private.stage_variables},
            tracing_enabled=True,
            metrics_enabled=True,
            # Never log bodies: they hold card numbers.
            data_trace_enabled=False,
            logging_level=apigateway.MethodLoggingLevel.ERROR,
            access_log_destination=apigateway.LogGroupLogDestination(self._access_log),
            access_log_format=_ACCESS_LOG,
            throttling_rate_limit=self._environment.throttle_rate,
            throttling_burst_limit=self._environment.throttle_burst,
        )

    def _own_execution_log(self, id: str, stage: apigateway.Stage, name: str) -> None:
        """Create the log group before API Gateway does. API Gateway's own would have no key and no retention, and would
        remain after the stack is deleted."""
        group = self._base.encryption.log_group(
            self, id, name=f"API-Gateway-Execution-Logs_{self.api.rest_api_id}/{name}"
        )
        stage.node.add_dependency(group)

    def _alias_routes(self, function: Function, released: BlueGreenFunction) -> None:
        """Routes to the function's alias that the stage names."""
        stack = Stack.of(self)
        alias = f"{released.function.function_arn}:${{stageVariables.alias}}"
        integration = apigateway.Integration(
            type=apigateway.IntegrationType.AWS_PROXY,
            integration_http_method="POST",  # of Lambda's own API, whatever the route's is
            uri=f"arn:{stack.partition}:apigateway:{stack.region}:lambda:path/2015-03-31/functions/{alias}/invocations",
        )
        for number, route in enumerate(function.routes):
            self._method(route, integration)
            released.allow(
                API_GATEWAY,
                id=f"Api{number or ''}",
                blue_source_arn=self.api.arn_for_execute_api(route.method, route.pattern, self._environment.name),
                green_source_arn=self.api.arn_for_execute_api(route.method, route.pattern, names.CANDIDATE_RELEASE),
            )

    def _balancer_route(self, function: Function) -> None:
        """A route to the load balancer, whose weights choose the version."""
        [route] = function.routes
        method = self._method(route, self._private.integration(function))
        self._private.complete(method, self._deployment)

    def _method(self, route: Route, integration: apigateway.Integration) -> apigateway.Method:
        """The method of a route. It asks for what the contract says that a request must have."""
        operation = _operation(route)
        body = _body(operation)
        return self.api.root.resource_for_path(route.path).add_method(
            route.method,
            integration,
            request_models={"application/json": self._models[body]} if body else None,
            request_parameters=_required_parameters(operation),
            request_validator=self._validator,
        )

    def _model(self, schema: str) -> apigateway.IModel:
        """The model of a request's body. A change of it makes a new deployment."""
        name, document = schema.removesuffix("Request"), _model_of(schema)
        model = apigateway.CfnModel(
            self, name, rest_api_id=self.api.rest_api_id, content_type="application/json", schema=document
        )
        self._deployment.node.add_dependency(model)
        self._deployment.add_to_logical_id(document)
        return apigateway.Model.from_model_name(self, f"{name}Model", model.ref)


# Only values that never contain quotes, because these would break the JSON.
_ACCESS_LOG = apigateway.AccessLogFormat.custom(
    json.dumps(
        {
            "request_id": "$context.requestId",
            "extended_request_id": "$context.extendedRequestId",
            "time": "$context.requestTime",
            "stage": "$context.stage",
            "method": "$context.httpMethod",
            "path": "$context.resourcePath",
            "status": "$context.status",
            "latency_ms": "$context.responseLatency",
            "integration_latency_ms": "$context.integrationLatency",
            "integration_status": "$context.integrationStatus",
            "ip": "$context.identity.sourceIp",
            "caller": "$context.identity.userArn",
            "error": "$context.error.responseType",
            "waf": "$context.waf.status",
            "trace": "$context.xrayTraceId",
        }
    )
)


def _required_parameters(operation: dict[str, Any]) -> dict[str, bool] | None:
    """The headers and query parameters that a request must have, as API Gateway names them.

    ``/process`` must have its Idempotency-Key: without it a repeated request could become a second payment.
    """
    places = {"header": "header", "query": "querystring"}
    parameters = [_resolved(each) for each in operation.get("parameters", [])]
    return {
        f"method.request.{places[each['in']]}.{each['name']}": True
        for each in parameters
        if each.get("required") and each["in"] in places
    } or None


def _resolved(parameter: dict[str, Any]) -> dict[str, Any]:
    """``parameter``, or the one that its ``$ref`` names in the contract's components."""
    found: dict[str, Any] = _CONTRACT["components"]["parameters"].get(
        parameter.get("$ref", "").rpartition("/")[2], parameter
    )
    return found


def _operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = _CONTRACT["paths"][route.path][route.method.lower()]
    return found


def _body(operation: dict[str, Any]) -> str | None:
    """The name of the schema of the body that a request must have."""
    if "requestBody" not in operation:
        return None
    reference: str = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    return reference.rpartition("/")[2]


def _bodies() -> list[str]:
    """The schemas of all bodies, once each, in the order of the routes."""
    found = [_body(_operation(route)) for function in Function for route in function.routes]
    return list(dict.fromkeys(name for name in found if name))


def _model_of(name: str) -> dict[str, Any]:
    """The contract's schema ``name`` as a model of API Gateway (JSON Schema draft 4): the types of the fields.

    The functions check the rest. Patterns and lengths, because API Gateway's messages quote the value that did not
    match, and that may be a card number. Required fields, because without its message nobody learns which is missing.
    """
    schema = _CONTRACT["components"]["schemas"][name]
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "title": name.removesuffix("Request"),
        "type": schema["type"],
        "properties": {name: {"type": field["type"]} for name, field in schema["properties"].items()},
    }
