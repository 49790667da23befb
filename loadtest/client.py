"""Sends one payment request and judges the answer, over kept-alive connections (geventhttpclient, as locust's
``FastHttpUser``, without what that adds on top)."""

import errno
import socket
from dataclasses import dataclass, replace
from typing import Protocol

from gevent import ssl
from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError

from loadtest.scenario import PaymentRequest, fault
from loadtest.target import Target


class RequestSigner(Protocol):
    """What authenticates requests; see ``loadtest.signing``."""

    def headers(self, path: str, body: bytes) -> dict[str, str]: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ended. ``fault``: why it counts as an error, or ``None``. ``status`` 0: there was no answer.
    ``version``: the function version that answered. ``reconnects``: connections found closed by the server.
    ``length``: bytes of the body. ``detail``: the beginning of a wrong one."""

    fault: str | None
    status: int = 0
    version: str = ""
    reconnects: int = 0
    length: int = 0
    detail: str = ""


class PaymentClient:
    """The connections of one process to one target.

    The connection used last is used next, so a modest rate needs few connections and they never grow idle enough for
    the server to drop them. ``signer`` may be ``None``: requests then go unsigned.
    """

    def __init__(self, target: Target, signer: RequestSigner | None, *, concurrency: int, timeout: float) -> None:
        self._target, self._signer = target, signer
        self._headers = {"Host": target.host, "Content-Type": "application/json", "User-Agent": "payment-load-gate"}
        tls = {"ca_certs": target.ca_bundle} if target.ca_bundle else {}
        self._http = HTTPClient(
            target.connect_host,
            target.connect_port,
            ssl=target.tls,
            ssl_options=tls if target.tls else None,
            concurrency=concurrency,
            connection_timeout=timeout,
            network_timeout=timeout,
        )

    def send(self, request: PaymentRequest, idempotency_key: str) -> Outcome:
        """Send ``request`` and wait for its whole answer. Every failure is an outcome, none an exception."""
        path = self._target.base_path + request.route
        headers = {**self._headers, "Idempotency-Key": idempotency_key}
        if self._signer:
            headers.update(self._signer.headers(path, request.body))
        try:
            return self._exchange(request, path, headers)
        except HTTPConnectionClosed:
            # A server may close an idle connection at any moment, also this one. Every payment request may be sent
            # twice (the key makes it safe), so one fresh attempt is what a good client does. It is counted.
            pass
        except (OSError, HTTPParseError) as error:
            return Outcome(_connection_fault(error))
        try:
            return replace(self._exchange(request, path, headers), reconnects=1)
        except (OSError, HTTPParseError) as error:
            return Outcome(_connection_fault(error), reconnects=1)

    def close(self) -> None:
        self._http.close()

    def _exchange(self, request: PaymentRequest, path: str, headers: dict[str, str]) -> Outcome:
        response = self._http.request("POST", path, request.body, headers)
        body, status = response.read(), response.status_code
        wrong = fault(request, status, body)
        return Outcome(
            wrong,
            status,
            str(response.get("x-function-version") or ""),
            length=len(body),
            detail=body[:300].decode(errors="replace") if wrong else "",
        )


def _connection_fault(error: Exception) -> str:
    """A short, countable name of a failure without an answer."""
    match error:
        case socket.gaierror():
            return f"connection: host name not found ({error.strerror})"
        case ssl.SSLCertVerificationError():
            return f"connection: certificate refused ({error.verify_message})"
        case TimeoutError():
            return "timeout"
        case OSError(errno=int(number)):
            return f"connection: {errno.errorcode.get(number, number)}"
        case _:
            return f"connection: {error}"
