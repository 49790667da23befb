"""Answers to CloudFormation from a function that implements a custom resource."""

import json
import time
import traceback
import urllib.request
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

_ATTEMPTS = 3
_TIMEOUT_SECONDS = 10
_REASON_BYTES = 1000
"""CloudFormation refuses an answer of more than 4096 bytes. The log holds the whole error."""

Event = Mapping[str, Any]
Outcome = tuple[str, Mapping[str, str]]
"""The physical resource id and the attributes for ``Fn::GetAtt``."""


def custom_resource(act: Callable[[Event], Outcome]) -> Callable[[dict[str, Any], Any], None]:
    """Decorator: make ``act`` a Lambda handler of ``Create``, ``Update`` and ``Delete`` events.

    An exception gives a failed resource with its message. CloudFormation always gets an answer, because without one it
    waits for an hour.
    """

    @wraps(act)
    def handler(event: dict[str, Any], context: Any) -> None:
        answer = {key: event[key] for key in ("StackId", "RequestId", "LogicalResourceId")}
        try:
            physical_id, attributes = act(event)
            answer |= {"Status": "SUCCESS", "PhysicalResourceId": physical_id, "Data": attributes}
        except Exception as error:
            traceback.print_exc()
            answer |= {
                "Status": "FAILED",
                "Reason": f"{_truncated(f'{type(error).__name__}: {error}')} (log stream {context.log_stream_name})",
                "PhysicalResourceId": event.get("PhysicalResourceId", event["LogicalResourceId"]),
            }
        _send(event["ResponseURL"], json.dumps(answer, ensure_ascii=False).encode())

    return handler


def _truncated(text: str) -> str:
    return text.encode()[:_REASON_BYTES].decode(errors="ignore")


def _send(url: str, body: bytes) -> None:
    # The URL is signed for a PUT without a content type.
    request = urllib.request.Request(url, data=body, method="PUT", headers={"Content-Type": ""})  # noqa: S310
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310 - CloudFormation's own URL
                return
        except OSError:
            if attempt == _ATTEMPTS:
                raise
            time.sleep(attempt)
