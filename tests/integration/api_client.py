"""Calls an API of the local cloud by the URL in the stack's outputs, signed or not."""

import http.client
import json
import ssl
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

PAYMENT = {"customer_id": "load-00001", "amount": "12.50", "currency": "EUR", "card_number": "4111111111111111"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def version(self) -> str:
        """The version of the function that answered."""
        return self.headers["X-Function-Version"]


@dataclass(frozen=True)
class ApiClient:
    """``environ`` is the local cloud's; without ``credentials`` calls are unsigned."""

    environ: Mapping[str, str]
    credentials: Credentials | None

    def post(self, url: str, body: Any = PAYMENT, headers: Mapping[str, str] | None = None) -> Answer:
        target, place = urlsplit(url), urlsplit(self.environ["AWS_ENDPOINT_URL"])
        content = json.dumps(body)
        sent = {"Content-Type": "application/json", "Host": str(target.hostname), "Idempotency-Key": str(uuid.uuid4())}
        sent |= headers or {}
        if self.credentials:
            request = AWSRequest("POST", url, data=content, headers=sent)
            SigV4Auth(self.credentials, "execute-api", "us-east-1").add_auth(request)
            sent = dict(request.headers)
        trust = ssl.create_default_context(cafile=self.environ["AWS_CA_BUNDLE"])
        connection = http.client.HTTPSConnection(str(place.hostname), place.port, context=trust, timeout=60)
        try:
            connection.request("POST", target.path, content, sent)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers), json.loads(answer.read() or b"{}"))
        finally:
            connection.close()
