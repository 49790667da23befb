"""How the commands of the migration end."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Every command ends with one of these (docs/exit-codes.md)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    INCONCLUSIVE = 3
    UNAVAILABLE = 4


class Failed(Exception):
    """What was asked did not come out as it should: rows rejected, sides that differ. The message says what."""


class Inconclusive(Exception):
    """Nothing is proven, neither that it is right nor that it is wrong. The message says what is missing."""


class Unavailable(Exception):
    """The platform or the old system did not answer, or the environment has no migration. Nothing was changed."""
