"""What ends a local promotion, and the exit code that each kind gives."""

from enum import IntEnum


class ExitCode(IntEnum):
    OK = 0
    FAILED = 1
    BAD_INPUT = 2
    BUSY = 3
    INTERRUPTED = 130


class PromotionError(Exception):
    """Something a person must act on: the message says what is wrong and what to do."""

    exit_code = ExitCode.FAILED
    told = False
    """Whether the person has read it already."""


class BadInput(PromotionError):
    """What was asked cannot be done as asked."""

    exit_code = ExitCode.BAD_INPUT


class Busy(PromotionError):
    """Another promotion holds the lock."""

    exit_code = ExitCode.BUSY


class StepFailed(PromotionError):
    """A step of the promotion ended badly."""
