"""Answers every ``POST /validate`` at once, rightly by its card number: the least a server can do."""

import asyncio

_VERDICTS = {
    good: b'{"valid": %s, "reasons": [%s], "request_id": "r"}' % ((b"true", b"") if good else (b"false", b'"declined"'))
    for good in (True, False)
}
_ANSWERS = {
    good: b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Function-Version: 1\r\nContent-Length: %d\r\n\r\n%s"
    % (len(body), body)
    for good, body in _VERDICTS.items()
}
_DOUBLED = bytes.maketrans(b"0123456789", bytes([0, 2, 4, 6, 8, 1, 3, 5, 7, 9]))
_PLAIN = bytes.maketrans(b"0123456789", bytes(range(10)))


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._received = transport, b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(rest) >= length:
            self._transport.write(_ANSWERS[_is_good(rest[:length])])
            self._received = rest[length:]


def _is_good(body: bytes) -> bool:
    card = body.rpartition(b'"card_number":')[2].strip(b' "}')
    amount = float(body.partition(b'"amount":')[2].split(b",", 1)[0])
    luhn = sum(card[::2].translate(_DOUBLED)) + sum(card[1::2].translate(_PLAIN))
    yen = b'"JPY"' in body
    return luhn % 10 == 0 and b'"load-9' not in body and amount <= (1_500_000 if yen else 8_000)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
