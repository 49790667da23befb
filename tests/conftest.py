"""What every test needs."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

# A busy machine is no failed test. What Hypothesis has chosen for where it runs (it knows CI) stays.
settings.register_profile("without deadlines", settings(), deadline=None)
settings.load_profile("without deadlines")


@pytest.fixture(autouse=True, scope="session")
def interrupts_work() -> Iterator[None]:
    """Tests interrupt what they start. Run in the background of a script, they would hand down that it be ignored."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)
