"""Errors of the payment domain: invalid requests, unavailable dependencies, misused idempotency keys."""


class InvalidField(ValueError):
    """A field of the request has an impossible value. ``code`` is stable. ``detail`` never contains the value."""

    def __init__(self, field: str, code: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field
        self.code = code
        self.detail = detail


class Unavailable(Exception):
    """A dependency is unavailable. No outcome was given; the client may repeat the same request."""

    def __init__(self, dependency: str) -> None:
        super().__init__(f"{dependency} is unavailable")
        self.dependency = dependency


class KeyReused(Exception):
    """The idempotency key was used before, for another payment."""


class InFlight(Exception):
    """The first request with this idempotency key is still being processed."""


class Refused(Exception):
    """The request is well formed, and may not be granted. ``code`` names the problem."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class CallerRefused(Refused):
    """The caller belongs to no merchant, or to one that may not pay, or has another role than the request needs."""
