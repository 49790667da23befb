"""The AWS of ``benchmarks.processor``: ``python -m benchmarks._canned_aws FOLDER`` serves TLS and answers canned bytes.

FOLDER holds ``server.pem`` and ``server.key``. The first line on stdout is the port. It ends when its stdin ends.
"""

import json
import os
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks.functions import CannedSdk

SDK = CannedSdk()


class Answers(BaseHTTPRequestHandler):
    """Answers each call of the functions, with headers like those of AWS."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        answer = ANSWERS[operation](**sent) if operation in ANSWERS else {}
        self._answer(json.dumps(answer).encode(), "application/x-amz-json-1.0")

    def do_PUT(self) -> None:
        """S3's PutObject: the SDK sends chunks, because their checksum follows them."""
        while size := int(self.rfile.readline(), 16):
            self.rfile.read(size + 2)
        self.rfile.readline()
        self._answer(b"", "application/xml")

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        for name, value in (
            ("x-amzn-RequestId", "7PS2Q7JQ6EXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE"),
            ("x-amz-id-2", "example-key/Rp4kmG8e1MQTmE6vd0tNlUnrTPqZKqo7oO7jVCfB8WQ="),
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


ANSWERS = {
    "BatchGetItem": SDK.batch_get_item,
    "GetParameter": SDK.get_parameter,
    "GetSecretValue": SDK.get_secret_value,
}


def main() -> None:
    folder = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
