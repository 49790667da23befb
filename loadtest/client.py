"""Sends one payment request and judges the answer, over kept-alive connections.

It uses geventhttpclient directly. locust's ``FastHttpUser`` uses it too, but adds cost to each request."""

import errno
import re
import socket
from dataclasses import dataclass, replace
from typing import Protocol

from gevent import ssl
from geventhttpclient.connectionpool import ConnectionPool, SSLConnectionPool
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError, HTTPSocketPoolResponse

from loadtest.faults import Fault, FaultKind
from loadtest.scenario import PaymentRequest, approved, fault
from loadtest.target import Target


class RequestSigner(Protocol):
    """Makes the headers that authenticate requests; see ``loadtest.signing``."""

    def headers(self, method: str, path: str, body: bytes) -> dict[str, str]: ...


@dataclass(frozen=True, slots=True)
class PaymentOutcome:
    """How a request ended. ``fault``: ``None`` if the answer was right. ``status`` 0: there was no answer.
    ``version``: the function version that answered. ``reconnects``: connections found closed by the server.
    ``length``: bytes of the body. ``detail``: the beginning of a wrong one. ``processor``: seconds of processor time
    that the function took; candidates tell it. ``approved``: the id of a payment that was approved."""

    fault: Fault | None
    status: int = 0
    version: str = ""
    reconnects: int = 0
    length: int = 0
    detail: str = ""
    processor: float | None = None
    approved: str | None = None


class PaymentClient:
    """The connections of one process to one target.

    The connection used last is used next, so a modest rate needs few connections and they never grow idle enough for
    the server to drop them. ``signer`` may be ``None``: requests then go unsigned. Of geventhttpclient it uses the
    connection pool and the parser; its ``HTTPClient`` takes a third of a request's cost for header merging that a
    fixed request doesn't need.
    """

    def __init__(self, target: Target, signer: RequestSigner | None, *, concurrency: int, timeout: float) -> None:
        self._base_path, self._signer = target.base_path, signer
        self._head = f"Host: {target.host}\r\nContent-Type: application/json\r\nUser-Agent: payment-load-gate\r\n"
        host, port = target.connect_host, target.connect_port
        if target.tls:
            trust = {"ca_certs": target.ca_bundle} if target.ca_bundle else None
            self._pool: ConnectionPool = SSLConnectionPool(host, port, host, port, size=concurrency, ssl_options=trust)
        else:
            self._pool = ConnectionPool(host, port, host, port, size=concurrency)
        self._pool.connection_timeout = self._pool.network_timeout = timeout

    def send(self, request: PaymentRequest, idempotency_key: str) -> PaymentOutcome:
        """Send ``request`` and wait for its whole answer. Every failure is an outcome, none an exception."""
        path = self._base_path + request.target
        signature = self._signer.headers(request.method, path, request.body) if self._signer else {}
        headers = "".join(f"{name}: {value}\r\n" for name, value in signature.items())
        message = (
            f"{request.method} {path} HTTP/1.1\r\n{self._head}{headers}Idempotency-Key: {idempotency_key}\r\n"
            f"Content-Length: {len(request.body)}\r\n\r\n"
        ).encode("latin-1") + request.body
        try:
            return self._exchange(request, message)
        except HTTPConnectionClosed:
            # A server may close an idle connection at any moment. The idempotency key makes a second attempt safe, so a
            # good client tries once more on a new connection. The attempt is counted.
            pass
        except (OSError, HTTPParseError) as error:
            return PaymentOutcome(_connection_fault(error))
        try:
            return replace(self._exchange(request, message), reconnects=1)
        except (OSError, HTTPParseError) as error:
            return PaymentOutcome(_connection_fault(error), reconnects=1)

    def close(self) -> None:
        self._pool.close()

    def _exchange(self, request: PaymentRequest, message: bytes) -> PaymentOutcome:
        connection = self._pool.get_socket()
        try:
            connection.sendall(message)
        except ConnectionError as error:
            self._pool.release_socket(connection)
            raise HTTPConnectionClosed(str(error)) from error
        except BaseException:
            self._pool.release_socket(connection)
            raise
        response = HTTPSocketPoolResponse(connection, self._pool, method=request.method)  # it gives the connection back
        body, status = response.read(), response.status_code
        wrong = fault(request, status, body)
        return PaymentOutcome(
            wrong,
            status,
            str(response.get("x-function-version") or ""),
            length=len(body),
            detail=body[:300].decode(errors="replace") if wrong else "",
            processor=processor_seconds(str(response.get("server-timing") or "")),
            approved=None if wrong else approved(request, body),
        )


def processor_seconds(server_timing: str) -> float | None:
    """The processor time in a Server-Timing header (W3C), which gives milliseconds; ``None`` if it has none."""
    found = re.search(r"\bcpu;dur=(\d+(?:\.\d+)?)", server_timing)
    return float(found[1]) / 1000 if found else None


def _connection_fault(error: Exception) -> Fault:
    """The failure of a request without an answer."""
    if isinstance(error, TimeoutError):
        return Fault(FaultKind.TIMEOUT, "timeout")
    return Fault(FaultKind.NO_CONNECTION, f"connection: {_reason(error)}")


def _reason(error: Exception) -> str:
    match error:
        case socket.gaierror():
            return f"host name not found ({error.strerror})"
        case ssl.SSLCertVerificationError():
            return f"certificate refused ({error.verify_message})"
        case OSError(errno=int(number)):
            return str(errno.errorcode.get(number, number))
        case _:
            return str(error)
