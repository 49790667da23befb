"""The API: three routes behind WAF and IAM authorization, on a stable and a candidate stage."""

import json
from pathlib import Path
from typing import Any, cast

from aws_cdk import (
    Stack,
)
from aws_cdk import aws_apigateway as apigateway
from constructs import Construct

from stages.blue_green import BLUE, GREEN, BlueGreenFunction
from stages.compute import Compute
from stages.firewall import Firewall
from stages.function import FunctionBase
from stages.gateway_responses import refuse_with_problems
from stages.load_balancer import CANDIDATE, LoadBalancer
from stages.private_integration import PrivateIntegration

CONTRACT = Path(__file__).resolve().parent.parent / "lambdas" / "api" / "openapi.json"
"""The OpenAPI document, which the functions use too."""
STABLE = "stable"
API_GATEWAY = "apigateway.amazonaws.com"


class Api(Construct):
    """``POST /validate``, ``/fraud-check`` and ``/process``.

    Both stages serve the same deployment. Their stage variables choose the version: ``alias`` is the functions' alias,
    and ``release`` becomes a header by which the load balancer recognises the candidate's requests. The integration
    sets this header, and replaces one that the client sent.
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
        self._access_log = encryption.log_group(self, "AccessLog", name=f"/payment/{environment.name}/api-access")
        self.api = apigateway.RestApi(
            self,
            "RestApi",
            rest_api_name=f"payment-{environment.name}",
            description=f"Card payments, {environment.name}",
            endpoint_configuration=apigateway.EndpointConfiguration(types=[apigateway.EndpointType.REGIONAL]),
            # An account has one role for API Gateway logs, shared by its environments. Bootstrap creates it.
            cloud_watch_role=False,
            deploy_options=self._stage_options(environment.name, alias=BLUE, release=STABLE),
            default_method_options=apigateway.MethodOptions(authorization_type=apigateway.AuthorizationType.IAM),
        )
        rest_api = cast(apigateway.CfnRestApi, self.api.node.default_child)
        rest_api.add_property_override("SecurityPolicy", "SecurityPolicy_TLS13_1_2_2021_06")
        rest_api.add_property_override("EndpointAccessMode", "STRICT")
        # Remove CDK's own output of the URL: the stack has ApiGatewayUrl.
        self.api.node.try_remove_child("Endpoint")
        model = _payment_model()
        self._payment = apigateway.CfnModel(
            self, "Payment", rest_api_id=self.api.rest_api_id, content_type="application/json", schema=model
        )
        self._model = apigateway.Model.from_model_name(self, "PaymentModel", self._payment.ref)
        self._validator = self.api.add_request_validator(
            "Validator", validate_request_body=True, validate_request_parameters=True
        )
        refuse_with_problems(self.api)

        self._deployment = cast(apigateway.Deployment, self.api.latest_deployment)
        self._deployment.node.add_dependency(self._payment)
        self._deployment.add_to_logical_id(model)
        self._function_route("validate", compute.validation)
        self._function_route("fraud-check", compute.fraud_detection)
        self._balancer_route("process", balancer)

        self.stable_stage = self.api.deployment_stage
        self.candidate_stage = apigateway.Stage(
            self,
            "CandidateStage",
            deployment=self._deployment,
            **self._stage_options(CANDIDATE, alias=GREEN, release=CANDIDATE)._values,
        )
        self._own_execution_log("StableExecutionLog", self.stable_stage, environment.name)
        self._own_execution_log("CandidateExecutionLog", self.candidate_stage, CANDIDATE)
        self.url = self.stable_stage.url_for_path("/")
        self.candidate_url = self.candidate_stage.url_for_path("/")
        Firewall(
            self,
            "Firewall",
            environment=environment,
            encryption=encryption,
            stage_arns={"Stable": self.stable_stage.stage_arn, "Candidate": self.candidate_stage.stage_arn},
        )

    def invoke_arn(self, stage: str) -> str:
        """The ARN of the routes of ``stage``, for a role that may ``execute-api:Invoke`` them."""
        return self.api.arn_for_execute_api("POST", "/*", stage)

    def _stage_options(self, name: str, *, alias: str, release: str) -> apigateway.StageOptions:
        return apigateway.StageOptions(
            stage_name=name,
            variables={"alias": alias, "release": release},
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

    def _function_route(self, path: str, function: BlueGreenFunction) -> None:
        """A route to the function's alias that the stage names."""
        stack = Stack.of(self)
        alias = f"{function.function.function_arn}:${{stageVariables.alias}}"
        integration = apigateway.Integration(
            type=apigateway.IntegrationType.AWS_PROXY,
            integration_http_method="POST",
            uri=f"arn:{stack.partition}:apigateway:{stack.region}:lambda:path/2015-03-31/functions/{alias}/invocations",
        )
        self._method(path, integration)
        function.allow(
            API_GATEWAY,
            id="Api",
            blue_source_arn=self.api.arn_for_execute_api("POST", f"/{path}", self._environment.name),
            green_source_arn=self.api.arn_for_execute_api("POST", f"/{path}", CANDIDATE),
        )

    def _balancer_route(self, path: str, balancer: LoadBalancer) -> None:
        """A route to the load balancer, whose weights choose the version."""
        private = PrivateIntegration(self, "Private", base=self._base, balancer=balancer, path=path)
        # The header is required, because without it a repeated request could become a second payment.
        method = self._method(
            path, private.integration, request_parameters={"method.request.header.Idempotency-Key": True}
        )
        private.complete(method, self._deployment)

    def _method(
        self, path: str, integration: apigateway.Integration, request_parameters: dict[str, bool] | None = None
    ) -> apigateway.Method:
        return self.api.root.add_resource(path).add_method(
            "POST",
            integration,
            request_models={"application/json": self._model},
            request_parameters=request_parameters,
            request_validator=self._validator,
        )


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


def _payment_model() -> dict[str, Any]:
    """The contract's ``PaymentRequest`` as a model of API Gateway (JSON Schema draft 4): required fields and types.

    The functions check patterns and lengths. API Gateway must not, because its messages quote the value that did not
    match, and that may be a card number.
    """
    schema = json.loads(CONTRACT.read_bytes())["components"]["schemas"]["PaymentRequest"]
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "title": "Payment",
        "type": schema["type"],
        "required": schema["required"],
        "properties": {name: {"type": field["type"]} for name, field in schema["properties"].items()},
    }
