"""The frame of every function's use case: read the request, answer problems, log one line, name the version."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any

from aws_lambda_powertools import Logger

from lambdas.adapters import deadline
from lambdas.adapters.tracing import tracer
from lambdas.api import contract, metrics, shadow
from lambdas.api.problems import Problem
from lambdas.api.requests import Answer, Request, problem_answer
from lambdas.payments.callers import Caller
from lambdas.payments.card_text import masked
from lambdas.payments.errors import InvalidField, Refused, Unavailable
from lambdas.payments.payment import Payment

_RETRY_AFTER_SECONDS = 2

UseCase = Callable[[Request, Payment, Caller, Any], Answer]
"""Takes the request, the payment in its body, who sent it, and Lambda's context."""
Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """One route of a function."""

    method: str
    path: str
    """As the contract has it: ``/transactions/{transaction_id}``. In an event the stage's name may come before it."""
    answer: Callable[[Request, Mapping[str, str], Any], Answer]
    """Takes the request, the values of the path's parameters, and Lambda's context."""

    def parameters(self, path: str) -> Mapping[str, str] | None:
        """The values of the parameters in ``path``; ``None`` for a path of another route."""
        match = _pattern(self.path).fullmatch(path)
        return match.groupdict() if match else None


@cache
def _pattern(path: str) -> re.Pattern[str]:
    return re.compile("(?:/[^/]*)?" + re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path) + "/?")


def _serialize(record: dict[str, Any]) -> str:
    import json

    return json.dumps(masked(record), default=str, separators=(",", ":"))


logger = Logger(json_serializer=_serialize)


def endpoint(route: str, *, takes_shadows: bool = False) -> Callable[[UseCase], Handler]:
    """Make a Lambda handler of a use case that serves ``POST /<route>`` with a payment. ``takes_shadows``: see
    ``sender``."""

    def decorate(use_case: UseCase) -> Handler:
        def answer(request: Request, _: Mapping[str, str], context: Any) -> Answer:
            payment = Payment.parse(contract.check(request.json()))
            return use_case(request, payment, sender(request, takes_shadows=takes_shadows), context)

        return wraps(use_case)(handler_of(Route("POST", f"/{route}", answer)))

    return decorate


def handler_of(*routes: Route) -> Handler:
    """The Lambda handler of ``routes``."""

    @tracer.capture_lambda_handler(capture_response=False, capture_error=False)
    @logger.inject_lambda_context(clear_state=True)
    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        deadline.start()
        began = time.process_time()
        request = Request.of(event, context.aws_request_id)
        logger.append_keys(correlation_id=request.request_id)
        found = [(each, values) for each in routes if (values := each.parameters(request.path)) is not None]
        answer = _answer(found, request, context)
        is_shadow = shadow.is_shadow(request.caller)
        if answer.status >= 400 and not is_shadow:
            metrics.by_version("ServerErrors" if answer.status >= 500 else "ClientErrors")
        route = found[0][0].path.removeprefix("/") if found else "unknown"
        logger.info("answered", route=route, status=answer.status, shadow=is_shadow, **_log_fields(answer))
        return answer.to_event(request, time.process_time() - began)

    return handler  # type: ignore[no-any-return]


def sender(request: Request, *, takes_shadows: bool = False) -> Caller:
    """Who sent the request. Raises ``Problem`` when API Gateway names nobody, or somebody who may not send it.

    A shadow request changes nothing, so no route takes one that does not say so (``takes_shadows``).
    """
    if request.caller is None:
        raise Problem("caller_unknown")
    caller = shadow.in_whose_name(request, request.caller)
    if caller.shadow_of is not None and not takes_shadows:
        raise Problem("shadow_not_allowed")
    return caller


def _answer(found: Sequence[tuple[Route, Mapping[str, str]]], request: Request, context: Any) -> Answer:
    """``found``: the routes of the request's path, with the values in it."""
    try:
        if not found:
            raise Problem("route_unknown")
        for route, values in found:
            if route.method == request.method:
                return route.answer(request, values, context)
        raise Problem("method_not_allowed")
    except Problem as problem:
        return problem_answer(problem, request)
    except InvalidField as invalid:
        return problem_answer(contract.invalid_field(invalid), request)
    except Refused as refused:
        return problem_answer(Problem(refused.code), request)
    except Unavailable as unavailable:
        logger.warning("dependency unavailable", dependency=unavailable.dependency, cause=repr(unavailable.__cause__))
        return problem_answer(Problem("unavailable", retry_after=_RETRY_AFTER_SECONDS), request)
    except Exception:
        logger.exception("request failed")
        return problem_answer(Problem("internal"), request)


def _log_fields(answer: Answer) -> dict[str, Any]:
    """The fields of the answer for the log line, without customer and card data."""
    keys = ("transaction_id", "type", "valid", "decision", "score", "reasons")
    found = {key: answer.body[key] for key in keys if key in answer.body}
    if "status" in answer.body and answer.status == 201:
        found["outcome"] = answer.body["status"]
    return found
