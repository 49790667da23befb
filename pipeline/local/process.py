"""Runs the commands of a step. Ends them in a way that lets them clean up."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import psutil

from localcloud import NO_AWS_FILES, unproxied
from localcloud.processes import find_process, process_record
from pipeline.local.errors import StepFailed

GRACE_SECONDS = 120
"""Time that interrupted commands get to clean up, for example to roll traffic back."""

REST_SECONDS = 5
"""Time that the processes they started may outlive them."""

CHECK_SECONDS = 5

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

INHERITED = (
    *("HOME", "USER", "SHELL", "LANG", "LC_ALL", "TERM", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"),
    *("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"),
    *("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "NODE_USE_SYSTEM_CA"),
    *("UV_SYSTEM_CERTS", "UV_CACHE_DIR", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_CONFIG_FILE"),
)
"""The only variables that a command inherits. No AWS profile, region or credential of the person is among them, so a
local run cannot reach a real account."""


def clean_environment() -> dict[str, str]:
    """The environment variables with which every command of a promotion starts."""
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    tools = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return {
        **kept,
        "PATH": os.pathsep.join(tools),
        **unproxied(),
        "PYTHONUNBUFFERED": "1",
        **NO_AWS_FILES,
        "AWS_EC2_METADATA_DISABLED": "true",
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CDK_NOTICES": "false",
    }


def run_commands(
    commands: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    log: Path,
    on_line: Callable[[str], None],
    on_start: Callable[[dict[str, float]], None],
    check: Callable[[], None] = lambda: None,
) -> str:
    """Run shell commands one after the other, as CodeBuild does. Returns their conclusion.

    The conclusion is the last line of output that is not indented. An indented line is a detail of the line above it.

    The commands write to the file ``log`` themselves, so they survive when this process is killed. Each line is also
    passed to ``on_line``. ``check`` is called every ``CHECK_SECONDS`` and may raise to end the commands. Raises
    ``StepFailed`` when a command fails. An interrupt is passed on to the commands, and raised again after their end.
    """
    with log.open("ab") as written, log.open("rb") as output:
        output.seek(0, os.SEEK_END)
        process, last, checked = None, "", time.monotonic()
        try:
            with _signals_deferred():
                process = subprocess.Popen(
                    ["/bin/sh", "-ec", "\n".join(commands)],
                    cwd=folder,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=written,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # a process group of its own: only `_end_tree` signals it, all at once
                )
            on_start(process_record(process.pid))
            running = True
            while running:
                running = process.poll() is None
                if running and time.monotonic() - checked > CHECK_SECONDS:
                    check()
                    checked = time.monotonic()
                for line in _new_lines(output, unfinished=not running):
                    last = last if line[0].isspace() else line
                    on_line(line.strip())
                time.sleep(0.05 if running else 0)
        except BaseException:
            if process is not None:
                _end_tree(process.pid, process.wait)
            raise
    if process.returncode:
        raise StepFailed(last or f"ended with exit code {process.returncode} and printed nothing")
    return last


def _new_lines(output: BinaryIO, *, unfinished: bool) -> Iterator[str]:
    """The lines written since the last call, without blank ones. A line without its end waits for the next call, unless
    ``unfinished`` is set."""
    while line := output.readline():
        if not (line.endswith(b"\n") or unfinished):
            output.seek(-len(line), os.SEEK_CUR)
            return
        if text := line.decode(errors="replace").rstrip():
            yield text


def end_orphan(record: dict[str, float]) -> bool:
    """End the process of this record, which a killed promotion left running. ``False`` when it has ended already."""
    try:
        leader = find_process(record)
    except psutil.NoSuchProcess:
        return False
    _end_tree(leader.pid, leader.wait)
    return True


def _end_tree(leader: int, wait: Callable[[float], object]) -> None:
    """Interrupt a process group, give it and its descendants time to clean up, then kill the processes that remain."""
    with signals_ignored():
        tree = _tree(leader)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired, psutil.TimeoutExpired, psutil.NoSuchProcess):
            wait(GRACE_SECONDS)
        _, left = psutil.wait_procs(tree, timeout=REST_SECONDS)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired, psutil.TimeoutExpired, psutil.NoSuchProcess):
            wait(REST_SECONDS)


@contextlib.contextmanager
def _signals_deferred() -> Iterator[None]:
    """Deliver signals after the block. A signal inside it would lose the process that the block starts."""
    received: list[int] = []
    handlers = {sign: signal.signal(sign, lambda number, _: received.append(number)) for sign in INTERRUPTS}
    try:
        yield
    finally:
        for sign, handler in handlers.items():
            signal.signal(sign, handler)
    for number in received:
        signal.raise_signal(number)


@contextlib.contextmanager
def signals_ignored() -> Iterator[None]:
    """Ignore signals inside the block. A second Ctrl-C would leave traffic between two versions, or a cloud running."""
    handlers = {sign: signal.signal(sign, signal.SIG_IGN) for sign in INTERRUPTS}
    try:
        yield
    finally:
        for sign, handler in handlers.items():
            signal.signal(sign, handler)


def _tree(leader: int) -> list[psutil.Process]:
    """The process and all its descendants, including those in other process groups."""
    try:
        process = psutil.Process(leader)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
