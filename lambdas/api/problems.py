"""Errors as RFC 9457 problem details, with stable type URIs and without values that the client sent."""

from dataclasses import dataclass
from typing import Any, Final

_TYPE_PREFIX: Final = "urn:problem-type:payments:"

_PROBLEMS: Final[dict[str, tuple[int, str]]] = {
    "body_missing": (400, "The request has no body"),
    "body_not_json": (400, "The body is not JSON in UTF-8"),
    "body_shape": (400, "The body is not what the contract says"),
    "idempotency_key_missing": (400, "The Idempotency-Key header is missing"),
    "idempotency_key_malformed": (400, "The Idempotency-Key header is malformed"),
    "caller_unknown": (403, "The caller is not known"),
    "route_unknown": (404, "There is no such route"),
    "method_not_allowed": (405, "The route takes POST only"),
    "request_in_flight": (409, "A request with this idempotency key is being processed"),
    "body_too_large": (413, "The body is too large"),
    "media_type_unsupported": (415, "The body must be application/json"),
    "idempotency_key_reused": (422, "The idempotency key was used for another payment"),
    "amount_malformed": (422, "The amount can't be read"),
    "amount_not_positive": (422, "The amount is not positive"),
    "amount_too_precise": (422, "The amount has too many decimals"),
    "card_number_misplaced": (422, "A field holds the card number that must not"),
    "currency_unknown": (422, "The currency does not exist"),
    "currency_not_accepted": (422, "The currency is not accepted"),
    "internal": (500, "The request failed"),
    "unavailable": (503, "The service can't answer now"),
}
"""Status and title of each problem by its code, the last part of its type URI."""

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
        self.status, self._title = _PROBLEMS[code]
        self._faults = faults
        self.headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}

    def body(self, request_id: str) -> dict[str, Any]:
        """The problem document."""
        document: dict[str, Any] = {
            "type": _TYPE_PREFIX + self.code.replace("_", "-"),
            "title": self._title,
            "status": self.status,
            "request_id": request_id,
        }
        if self._faults:
            document["errors"] = [{"field": f.field, "code": f.code, "detail": f.detail} for f in self._faults]
        return document
