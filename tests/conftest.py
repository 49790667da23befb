"""What every test needs."""

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def interrupts_work() -> Iterator[None]:
    """Tests interrupt what they start. Run in the background of a script, they would hand down that it be ignored."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)
