"""The failures of a request: a kind for decisions, and a text for people and for counting."""

from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    NO_CONNECTION = "no connection"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    """The server answered with an error of its own (5xx), or refused for its load (429)."""
    WRONG_ANSWER = "wrong answer"
    """A wrong status, or a wrong body."""

    @property
    def is_loss(self) -> bool:
        """Whether the client got no answer to its request; a wrong answer is one."""
        return self is not FaultKind.WRONG_ANSWER


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a request counts as an error. Requests with the same ``text`` are counted together."""

    kind: FaultKind
    text: str
