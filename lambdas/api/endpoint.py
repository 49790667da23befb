"""The frame of every function's use case: read the request, answer problems, log one line, name the version."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from aws_lambda_powertools import Logger

from lambdas.adapters import deadline
from lambdas.adapters.tracing import tracer
from lambdas.api import contract, metrics
from lambdas.api.problems import Problem
from lambdas.api.requests import Answer, Request
from lambdas.payments.callers import Caller
from lambdas.payments.card_text import masked
from lambdas.payments.errors import CallerRefused, InvalidField, Unavailable
from lambdas.payments.payment import Payment

_RETRY_AFTER_SECONDS = 2

UseCase = Callable[[Request, Payment, Caller, Any], Answer]
"""Takes the request, the payment in its body, who sent it, and Lambda's context."""


def _serialize(record: dict[str, Any]) -> str:
    import json

    return json.dumps(masked(record), default=str, separators=(",", ":"))


logger = Logger(json_serializer=_serialize)


def endpoint(route: str) -> Callable[[UseCase], Callable[[dict[str, Any], Any], dict[str, Any]]]:
    """Make a Lambda handler of a use case that serves ``POST /<route>``."""

    def decorate(use_case: UseCase) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
        @wraps(use_case)
        @tracer.capture_lambda_handler(capture_response=False, capture_error=False)
        @logger.inject_lambda_context(clear_state=True)
        def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
            deadline.start()
            began = time.process_time()
            request = Request.of(event, context.aws_request_id)
            logger.append_keys(correlation_id=request.request_id)
            answer = _answer(use_case, route, request, context)
            if answer.status >= 500:
                metrics.server_error()
            logger.info("answered", route=route, status=answer.status, **_log_fields(answer))
            return answer.to_event(request, time.process_time() - began)

        return handler

    return decorate


def _answer(use_case: UseCase, route: str, request: Request, context: Any) -> Answer:
    try:
        if request.path.rstrip("/").rpartition("/")[2] != route:
            raise Problem("route_unknown")
        if request.method != "POST":
            raise Problem("method_not_allowed")
        payment = Payment.parse(contract.check(request.json()))
        if request.caller is None:
            raise Problem("caller_unknown")
        return use_case(request, payment, request.caller, context)
    except Problem as problem:
        return _problem_answer(problem, request)
    except InvalidField as invalid:
        return _problem_answer(contract.invalid_field(invalid), request)
    except CallerRefused as refused:
        return _problem_answer(Problem(refused.code), request)
    except Unavailable as unavailable:
        logger.warning("dependency unavailable", dependency=unavailable.dependency, cause=repr(unavailable.__cause__))
        return _problem_answer(Problem("unavailable", retry_after=_RETRY_AFTER_SECONDS), request)
    except Exception:
        logger.exception("request failed")
        return _problem_answer(Problem("internal"), request)


def _problem_answer(problem: Problem, request: Request) -> Answer:
    return Answer(
        status=problem.status,
        body=problem.body(request.request_id),
        headers=problem.headers,
        media_type="application/problem+json",
    )


def _log_fields(answer: Answer) -> dict[str, Any]:
    """The fields of the answer for the log line, without customer and card data."""
    keys = ("transaction_id", "type", "valid", "decision", "score", "reasons")
    found = {key: answer.body[key] for key in keys if key in answer.body}
    if "status" in answer.body and answer.status == 201:
        found["outcome"] = answer.body["status"]
    return found
