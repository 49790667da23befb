"""CloudFormation always gets an answer, also when the resource fails."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from lambdas.deployment.custom_resource import Event, Outcome, custom_resource

CONTEXT = SimpleNamespace(log_stream_name="stream")


class ResponseUrl:
    """A fake response URL of CloudFormation."""

    def __init__(self, server: HTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_port}/"
        self.answers: list[dict[str, Any]] = []


@pytest.fixture
def response_url() -> Iterator[ResponseUrl]:
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            waiting.answers.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        waiting = ResponseUrl(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield waiting
        server.shutdown()


def event(url: str, **changes: str) -> dict[str, Any]:
    return {
        "RequestType": "Create", "StackId": "s", "RequestId": "r", "LogicalResourceId": "l", "ResponseURL": url,
    } | changes  # fmt: skip


def test_success_is_answered_with_id_and_attributes(response_url: ResponseUrl) -> None:
    @custom_resource
    def handler(sent: Event) -> Outcome:
        return "made", {"AliasArn": "arn"}

    handler(event(response_url.url), CONTEXT)
    [answer] = response_url.answers
    assert (answer["Status"], answer["PhysicalResourceId"], answer["Data"]) == ("SUCCESS", "made", {"AliasArn": "arn"})
    assert (answer["StackId"], answer["RequestId"], answer["LogicalResourceId"]) == ("s", "r", "l")


@pytest.mark.parametrize(("changes", "id_"), [({}, "l"), ({"PhysicalResourceId": "made"}, "made")])
def test_a_failure_is_answered_with_its_reason_and_keeps_the_id(
    changes: dict[str, str], id_: str, response_url: ResponseUrl
) -> None:
    @custom_resource
    def handler(sent: Event) -> Outcome:
        raise RuntimeError("no such cluster")

    handler(event(response_url.url, **changes), CONTEXT)
    [answer] = response_url.answers
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", id_)
    assert "no such cluster" in answer["Reason"]


@pytest.mark.parametrize("character", ["a", "\u00e4", "\U0001f4b3"])
def test_a_long_reason_is_cut_to_cloudformations_limit(character: str, response_url: ResponseUrl) -> None:
    @custom_resource
    def handler(sent: Event) -> Outcome:
        raise RuntimeError("migration 7: " + character * 5000)

    handler(event(response_url.url), CONTEXT)
    [answer] = response_url.answers
    assert len(json.dumps(answer, ensure_ascii=False).encode()) < 4096
    assert answer["Reason"].startswith("RuntimeError: migration 7: ")
    assert answer["Reason"].endswith("(log stream stream)")
