"""Sampled requests send X-Ray documents to the daemon, without the messages of errors."""

import json
import socket
from collections.abc import Iterator

import pytest

from lambdas.adapters import tracing

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled="


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.setblocking(False)
        monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", f"127.0.0.1:{listening.getsockname()[1]}")
        yield listening


def test_a_sampled_call_becomes_a_subsegment_of_the_function(
    daemon: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", TRACE + "1")

    def fail() -> None:
        with tracing.span("transactions") as span:
            span.put_annotation("ColdStart", True)
            raise ValueError("4111111111111111")

    with pytest.raises(ValueError, match="4111"):
        fail()
    header, _, document = daemon.recv(65536).partition(b"\n")
    assert json.loads(header) == {"format": "json", "version": 1}
    sent = json.loads(document)
    assert (sent["name"], sent["type"], sent["fault"]) == ("transactions", "subsegment", True)
    assert (sent["trace_id"], sent["parent_id"]) == ("1-5759e988-bd862e3fe1be46a994272793", "53995c3f42cd8ad8")
    assert sent["end_time"] >= sent["start_time"]
    assert "4111111111111111" not in document.decode()


@pytest.mark.parametrize("header", [TRACE + "0", "", "nonsense"])
def test_a_request_that_is_not_sampled_sends_nothing(
    header: str, daemon: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", header)
    with tracing.span("transactions"):
        pass
    with pytest.raises(BlockingIOError):
        daemon.recv(65536)
