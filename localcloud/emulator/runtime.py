"""Lambda's Python runtime, loaded once for all execution environments of a cloud.

Loading the SDK and its models of services takes 0.4 seconds of processor time and 45 MB, and a promotion starts dozens
of environments. Here they are forks of one process that has loaded both, and share its memory until they write to it.
What a function's package holds is loaded by each environment, as on Lambda.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ministack.core import lambda_runtime

SDK = ("boto3", "botocore")
PROGRAM = Path(__file__).with_name("runtime_process.py")


class Runtime:
    """The process that has loaded the SDK. It is started when it is needed, and again when something has killed it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ours: socket.socket | None = None

    def fork(self, program: str, folder: str, environ: dict[str, str], streams: list[int]) -> int:
        """The pid of a fork that runs a Python program with these standard streams. Raises ``OSError``."""
        begin = json.dumps({"program": program, "folder": folder, "environ": environ}) + "\n"
        with self._lock:
            asking = self._running()
            socket.send_fds(asking, [begin.encode()], streams)
            answer = asking.recv(16)
        if not answer:
            raise OSError(f"{PROGRAM.name} has ended, which starts the environments: the next request starts it again")
        return int(answer)

    def _running(self) -> socket.socket:
        if self._ours is None or self._process is None or self._process.poll() is not None:
            self._ours, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", str(PROGRAM), str(theirs.fileno())],
                    env=_without_repository(os.environ),
                    stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
                )  # fmt: skip
        return self._ours


runtime = Runtime()


class Fork:
    """An execution environment. It has of ``subprocess.Popen`` what MiniStack uses."""

    def __init__(self, program: str, folder: str, environ: dict[str, str]) -> None:
        (stdin, ours_in), (ours_out, stdout), (ours_err, stderr) = os.pipe(), os.pipe(), os.pipe()
        self.stdin, self.stdout, self.stderr = os.fdopen(ours_in, "w", 1), os.fdopen(ours_out), os.fdopen(ours_err)
        try:
            self.pid = runtime.fork(program, folder, environ, [stdin, stdout, stderr])
        finally:
            for end in (stdin, stdout, stderr):
                os.close(end)

    def poll(self) -> int | None:
        return 0 if self._ends_within(0) else None

    def wait(self, timeout: float) -> int:
        if not self._ends_within(timeout):
            raise subprocess.TimeoutExpired(PROGRAM.name, timeout)
        return 0

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, sign: signal.Signals) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, sign)

    def _ends_within(self, seconds: float) -> bool:
        """The runtime is the parent, and not this process. A fork's standard output is closed when it ends."""
        output = select.poll()
        output.register(self.stdout, 0)
        return bool(output.poll(seconds * 1000))


def start(command: list[str], *, cwd: str, env: dict[str, str], **streams: Any) -> Any:
    """A fork, or an interpreter of its own: for another language, for a package with an SDK of its own, and on macOS,
    whose libraries may fail in a fork."""
    env = _without_repository(env)
    brings_sdk = any(Path(cwd, module).exists() for module in SDK)
    if sys.platform == "linux" and command[0] == sys.executable and not brings_sdk:
        return Fork(command[1], cwd, env)
    return subprocess.Popen(command, cwd=cwd, env=env, **streams)


def _without_repository(environ: Mapping[str, str]) -> dict[str, str]:
    """Lambda has nothing of this repository, which the emulator finds by this variable."""
    return {name: value for name, value in environ.items() if name != "PYTHONPATH"}


# ``Worker._spawn``, whose source is pinned (``workers``), starts environments with this module.
lambda_runtime.subprocess = SimpleNamespace(**vars(subprocess) | {"Popen": start})
