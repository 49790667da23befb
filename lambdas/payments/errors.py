"""What can be wrong with a payment before it is one, and what can be wrong around it."""


class InvalidField(ValueError):
    """A field of the request can't be what it says. ``code`` is stable; ``detail`` never holds the field's value."""

    def __init__(self, field: str, code: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field
        self.code = code
        self.detail = detail


class Unavailable(Exception):
    """A dependency can't serve now; nothing was decided, and the same request may be sent again."""

    def __init__(self, dependency: str) -> None:
        super().__init__(f"{dependency} is unavailable")
        self.dependency = dependency


class KeyReused(Exception):
    """The idempotency key was used before, for another payment."""


class InFlight(Exception):
    """The first request with this idempotency key is still being processed."""
