"""``python -P runtime_process.py SOCKET``: the process whose forks are execution environments (see ``runtime``).

Each request on SOCKET is a line of JSON, with the three standard streams of the fork. The answer is the fork's pid. The
process ends when the other end of SOCKET is closed. It imports nothing but Python and the SDK, because its forks have
all that it has.
"""

import gc
import json
import os
import runpy
import signal
import socket
import sys
from typing import Any

import boto3  # noqa: F401 - the forks need it
import botocore.session
from botocore.loaders import JSONFileLoader

MOST_BYTES = 65536
"""Of a request that are read at once."""
SERVICES = ("dynamodb", "s3", "secretsmanager", "ssm")
"""Those that most functions call. A function can call every other."""


def main() -> None:
    requests = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so nobody has to wait for a fork that has ended
    share_models()
    gc.collect()
    gc.freeze()  # a collection in a fork would write to all that is shared
    while True:
        line, streams, *_ = socket.recv_fds(requests, MOST_BYTES, 3)
        while line[-1:] != b"\n":
            more = requests.recv(MOST_BYTES)
            if not more:
                return
            line += more
        pid = os.fork()
        if not pid:
            requests.close()
            return become(json.loads(line), streams)
        for stream in streams:
            os.close(stream)
        requests.send(str(pid).encode())


def share_models() -> None:
    """Read the SDK's models of ``SERVICES`` once for all forks: a fork that reads them takes 19 MiB more."""
    read = JSONFileLoader.load_file
    models: dict[str, Any] = {}

    def load_file(loader: JSONFileLoader, path: str) -> Any:
        if path not in models:
            models[path] = read(loader, path)
        return models[path]

    loaders: Any = JSONFileLoader
    loaders.load_file = load_file
    session = botocore.session.get_session()
    session.set_credentials("-", "-")  # else it looks for them, also on the network
    client: Any = session.create_client  # its overloads know services by literal names only
    for service in SERVICES:
        client(service, region_name="us-east-1")  # reads all that a client needs, and asks nobody


def become(begin: dict[str, Any], streams: list[int]) -> None:
    """Run a program as if it had been started alone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for standard, stream in enumerate(streams):
        os.dup2(stream, standard)
        os.close(stream)
    # Python's own are those of a file, or of nothing, and would seek in a pipe.
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(begin["environ"])
    os.chdir(begin["folder"])
    program = begin["program"]
    sys.argv[:] = [program]
    sys.path.insert(0, os.path.dirname(program))
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
