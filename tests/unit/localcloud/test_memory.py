"""The emulator cleans up while nobody asks, and never while a load is judged."""

import gc
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from ministack.core import responses

from localcloud.emulator import memory, own_api
from localcloud.settings import Settings


class Left:
    """Refers to itself, as a closed connection does."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def own_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator["weakref.ref[object]"]:
    """A client that a deployment has used, and nobody else knows."""
    monkeypatch.setattr(own_api, "_settings", Settings.generate("dev", tmp_path, 4571))
    gc.disable()
    yield weakref.ref(own_api.client("sqs", "us-east-1"))
    gc.enable()


def test_what_connections_and_deployments_leave_is_dropped(own_client: "weakref.ref[object]") -> None:
    # Given a closed connection, and the client of a deployment that is over
    left = weakref.ref(Left())
    assert left() is not None
    assert own_client() is own_api.client("sqs", "us-east-1")
    # When it is cleaned up
    memory.clean()
    # Then both are gone
    assert left() is None
    assert own_client() is None


def test_it_waits_until_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a load of a fifth of a processor for a minute, and then nothing
    used = iter([0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 12.1])
    monkeypatch.setattr(time, "process_time", lambda: next(used))
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(gc, "get_count", lambda: (0, 0, 1))
    cleaned: list[int] = []
    monkeypatch.setattr(memory, "clean", lambda: cleaned.append(len(slept)))
    # When it looks again and again
    with pytest.raises(StopIteration):
        memory._clean_for_ever()
    # Then it has cleaned up once, at the seventh look
    assert cleaned == [7]


def test_the_emulator_keeps_no_model_of_a_service_to_know_its_protocol() -> None:
    # Given MiniStack, which asks how a service says an error
    assert responses.expected_error_content_type("ec2", "application/xml") == "text/xml;charset=UTF-8"
    assert responses.expected_error_content_type("none", "application/xml") is None
    # When one looks at what it has kept of the service
    kept = vars(responses._service_model("ec2"))
    # Then there is nothing of its operations
    assert set(kept) == {"metadata"}
