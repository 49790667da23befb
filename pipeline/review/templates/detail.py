"""One line of what a change does."""

from dataclasses import dataclass
from typing import Literal

Sign = Literal["+", "-", "!", " "]


@dataclass(frozen=True)
class Detail:
    """A line with its sign: added, removed, changed, or explained."""

    sign: Sign
    text: str
    alarming: bool = False
    """Such as a wildcard, or a port that is open to everyone: to be seen first."""
