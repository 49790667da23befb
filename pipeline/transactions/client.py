"""The API's routes under ``/transactions``, called in a role of people."""

import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import boto3
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from environments import Environment
from names import Function, Staff
from pipeline import aws

_SECONDS = 30
"""API Gateway gives up after 29."""


@dataclass(frozen=True)
class Reply:
    """An answer of the API."""

    status: int
    body: Any
    """The JSON document; ``None`` for another body."""


class SignedApi:
    """Sends signed requests to the API at ``url``, an output of the stack. Several threads may use it."""

    def __init__(
        self, url: str, credentials: Credentials, environ: Mapping[str, str] = os.environ, *, connections: int = 1
    ) -> None:
        self._url = url.rstrip("/")
        public = urlsplit(self._url)
        self._host = public.netloc
        # A local cloud is reached at its endpoint, under the name that AWS would have.
        self._base = environ.get("AWS_ENDPOINT_URL") or f"{public.scheme}://{public.netloc}"
        self._signer = SigV4Auth(credentials, "execute-api", public.netloc.split(".")[2])
        trust = ssl.create_default_context(cafile=environ.get("AWS_CA_BUNDLE"))
        self._pool = urllib3.PoolManager(ssl_context=trust, maxsize=connections)

    def send(
        self, method: str, target: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """``target``: path and query. Raises ``urllib3.exceptions.HTTPError`` when no answer comes."""
        content = json.dumps(body).encode() if body is not None else b""
        sent = {"Host": self._host, **({"Content-Type": "application/json"} if body is not None else {})}
        url = f"{self._url}{target}"
        request = AWSRequest(method, url, data=content, headers={**sent, **(headers or {})})
        self._signer.add_auth(request)
        public = urlsplit(url)
        answer = self._pool.request(
            method,
            f"{self._base}{public.path}{f'?{public.query}' if public.query else ''}",
            body=content,
            headers=dict(request.headers),
            retries=False,
            timeout=_SECONDS,
        )
        try:
            return Reply(answer.status, json.loads(answer.data))
        except ValueError:
            return Reply(answer.status, None)


class Client(SignedApi):
    """The routes."""

    def search(self, **query: str) -> Reply:
        """``query``: the parameters of the contract."""
        return self._send("GET", f"?{urlencode(sorted(query.items()))}")

    def get(self, transaction_id: str) -> Reply:
        return self._send("GET", f"/{transaction_id}")

    def decide(self, transaction_id: str, decision: str, reason: str) -> Reply:
        return self._send("POST", f"/{transaction_id}/decision", {"decision": decision, "reason": reason})

    def reverse(self, transaction_id: str, wish: Mapping[str, str], key: str) -> Reply:
        return self._send("POST", f"/{transaction_id}/reversal", wish, {"Idempotency-Key": key})

    def _send(
        self, method: str, target: str, body: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        return self.send(method, f"{Function.TRANSACTIONS.path}{target}", body, headers)


def client_of(environment: Environment, staff: Staff) -> Client:
    """A client of the platform of ``environment`` in the role ``staff``, which the caller must be allowed to assume.

    The session is named after the caller: where approvals need four eyes, the role asks for the name of an IAM user.
    Raises ``PlatformNotDeployed``, ``BotoCoreError`` and ``ClientError``.
    """
    session = aws.session(environment.region, environment.name)
    outputs = aws.PlatformOutputs.read(environment.stack_name, session)
    return Client(outputs["ApiGatewayUrl"], assumed(session, outputs[f"{staff.capitalize()}RoleArn"]))


def assumed(session: boto3.Session, role: str) -> Credentials:
    """Credentials of a session of ``role`` that is named after the caller. Raises ``ClientError``."""
    sts = session.client("sts")
    name = sts.get_caller_identity()["Arn"].rpartition(":")[2].rpartition("/")[2]
    granted = sts.assume_role(RoleArn=role, RoleSessionName=name)["Credentials"]
    return Credentials(granted["AccessKeyId"], granted["SecretAccessKey"], granted["SessionToken"])
