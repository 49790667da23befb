"""The call of a REST API that this task serves."""

import contextvars
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ministack.core.responses import get_account_id, get_region

_STAGE_VARIABLE = re.compile(r"\$\{stageVariables\.(\w+)\}")


@dataclass(frozen=True, kw_only=True)
class Call:
    """``resource``: path of the resource in the API, not of the request; ``None`` when no method serves the request."""

    api_id: str
    stage: str
    method: str
    resource: str | None
    variables: Mapping[str, str] = field(default_factory=dict)

    def with_variables(self, text: str) -> str:
        """``text`` with each ``${stageVariables.name}`` replaced by the stage's value."""
        return _STAGE_VARIABLE.sub(lambda match: str(self.variables.get(match[1], "")), text)

    @property
    def source_arn(self) -> str:
        """How API Gateway names the call to the function that it invokes."""
        scope = f"arn:aws:execute-api:{get_region()}:{get_account_id()}:{self.api_id}"
        return f"{scope}/{self.stage}/{self.method}{self.resource or '/'}"


current_call: contextvars.ContextVar[Call] = contextvars.ContextVar("call")
