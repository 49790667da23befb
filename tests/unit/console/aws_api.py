"""Clients of AWS whose calls end in this process. AWS's own models, which are part of botocore, check what is asked and
what is answered; so a test's answer can have no form that AWS's never has, and paginators and errors are the real ones.
"""

from typing import Any

import boto3
from botocore import xform_name
from botocore.validate import ParamValidator


class Answers:
    """An API: a method for each operation that a test needs, by its name in boto3, with its parameters.

    ``refused``: the error code of each operation that is refused, by its name in boto3; ``*`` for all.
    """

    def __init__(self) -> None:
        self.refused: dict[str, str] = {}
        self.forgotten = 0

    def __call__(self, service: str) -> Any:
        client = boto3.client(
            service,  # type: ignore[call-overload]
            region_name="us-east-1",
            aws_access_key_id="an-id",
            aws_secret_access_key="a-secret",
            endpoint_url="https://127.0.0.1:9",
        )
        client.meta.events.register("before-parameter-build.*", self._asked)
        client.meta.events.register("before-call.*", self._answer)
        return client

    def forget(self) -> None:
        self.forgotten += 1

    def _asked(self, params: Any, context: Any, **_: Any) -> None:
        context["asked"] = params

    def _answer(self, model: Any, context: Any, **_: Any) -> tuple[Any, Any]:
        operation = xform_name(model.name)
        if code := self.refused.get(operation, self.refused.get("*")):
            return Status(400), {
                "Error": {"Code": code, "Message": f"not allowed to {operation}"},
                "ResponseMetadata": {},
            }
        answer = getattr(self, operation)(**context["asked"])
        faults = ParamValidator().validate(answer, model.output_shape)
        assert not faults.has_errors(), f"AWS answers {operation} in another form: {faults.generate_report()}"
        return Status(200), {**answer, "ResponseMetadata": {}}


class Status:
    """Of HTTP."""

    def __init__(self, status_code: int) -> None:
        self.status_code = status_code
