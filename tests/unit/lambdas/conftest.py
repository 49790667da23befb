"""Tests of the functions' code, one after the other in one process."""

import pytest

from lambdas.adapters import deadline


@pytest.fixture(autouse=True)
def no_earlier_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a request that an earlier test made does not end the calls of this one."""
    monkeypatch.setattr(deadline, "_ends_at", float("inf"))


@pytest.fixture(autouse=True)
def metrics_as_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that the stack sets, without which nothing is counted."""
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Payments")
