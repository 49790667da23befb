"""The controller is driven through thousands of releases here, most of them with the same requests."""

from collections.abc import Iterator
from functools import cache

import pytest

from pipeline.release import analysis


@pytest.fixture(autouse=True, scope="session")
def statistics_are_computed_once() -> Iterator[None]:
    """They depend on their arguments alone, and scipy takes a millisecond for each."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("more_errors", "slower", "highest_plausible_rate"):
            patch.setattr(analysis, name, cache(getattr(analysis, name)))
        yield
