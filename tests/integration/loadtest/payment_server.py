"""A small real HTTP server that answers like the payment API, with latencies that a test chooses.

    python payment_server.py PORT SCRIPT

SCRIPT is a JSON object: ``latency_ms``: answers take this long; ``slow_ms``, ``slow_every``: every so manieth answer
takes that long instead; ``stall_at``, ``stall_for``: seconds after the first request at which the whole server stands
still, and for how long; ``status``: what every answer has, or with ``fail_at`` the one of that number alone;
``closed_for``: seconds after the first request in which answers say that the stage is not open yet; ``wrong_every``:
every so manieth body is wrong; ``asleep``: so many first requests get an error of API Gateway, and
reach no function; ``capacity``: answers that may be worked on at once; ``only_route``: the others behave perfectly.
With PORT 0 it takes a free port. It prints the port, and on SIGTERM the exact latencies it injected.
"""

import asyncio
import json
import signal
import sys
import time
from typing import Any

_ANSWERS: dict[str, tuple[int, Any]] = {
    "/validate": (200, lambda sent, good: {"valid": good, "reasons": [] if good else ["declined"], "card": {}}),
    "/fraud-check": (200, lambda sent, good: {"decision": "approve", "score": 1, "reasons": []}),
    "/process": (
        201,
        lambda sent, good: {
            "transaction_id": "t-1",
            "status": "approved" if good else "declined",
            "amount": sent["amount"],
            "currency": sent["currency"],
        },
    ),
}


_TRANSACTIONS = "/transactions"


def _looked_up(target: str) -> tuple[int, Any]:
    path, _, query = target.partition("?")
    if query:
        return 200, {"transactions": [{"customer_id": query.partition("customer_id=")[2]}]}
    transaction_id = path.removesuffix("/reversal").rpartition("/")[2]
    return (201, {"transaction_id": transaction_id, "status": "voided"}) if path.endswith("/reversal") else (
        200, {"transaction_id": transaction_id}
    )  # fmt: skip


class PaymentServer:
    def __init__(self, script: dict[str, Any]) -> None:
        self._script = script
        self._count = 0
        self._began: float | None = None
        self._places = asyncio.Semaphore(script.get("capacity", 1_000_000))

    async def serve(self, port: int) -> None:
        server = await asyncio.start_server(self._connection, "127.0.0.1", port, backlog=1024)
        print(server.sockets[0].getsockname()[1], flush=True)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                arrived = time.perf_counter()
                headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if head.lower().count("\r\nhost: ") != 1:  # RFC 9112, 3.2
                    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                    continue
                path = head.split(" ", 2)[1].partition("?")[0]
                route = _TRANSACTIONS if _TRANSACTIONS in path else path[path.rindex("/") :]
                status, answer = await self._answer(route, body, arrived, head.split(" ", 2)[1])
                text = json.dumps(answer).encode()
                version = f"X-Function-Version: {self._script.get('version', '1')}\r\n"
                if self._count <= self._script.get("asleep", 0):
                    status, text, version = 500, b'{"message": "Internal server error"}', ""
                writer.write(
                    f"HTTP/1.1 {status} Answer\r\nContent-Type: application/json\r\n"
                    f"{version}Content-Length: {len(text)}\r\n\r\n".encode()
                    + text
                )
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()

    async def _answer(self, route: str, body: bytes, arrived: float, target: str) -> tuple[int, Any]:
        script = self._script
        self._began = self._began or arrived
        self._count += 1
        number = self._count
        if not script.get("only_route") or script["only_route"] == route:
            async with self._places:
                await self._sleep_until(arrived if "capacity" not in script else time.perf_counter(), number)
            if arrived - self._began < script.get("closed_for", 0.0):
                return 503, {"type": "urn:problem-type:payments:closed", "status": 503}
            if number % script.get("wrong_every", sys.maxsize) == 0:
                return _ANSWERS.get(route, (200, None))[0], {"surprise": True}
            if "status" in script and number == script.get("fail_at", number):
                return script["status"], {"message": "as the script says"}
        if route == _TRANSACTIONS:
            return _looked_up(target)
        status, make = _ANSWERS[route]
        sent = json.loads(body)
        within_limit = sent["amount"] <= (1_500_000 if sent["currency"] == "JPY" else 8_000)
        good = within_limit and not sent["customer_id"].startswith("load-9") and _passes_luhn(sent["card_number"])
        return status, make(sent, good)

    async def _sleep_until(self, begin: float, number: int) -> None:
        script = self._script
        slow = number % script.get("slow_every", sys.maxsize) == 0
        latency = script["slow_ms"] if slow else script.get("latency_ms", 0)
        due = begin + latency / 1000
        if "stall_at" in script and self._began is not None:
            stall_begin = self._began + script["stall_at"]
            stall_end = stall_begin + script["stall_for"]
            if begin < stall_end and due > stall_begin:
                due = max(due, stall_end)
        while (early := due - time.perf_counter()) > 0:
            await asyncio.sleep(early)


def _passes_luhn(card_number: str) -> bool:
    digits = [int(digit) for digit in reversed(card_number)]
    return (sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0


if __name__ == "__main__":
    asyncio.run(PaymentServer(json.loads(sys.argv[2])).serve(int(sys.argv[1])))
