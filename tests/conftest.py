"""Fixtures of every test."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from pipeline import git
from tests.shared import Shared

# A git hook that runs the tests hands its repository down in variables: the tests would commit to it.
for name in os.environ.keys() - git.environment().keys():
    del os.environ[name]

# No deadlines, because a busy machine must not fail a test. The rest of Hypothesis's profile (it detects CI) is kept.
settings.register_profile("without deadlines", settings(), deadline=None)
settings.load_profile("without deadlines")


@pytest.fixture(autouse=True, scope="session")
def interrupts_work() -> Iterator[None]:
    """Make interrupts work in the processes that tests start. In the background of a script, or under nohup, these
    would inherit SIG_IGN. Handlers are not inherited."""
    hang_up = signal.getsignal(signal.SIGHUP)
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    if hang_up is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    yield
    signal.signal(signal.SIGINT, former)
    signal.signal(signal.SIGHUP, hang_up)


@pytest.fixture(autouse=True, scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> None:
    """The processes of pytest-xdist have folders of their own in that of the run."""
    own = tmp_path_factory.getbasetemp()
    Shared.folder = own if worker_id == "master" else own.parent
