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
    """Tests interrupt what they start. In the background of a script, or under nohup, they would hand down to it that
    this be ignored; what a handler ignores, they don't."""
    hang_up = signal.getsignal(signal.SIGHUP)
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    if hang_up is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    yield
    signal.signal(signal.SIGINT, former)
    signal.signal(signal.SIGHUP, hang_up)
