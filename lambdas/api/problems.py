"""Errors as RFC 9457 problem details, with stable type URIs and without values that the client sent."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_FILE: Final[dict[str, Any]] = json.loads(Path(__file__).with_name("problems.json").read_bytes())
"""Each problem of the API by its code, the last part of its type URI. API Gateway's own answers come from it too."""
_PROBLEMS: Final = {code.replace("-", "_"): problem for code, problem in _FILE["functions"].items()}
CODES: Final = tuple(_PROBLEMS)


@dataclass(frozen=True, slots=True)
class Fault:
    """One faulty field. ``field`` is a JSON pointer into the body, or a header's name."""

    field: str
    code: str
    detail: str


class Problem(Exception):
    """An error answer."""

    def __init__(self, code: str, *faults: Fault, retry_after: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.status: int = _PROBLEMS[code]["status"]
        self._faults = faults
        self.headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}

    def body(self, request_id: str) -> dict[str, Any]:
        """The problem document."""
        document: dict[str, Any] = {
            "type": _FILE["type_prefix"] + self.code.replace("_", "-"),
            "title": _PROBLEMS[self.code]["title"],
            "status": self.status,
            "request_id": request_id,
        }
        if self._faults:
            document["errors"] = [{"field": f.field, "code": f.code, "detail": f.detail} for f in self._faults]
        return document
