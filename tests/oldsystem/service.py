"""The old system's payment service: it takes the platform's requests, and decides them on its own database.

    python -m tests.oldsystem.service postgresql://… --port 8080 --record requests.jsonl

It prints its port, and ends on SIGTERM. Merchants name themselves by the header ``X-Merchant``, as they may behind a
private line; requests without it are those of ``--merchant``. The rules are the platform's, as far as one payment alone
decides by them: what customers and cards did lately it does not count.

``--record`` appends every decision in the form that ``python -m migration shadow`` replays. The file holds card
numbers, so nobody else may read it.
"""

import argparse
import json
import os
import queue
import signal
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TextIO

from pg8000.exceptions import DatabaseError

from lambdas.api import contract
from lambdas.api.problems import Problem
from lambdas.payments.customers import Customer, refusals
from lambdas.payments.errors import InvalidField
from lambdas.payments.fraud import Attempt, assess
from lambdas.payments.merchants import Merchant, merchant_refusals
from lambdas.payments.payment import Payment
from lambdas.payments.rules import shipped
from lambdas.payments.velocity import Activity, State
from migration.source import connect

_OUTCOMES = {"approve": "approved", "review": "review", "decline": "declined"}
_CONNECTIONS = 4

_PARTIES = """
SELECT m.status, m.allowed_currencies, m.limits, m.required_fields,
       c.status, c.country, c.allowed_currencies, c.payment_limits, c.spending_limits
FROM merchants m
LEFT JOIN customers c ON c.customer_id = :customer AND (m.platform_wide OR EXISTS (
    SELECT 1 FROM merchant_customers own WHERE own.merchant_id = m.merchant_id AND own.customer_id = c.customer_id))
WHERE m.merchant_id = :merchant
"""
_BOOK = """
INSERT INTO payments (payment_id, merchant_id, customer_id, amount, currency, card_number, card_expiry, status, reasons,
                      merchant_reference, client_ip, country, idempotency_key)
VALUES (:id, :merchant, :customer, :amount, :currency, :card, :expiry, :status, :reasons,
        :reference, :ip, :country, :key)
ON CONFLICT (merchant_id, idempotency_key) DO UPDATE SET status = payments.status
RETURNING payment_id, status, reasons, xmax = 0
"""


class Service:
    """Decides payments and books them."""

    def __init__(self, url: str, merchant: str, record: TextIO | None, delay_seconds: float = 0.0) -> None:
        self._default_merchant = merchant
        self._delay_seconds = delay_seconds
        self._record, self._writing = record, threading.Lock()
        self._connections: queue.Queue[Any] = queue.Queue()
        for _ in range(_CONNECTIONS):
            self._connections.put(connect(url))

    def answer(self, route: str, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer to ``POST route``."""
        began = time.perf_counter()
        time.sleep(self._delay_seconds)
        try:
            document = json.loads(body, parse_float=Decimal)
            payment = Payment.parse(contract.check(document))
        except Problem as problem:
            return problem.status, problem.body("")
        except InvalidField as invalid:
            return 422, contract.invalid_field(invalid).body("")
        except ValueError:
            return 400, Problem("body_not_json").body("")
        merchant_id = headers.get("X-Merchant") or self._default_merchant
        connection = self._connections.get()
        try:
            rows = connection.run(_PARTIES, merchant=merchant_id, customer=payment.customer_id)
            if not rows or rows[0][0] != "active":
                return 403, Problem("merchant_not_active" if rows else "caller_unknown").body("")
            refused, found = self._decided(
                payment, _merchant(merchant_id, *rows[0][:4]), _customer(payment, *rows[0][4:])
            )
            status, reasons = "declined" if refused else _OUTCOMES[found.decision], (*refused, *found.reasons)
            if route == "/validate":
                return 200, {"valid": not refused, "reasons": refused}
            if route == "/fraud-check":
                return 200, {"decision": found.decision, "score": found.score, "reasons": found.reasons}
            key = headers.get("Idempotency-Key", str(uuid.uuid4())).strip('"')
            [[payment_id, status, text, is_new]] = connection.run(
                _BOOK, id=f"old-{uuid.uuid4().hex}", merchant=merchant_id, customer=payment.customer_id,
                amount=str(payment.money), currency=payment.money.currency.code, card=document["card_number"],
                expiry=payment.card_expiry, status=status, reasons=",".join(reasons), key=key,
                reference=payment.merchant_reference, ip=payment.client_ip, country=payment.country,
            )  # fmt: skip
        finally:
            self._connections.put(connection)
        reasons = tuple(each for each in text.split(",") if each)
        if is_new:
            self._note(document, merchant_id, status, reasons, time.perf_counter() - began)
        return 201, {
            "transaction_id": payment_id,
            "status": status,
            "amount": str(payment.money),
            "currency": payment.money.currency.code,
            "card": {"brand": payment.card_number.brand, "last4": payment.card_number.last4},
            "reasons": reasons,
            "request_id": str(uuid.uuid4()),
        }

    def _decided(self, payment: Payment, merchant: Merchant, customer: Customer | None) -> tuple[tuple[str, ...], Any]:
        now = datetime.now(UTC)
        attempt = Attempt(
            customer_id=payment.customer_id, card_names=("card",), money=payment.money, country=payment.country
        )
        refused = (*refusals(payment, customer, now), *merchant_refusals(payment, attempt.base_minor, merchant, 0))
        nothing = Activity.of([State(key="nothing")] * 3)
        return refused, assess(attempt, customer, nothing, frozenset(), shipped(), now)

    def _note(self, document: Any, merchant_id: str, status: str, reasons: tuple[str, ...], seconds: float) -> None:
        if self._record is None:
            return
        line = {
            "at": datetime.now(UTC).isoformat(), "merchant_id": merchant_id, "request": document, "decision": status,
            "reasons": reasons, "latency_ms": round(1000 * seconds, 3),
        }  # fmt: skip
        with self._writing:
            self._record.write(json.dumps(line, default=str) + "\n")
            self._record.flush()


def _merchant(merchant_id: str, status: str, currencies: str, limits: str, required: str) -> Merchant:
    return Merchant(
        merchant_id=merchant_id, status=status, allowed_currencies=_list(currencies), limits=json.loads(limits),
        required_fields=_list(required),
    )  # fmt: skip


def _customer(payment: Payment, status: str | None, *values: str) -> Customer | None:
    if status is None:
        return None
    country, currencies, payment_limits, spending_limits = values
    return Customer(
        customer_id=payment.customer_id, status=status, country=country, allowed_currencies=_list(currencies),
        payment_limits=json.loads(payment_limits), spending_limits=json.loads(spending_limits),
    )  # fmt: skip


def _list(text: str) -> frozenset[str]:
    return frozenset(each for each in text.split(",") if each)


def server(service: Service, port: int = 0) -> ThreadingHTTPServer:
    """A server of ``service`` on loopback; ``port`` 0: on a free one. Clients may keep their connections."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            route = "/" + self.path.rstrip("/").rpartition("/")[2]  # the platform's paths begin with a stage
            if route not in ("/validate", "/fraud-check", "/process"):
                status, answer = 404, Problem("route_unknown").body("")
            else:
                status, answer = self._answered(route, body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _answered(self, route: str, body: bytes) -> tuple[int, dict[str, Any]]:
            try:
                return service.answer(route, self.headers, body)
            except DatabaseError:
                return 503, Problem("unavailable").body("")

        def log_message(self, format: str, *args: Any) -> None:
            """No log: the requests are in the database."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="the database: postgresql://…")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--merchant", default="m-001", help="of requests that name none")
    parser.add_argument("--record", type=Path, help="append decisions here, for `python -m migration shadow`")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that an answer takes longer, as old ones do")
    options = parser.parse_args()
    record = private_file(options.record) if options.record else None
    serving = server(Service(options.source, options.merchant, record, options.delay), options.port)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=serving.shutdown).start())
    print(serving.server_address[1], flush=True)
    serving.serve_forever()


def private_file(path: Path) -> TextIO:
    """Opens ``path`` to append to, readable by nobody else."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a")


if __name__ == "__main__":
    main()
