"""PostgreSQL behind TLS: a process that the emulator starts. It ends with the emulator, even when that is killed.

The wheel's PostgreSQL is built without OpenSSL. This process therefore terminates TLS in front of it. It refuses a
client that does not ask for TLS, as Aurora does under ``rds.force_ssl``. PostgreSQL itself listens on a private unix
socket only.

Protocol: one JSON object a line. The emulator writes ``{"folder", "certificate", "key"}`` to stdin and gets
``{"port"}``. It may then write any number of ``{"user", "password", "database"}``; each gets ``{}`` once that master
user and database exist. A failure gets ``{"error"}``. End of input stops the server.
"""

import asyncio
import contextlib
import json
import ssl
import struct
import sys
from pathlib import Path

from localcloud.postgres import Postgres, PostgresError

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
CHUNK = 1 << 16


class TlsFront:
    """Accepts PostgreSQL clients on 127.0.0.1, over TLS only, and connects them to the server's unix socket."""

    def __init__(self, socket: str, context: ssl.SSLContext) -> None:
        self._socket = socket
        self._context = context

    async def listen(self) -> int:
        """Listen on a free port, and return it."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            first = await self._first_message(reader, writer)
            if first is not None:
                await self._join(first, reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # the client left, or does not speak PostgreSQL, or this process ends
        finally:
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


async def _main() -> None:
    request = json.loads(await asyncio.to_thread(sys.stdin.readline))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(request["certificate"], request["key"])
    server = Postgres(Path(request["folder"]))
    try:
        server.start()
        _answer({"port": await TlsFront(server.socket, context).listen()})
        while line := await asyncio.to_thread(sys.stdin.readline):
            try:
                wanted = json.loads(line)
                await asyncio.to_thread(server.ensure_database, wanted["user"], wanted["password"], wanted["database"])
                _answer({})
            except PostgresError as error:
                _answer({"error": str(error)})
    except PostgresError as error:
        _answer({"error": str(error)})
    finally:
        server.stop()


def _answer(content: dict[str, object]) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(content), flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
