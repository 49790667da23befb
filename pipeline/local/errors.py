"""The errors that end a local promotion, each with its exit code."""

from enum import IntEnum


class ExitCode(IntEnum):
    OK = 0
    FAILED = 1
    BAD_INPUT = 2
    BUSY = 3
    INTERRUPTED = 130


class PromotionError(Exception):
    """A person must act. The message says what is wrong and what to do."""

    exit_code = ExitCode.FAILED
    shown = False
    """Whether the console has shown the message already."""
    headline = ""
    """Where the promotion ended, and why."""


class BadInput(PromotionError):
    """The command cannot be carried out as it was given."""

    exit_code = ExitCode.BAD_INPUT


class Busy(PromotionError):
    """Another promotion holds the lock."""

    exit_code = ExitCode.BUSY


class StepFailed(PromotionError):
    """A step of the promotion failed."""
