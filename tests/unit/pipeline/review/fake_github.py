"""A fake of the part of GitHub's REST API that publishing a review uses. It answers and refuses like GitHub."""

import base64
import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

REPOSITORY = "example/payment-pipeline"
TOKEN = "t0ken"
BOT = "github-actions[bot]"
RUN = 7


class FakeGitHub:
    """The server's state. A test sets it before and reads it after."""

    def __init__(self) -> None:
        self.url = ""
        self.run: dict[str, Any] = {}
        self.branches: dict[str, str] = {}
        """The commit of each."""
        self.pull_requests: list[dict[str, Any]] = []
        self.artifacts: dict[str, bytes] = {}
        """The archives that the run left, by their time of creation."""
        self.changed: list[dict[str, Any]] = []
        """Files of every pull request."""
        self.storage = 302
        """The status of the answer for an artifact. 0: no answer."""
        self.comments: list[dict[str, Any]] = []
        self.refused = ""
        """Comments with this text are refused."""
        self.alerts: list[dict[str, Any]] = []
        """The uploads, with their SARIF unpacked."""
        self.statuses: list[dict[str, Any]] = []
        """The commit statuses, each with its ``sha``."""
        self.review_decision: str | None = "REVIEW_REQUIRED"
        self.approvals: list[tuple[str, str]] = []
        """Who has approved which commit. The author of every pull request is ``author``."""
        self.code_scanning = 202
        """The status of the answer to an upload."""

    def say(self, login: str | None, body: str, pull_request: int) -> None:
        user = login and {"login": login}
        self.comments.append({"id": len(self.comments) + 1, "user": user, "body": body, "on": pull_request})

    def answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:  # noqa: C901 - one case for each route
        parts = [path] if path == "/graphql" else path.removeprefix(f"/repos/{REPOSITORY}/").split("/")
        match [method, *parts]:
            case ["GET", "actions", "runs", run] if int(run) == RUN:
                return 200, self.run
            case ["GET", "actions", "runs", run, "artifacts"] if int(run) == RUN:
                times = self.artifacts if query["name"] == "review" else {}
                return 200, {"artifacts": [{"id": id, "created_at": time} for id, time in enumerate(times)]}
            case ["GET", "git", "ref", "heads", branch] if branch in self.branches:
                return 200, {"ref": f"refs/heads/{branch}", "object": {"sha": self.branches[branch]}}
            case ["GET", "pulls", _, "files"]:
                return 200, self._page(self.changed, query)
            case ["GET", "pulls"]:
                return 200, self._page([each for each in self.pull_requests if _selected(each, query)], query)
            case ["GET", "issues", number, "comments"]:
                return 200, self._page([each for each in self.comments if each["on"] == int(number)], query)
            case ["POST" | "PATCH", "issues", *_] if self.refused and self.refused in body["body"]:
                return 422, {"message": "Validation Failed"}
            case ["POST", "issues", number, "comments"] if len(body["body"]) <= 65_536:
                self.say(BOT, body["body"], int(number))
                return 201, {}
            case ["PATCH", "issues", "comments", id] if len(body["body"]) <= 65_536:
                self.comments[int(id) - 1]["body"] = body["body"]
                return 200, {}
            case ["POST", "statuses", sha] if len(body["description"]) <= 140:
                self.statuses.append({**body, "sha": sha})
                return 201, {}
            case ["POST", "/graphql"] if body["variables"]["owner"] == REPOSITORY.partition("/")[0]:
                nodes = [{"commit": {"oid": sha}, "author": {"login": who}} for who, sha in self.approvals]
                said = {
                    "reviewDecision": self.review_decision,
                    "author": {"login": "author"},
                    "reviews": {"nodes": nodes},
                }
                return 200, {"data": {"repository": {"pullRequest": said}}}
            case ["POST", "code-scanning", "sarifs"]:
                if self.code_scanning == 202:
                    log = json.loads(gzip.decompress(base64.b64decode(body["sarif"])))
                    self.alerts.append({**body, "sarif": log})
                return self.code_scanning, {"message": "as asked"}
        return 404, {"message": f"no {method} {path}"}

    @staticmethod
    def _page(items: list[Any], query: dict[str, str]) -> list[Any]:
        size, number = int(query.get("per_page", 30)), int(query.get("page", 1))
        return items[size * (number - 1) : size * number]


def _selected(pull_request: dict[str, Any], query: dict[str, str]) -> bool:
    head = pull_request["head"]
    return query == query | {
        "state": pull_request["state"],
        "base": pull_request["base"]["ref"],
        "head": f"{head['repo']['owner']['login']}:{head['ref']}",
    }


@contextmanager
def serving() -> Iterator[FakeGitHub]:
    github = FakeGitHub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._handle()

        do_POST = do_PATCH = do_GET

        def _handle(self) -> None:
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or b"{}")
            token = self.headers["Authorization"]
            if url.path.startswith("/storage/"):  # in reality another host, which refuses GitHub's token
                content = list(github.artifacts.values())[int(url.path.split("/")[-1])]
                self._send(400 if token else 200, content)
            elif token != f"Bearer {TOKEN}":
                self._send(401, b"{}")
            elif artifact := re.fullmatch(f"/repos/{REPOSITORY}/actions/artifacts/(.*)/zip", url.path):
                self._send(github.storage, b"", location=f"{github.url}/storage/{artifact[1]}")
            else:
                status, answer = github.answer(self.command, url.path, query, body)
                self._send(status, json.dumps(answer).encode())

        def _send(self, status: int, content: bytes, location: str | None = None) -> None:
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        github.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield github
        server.shutdown()
