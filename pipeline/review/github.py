"""The part of GitHub's REST API that publishing a review needs, with the standard library only."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from typing import Any

PAGE = 100
TIMEOUT = 30.0
"""Seconds."""


class Refused(Exception):
    """GitHub refused a request."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(f"{status}: {what}")
        self.status = status


class Repository:
    """One repository's part of the API. Paths are relative to it.

    Every method raises ``Refused`` if GitHub refuses, and ``OSError`` if it can't be reached.
    """

    def __init__(self, *, api: str, name: str, token: str) -> None:
        """``api`` is the URL of the API, ``name`` is ``owner/repository``."""
        self._url = f"{api}/repos/{name}"
        self._graphql = f"{api.removesuffix('/v3')}/graphql"  # an Enterprise Server has its two APIs beside each other
        self._name = name
        self._token = token

    def get(self, path: str, **query: str | int) -> Any:
        """The parsed JSON at ``path``."""
        return json.loads(self._call("GET", path, query=query).read())

    def pages(self, path: str, **query: str | int) -> Iterator[Any]:
        """Every item of a list."""
        number = 1
        while items := self.get(path, **query, per_page=PAGE, page=number):
            yield from items
            if len(items) < PAGE:
                return
            number += 1

    def send(self, method: str, path: str, body: dict[str, Any]) -> None:
        self._call(method, path, body=body)

    def query(self, query: str, **variables: str | int) -> Any:
        """The data of a GraphQL ``query`` with the variables ``owner`` and ``name``. Raises ``Refused``."""
        owner, _, name = self._name.partition("/")
        body = {"query": query, "variables": {"owner": owner, "name": name, **variables}}
        answer = json.loads(self._send("POST", self._graphql, body).read())
        if answer.get("errors"):
            raise Refused(200, f"GraphQL: {answer['errors']}")
        return answer["data"]

    def download(self, path: str, limit: int) -> bytes:
        """A file. Raises ``ValueError`` if it has more than ``limit`` bytes."""
        try:
            content = self._call("GET", path).read(limit + 1)
        except HTTPException as error:  # such as an answer that ends halfway
            raise OSError(f"{path}: {error!r}") from error
        if len(content) > limit:
            raise ValueError(f"it has more than {limit} bytes")
        return content

    def _call(
        self, method: str, path: str, *, query: dict[str, Any] | None = None, body: dict[str, Any] | None = None
    ) -> HTTPResponse:
        url = f"{self._url}/{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        return self._send(method, url, body)

    def _send(self, method: str, url: str, body: dict[str, Any] | None) -> HTTPResponse:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, method=method)  # noqa: S310 the runner sets it
        request.add_header("Accept", "application/vnd.github+json")
        request.add_header("X-GitHub-Api-Version", "2022-11-28")
        # For an artifact, GitHub redirects to another host. That host must not see the token.
        request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        try:
            response: HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310 the runner sets it
        except urllib.error.HTTPError as error:
            said = error.read(10_000).decode(errors="replace")
            what = url.removeprefix(f"{self._url}/").partition("?")[0]
            raise Refused(error.code, f"{method} {what}: {said}") from error
        return response
