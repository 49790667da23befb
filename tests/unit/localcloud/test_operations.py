"""A short operation of CloudFormation has ended when the call is answered."""

import asyncio
import threading
from typing import Any

import pytest

from localcloud.emulator import operations

STACK = {"StackId": "arn:aws:cloudformation:us-east-1:111111111111:stack/small/1"}


async def answered(seconds: float) -> list[str]:
    """The events until the answer to a call that begins an operation of so many seconds."""
    happened: list[str] = []

    async def operation() -> None:
        await asyncio.sleep(seconds)
        happened.append("ended")

    async def handle(*request: Any) -> str:
        operations.begin(lambda: None, operation(), STACK)
        happened.append("begun")
        return "answer"

    assert await operations.answer(handle, "POST", "/") == "answer"
    return list(happened)


def test_a_short_operation_has_ended_when_the_call_is_answered() -> None:
    assert asyncio.run(answered(0.01)) == ["begun", "ended"]


def test_a_long_operation_goes_on_after_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "MOMENT_SECONDS", 0.01)
    assert asyncio.run(answered(60)) == ["begun"]


def test_what_an_operation_leaves_in_memory_is_dropped_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a call that begins an operation
    cleaned = threading.Event()
    monkeypatch.setattr(operations.memory, "clean", cleaned.set)
    # When the operation ends, then the emulator cleans up
    asyncio.run(answered(0.01))
    assert cleaned.wait(10)
