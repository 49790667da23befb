"""HTTP requests from Lambda events (REST API proxy or load balancer), and the answers to them."""

import base64
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from lambdas.api.problems import Fault, Problem
from lambdas.payments.callers import Caller

_LARGEST_BODY: Final = 8 * 1024
"""Bytes. The largest valid body is under 1 KB."""

_CANDIDATE: Final = "candidate"
"""The API's stage that only the delivery pipeline may call, and what it sets as ``X-Release``."""

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9-]{8,64}")
_JSON: Final = re.compile(r"application/json(\s*;\s*charset=\"?utf-8\"?)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request."""

    method: str
    path: str
    """May begin with the stage's name."""
    query: Mapping[str, tuple[str, ...]]
    """The values of each query parameter. API Gateway has decoded them; a load balancer would not."""
    headers: Mapping[str, tuple[str, ...]]
    """The values of each header by its lower-case name."""
    caller: Caller | None
    """The signer of the request, verified by API Gateway."""
    request_id: str
    """API Gateway's request id, or the function's if that is unknown."""
    content: str | None
    content_is_base64: bool
    from_load_balancer: bool
    to_candidate: bool
    """Whether it came through the candidate's stage: from the load gate, not from a merchant."""

    @classmethod
    def of(cls, event: Mapping[str, Any], invocation_id: str) -> "Request":
        """Read an event. Behind the load balancer, caller and request id are headers. They are trusted because the
        API's integration sets them from its own context, and replaces those that the client sent."""
        context = event["requestContext"]
        headers = _headers(event)
        from_load_balancer = "elb" in context
        if from_load_balancer:
            id, arn = _only(headers.get("x-caller", ())), _only(headers.get("x-caller-arn", ()))
            forwarded = next(iter(headers.get("x-request-id", ())), "")
            request_id = forwarded if _REQUEST_ID.fullmatch(forwarded) else invocation_id
            to_candidate = headers.get("x-release") == (_CANDIDATE,)
        else:
            identity = context.get("identity") or {}
            id, arn = identity.get("caller"), identity.get("userArn")
            request_id = context.get("requestId") or invocation_id
            to_candidate = context.get("stage") == _CANDIDATE
        return cls(
            method=event["httpMethod"],
            path=event["path"],
            query={
                name: tuple(values) for name, values in (event.get("multiValueQueryStringParameters") or {}).items()
            },
            headers=headers,
            caller=Caller(id, arn) if id and arn else None,
            request_id=request_id,
            content=event.get("body"),
            content_is_base64=bool(event.get("isBase64Encoded")),
            from_load_balancer=from_load_balancer,
            to_candidate=to_candidate,
        )

    def json(self) -> Any:
        """The body. Numbers with a fraction are ``Decimal``. Raises ``Problem``."""
        media_type = self.headers.get("content-type", ("",))
        if len(media_type) != 1 or not _JSON.fullmatch(media_type[0].strip()):
            raise Problem("media_type_unsupported", Fault("Content-Type", "unsupported", "Send application/json."))
        content = self._bytes()
        if not content:
            raise Problem("body_missing")
        if len(content) > _LARGEST_BODY:
            raise Problem("body_too_large")
        try:
            return json.loads(
                content.decode(), parse_float=Decimal, parse_constant=_refuse_constant, object_pairs_hook=_object
            )
        except (ValueError, ArithmeticError, RecursionError):  # ArithmeticError: the exponent is too large for Decimal
            raise Problem("body_not_json") from None

    def _bytes(self) -> bytes:
        if self.content is None:
            return b""
        try:
            if self.content_is_base64:
                return base64.b64decode(self.content, validate=True)
            return self.content.encode()
        except ValueError:
            raise Problem("body_not_json") from None


def _only(values: tuple[str, ...]) -> str | None:
    """The only value. With two, one may be the client's own."""
    return values[0] if len(values) == 1 else None


def _headers(event: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    several = event.get("multiValueHeaders")
    if several is None:
        several = {name: [value] for name, value in (event.get("headers") or {}).items()}
    merged: dict[str, tuple[str, ...]] = {}
    for name, values in several.items():
        merged[name.lower()] = (*merged.get(name.lower(), ()), *values)
    return merged


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name occurs twice")
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP answer with a JSON body."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"

    def to_event(self, request: Request, processor_seconds: float) -> dict[str, Any]:
        """The answer as a Lambda result for the REST API and the load balancer.

        The load gate also gets the processor time of the request (W3C Server Timing), because it decides how long a
        request takes at a function's memory size. Merchants do not: it may tell which rules were applied.
        """
        headers = {
            "Content-Type": self.media_type,
            "Cache-Control": "no-store",
            "X-Request-Id": request.request_id,
            "X-Function-Version": os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", ""),
            **self.headers,
        }
        if request.to_candidate:
            headers["Server-Timing"] = f"cpu;dur={1000 * processor_seconds:.3f}"
        return {
            "statusCode": self.status,
            "multiValueHeaders": {name: [value] for name, value in headers.items()},
            "body": json.dumps(self.body, separators=(",", ":"), sort_keys=True),
            "isBase64Encoded": False,
        }


def problem_answer(problem: Problem, request: Request) -> Answer:
    return Answer(
        status=problem.status,
        body=problem.body(request.request_id),
        headers=problem.headers,
        media_type="application/problem+json",
    )
