"""PostgreSQL behind TLS: a process that the emulator starts. It ends with the emulator, even when that is killed.

The wheel's PostgreSQL is built without OpenSSL. This process therefore terminates TLS in front of it. It refuses a
client that does not ask for TLS, as Aurora does under ``rds.force_ssl``. PostgreSQL itself listens on a private unix
socket only. When PostgreSQL is killed, it is started again on its data.

Protocol: one JSON object a line, on stdin and stdout.

- The emulator writes ``{"folder", "certificate", "key"}`` first, and gets ``{"port"}``.
- It may then write ``{"user", "password", "database"}``: gets ``{}`` once that master user and database exist.
- It may write ``{"fail_over": seconds}``: gets ``{}`` at once. A command that fails gets ``{"error"}``.
- It gets ``{"client": port}`` for each new connection, and answers ``{"client": port, "admitted": true or false}``.
- It gets ``{"status"}`` at each change: ``available``, ``failing-over`` or ``failed``.

End of input stops the server.
"""

import asyncio
import contextlib
import json
import ssl
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from localcloud.postgres import Postgres, PostgresError

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
CHUNK = 1 << 16

WATCH_SECONDS = 0.2
RESTARTS = 5
"""Attempts to start a killed server. The first ones may find its last child processes alive."""
RESTART_PAUSE_SECONDS = 1.0


class TlsFront:
    """Accepts PostgreSQL clients on 127.0.0.1, over TLS only, and connects them to the server's unix socket.

    ``admits``: whether the client at a local port may connect. Nobody answers a client that may not.
    """

    def __init__(self, socket: str, context: ssl.SSLContext, admits: Callable[[int], Awaitable[bool]]) -> None:
        self._socket = socket
        self._context = context
        self._admits = admits
        self._clients: set[asyncio.StreamWriter] = set()
        self._failing_over = False

    async def listen(self) -> int:
        """Listen on a free port, and return it."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    async def fail_over(self, seconds: float) -> None:
        """End every connection, and refuse new ones for ``seconds``."""
        self._failing_over = True
        for client in self._clients:
            client.transport.abort()
        await asyncio.sleep(seconds)
        self._failing_over = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._failing_over:
            writer.close()
            return
        self._clients.add(writer)
        try:
            if not await self._admits(writer.get_extra_info("peername")[1]):
                while await reader.read(CHUNK):
                    pass  # until the client gives up
                return
            first = await self._first_message(reader, writer)
            if first is not None:
                await self._join(first, reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # the client left, or does not speak PostgreSQL, or this process ends
        finally:
            self._clients.discard(writer)
            writer.close()

    async def _first_message(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
        """The client's first message inside TLS; ``None`` when the client does not ask for TLS."""
        encrypted = False
        while True:
            head = await reader.readexactly(8)
            length, code = struct.unpack("!II", head)
            if code == SSL_REQUEST and not encrypted:
                writer.write(b"S")
                await writer.start_tls(self._context)
                encrypted = True
            elif code in (SSL_REQUEST, GSS_REQUEST):
                writer.write(b"N")
            elif encrypted or code == CANCEL_REQUEST:
                return head + await reader.readexactly(length - len(head))
            else:
                writer.write(_error("28000", "no pg_hba.conf entry for this host, no encryption"))
                await writer.drain()
                return None

    async def _join(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self._socket)
        server_writer.write(first)
        await asyncio.gather(_pump(reader, server_writer), _pump(server_reader, writer))


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while chunk := await source.read(CHUNK):
            sink.write(chunk)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.close()


def _error(code: str, message: str) -> bytes:
    fields = b"".join(
        kind + text.encode() + b"\0" for kind, text in ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", code), (b"M", message))
    )
    return b"E" + struct.pack("!I", len(fields) + 5) + fields + b"\0"


class Emulator:
    """The process at the other end of stdin and stdout."""

    def __init__(self) -> None:
        self._asked: dict[int, asyncio.Future[bool]] = {}

    async def admits(self, client_port: int) -> bool:
        """Ask whether the client at this local port may connect."""
        self._asked[client_port] = asyncio.get_running_loop().create_future()
        _answer({"client": client_port})
        return await self._asked[client_port]

    async def commands(self) -> AsyncIterator[dict[str, Any]]:
        while line := await asyncio.to_thread(sys.stdin.readline):
            message = json.loads(line)
            if "client" in message:
                self._asked.pop(message["client"]).set_result(message["admitted"])
            else:
                yield message


async def _main() -> None:
    emulator = Emulator()
    request = json.loads(await asyncio.to_thread(sys.stdin.readline))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(request["certificate"], request["key"])
    server = Postgres(Path(request["folder"]))
    tasks: set[asyncio.Task[None]] = set()
    try:
        server.start()
        front = TlsFront(server.socket, context, emulator.admits)
        _answer({"port": await front.listen()})
        tasks.add(asyncio.create_task(_keep_running(server)))
        async for command in emulator.commands():
            task = asyncio.create_task(_obey(command, server, front))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    except PostgresError as error:
        _answer({"error": str(error)})
    finally:
        for task in list(tasks):
            task.cancel()
        server.stop()


async def _obey(command: dict[str, Any], server: Postgres, front: TlsFront) -> None:
    try:
        if "fail_over" in command:
            _answer({})
            _answer({"status": "failing-over"})
            await front.fail_over(command["fail_over"])
            _answer({"status": "available"})
        else:
            wanted = command["user"], command["password"], command["database"]
            await asyncio.to_thread(server.ensure_database, *wanted)
            _answer({})
    except PostgresError as error:
        _answer({"error": str(error)})


async def _keep_running(server: Postgres) -> None:
    """Start the server again when it was killed. On Aurora another instance takes over."""
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        if server.runs():
            continue
        print("PostgreSQL was killed: starting it again", file=sys.stderr, flush=True)
        _answer({"status": "failing-over"})
        _answer({"status": "available" if await _resumed(server) else "failed"})
        if not server.runs():
            return


async def _resumed(server: Postgres) -> bool:
    for _ in range(RESTARTS):
        try:
            await asyncio.to_thread(server.resume)
        except PostgresError as error:
            print(error, file=sys.stderr, flush=True)
            await asyncio.sleep(RESTART_PAUSE_SECONDS)
        else:
            return True
    return False


def _answer(content: dict[str, object]) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(content), flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
