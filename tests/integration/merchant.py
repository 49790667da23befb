"""A merchant's server: signed requests over TLS to the deployed API."""

import json
import ssl
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

PAYMENT = {
    "customer_id": "load-02000", "amount": "12.50", "currency": "EUR", "card_number": "4111111111111111",
    "client_ip": "198.18.7.208",
}  # fmt: skip
"""An ordinary payment of a synthetic customer, which each route answers with success."""


@dataclass(frozen=True)
class Reply:
    """An answer. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def body(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.text)
        return document

    @property
    def version(self) -> str:
        """The version of the function that answered."""
        return self.headers["x-function-version"]


class Merchant:
    """Calls the API at ``url`` (an output of the stack) in the local cloud.

    It signs with ``credentials``, or else as the caller that ``environ`` names.
    """

    def __init__(self, url: str, environ: Mapping[str, str], credentials: Credentials | None = None) -> None:
        self._url, self._endpoint = url.rstrip("/"), environ["AWS_ENDPOINT_URL"]
        own = Credentials(environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"])
        self._credentials = credentials or own
        self.sign_for("execute-api", environ["AWS_DEFAULT_REGION"])
        trust = ssl.create_default_context(cafile=environ["AWS_CA_BUNDLE"])
        self._pool = urllib3.PoolManager(ssl_context=trust, maxsize=20)

    def sign_for(self, service: str, region: str) -> None:
        """Sign the requests that follow for another scope than that of the API."""
        self._signer = SigV4Auth(self._credentials, service, region)

    def pay(self, route: str) -> Reply:
        """An ordinary request."""
        return self.post(route, PAYMENT, key=str(uuid.uuid4()))

    def get(self, route: str, **query: str) -> Reply:
        """``query``: the parameters, by name."""
        return self.send("GET", f"{route}?{urlencode(sorted(query.items()))}" if query else route, {}, b"")

    def post(self, route: str, body: Any, *, key: str | None = None, signed: bool = True) -> Reply:
        """``body``: an object to send as JSON, or a text to send as it is. ``key``: the Idempotency-Key."""
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        content = body if isinstance(body, str) else json.dumps(body)
        return self.send("POST", route, headers, content.encode(), signed=signed)

    def send(
        self, method: str, route: str, headers: Mapping[str, str], content: bytes, *, signed: bool = True
    ) -> Reply:
        """Any request."""
        public = urlsplit(self._url + route)
        request = AWSRequest(method, self._url + route, data=content, headers={"Host": public.netloc, **headers})
        if signed:
            self._signer.add_auth(request)
        answer = self._pool.request(
            method,
            self._endpoint + public.path + (f"?{public.query}" if public.query else ""),
            body=content,
            headers=dict(request.headers),
            retries=False,
            timeout=30,
        )
        names = {name.lower(): value for name, value in answer.headers.items()}
        return Reply(answer.status, names, answer.data.decode())
