"""Runs the commands of a step, and ends them so that they can clean up."""

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

from localcloud.processes import find_process, process_record
from pipeline.local.errors import StepFailed

GRACE_SECONDS = 120
"""How long interrupted commands may take to put things right, such as rolling traffic back."""

REST_SECONDS = 5
"""And how long what they started may outlive them."""

CHECK_SECONDS = 5

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

INHERITED = (
    *("HOME", "USER", "SHELL", "LANG", "LC_ALL", "TERM", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"),
    *("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"),
    *("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "NODE_USE_SYSTEM_CA"),
    *("UV_SYSTEM_CERTS", "UV_CACHE_DIR", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_CONFIG_FILE"),
)
"""Variables that a command may see. A list of what may pass, so that no AWS profile, region or credential of the person
leads a local run to a real account."""


def clean_environment() -> dict[str, str]:
    """The environment in which every command of a promotion starts."""
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    tools = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    spared = os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
    never_proxied = ["127.0.0.1", "localhost", *([spared] if spared else [])]
    return {
        **kept,
        "PATH": os.pathsep.join(tools),
        "NO_PROXY": ",".join(never_proxied),
        "no_proxy": ",".join(never_proxied),
        "PYTHONUNBUFFERED": "1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
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
    """Run shell commands one after the other, as CodeBuild does, and return what they conclude.

    Their conclusion is the last line of output that is not indented: a detail of what stands above it.

    Output goes to ``log``, which the commands hold themselves: should this process be killed, they are not. Each line
    is passed to ``on_line`` too. ``check`` is called every few seconds and may raise to give up. Raises ``StepFailed``
    when a command fails. An interrupt is passed on to the commands, and raised again when they have ended.
    """
    with log.open("ab") as written, log.open("rb") as output:
        output.seek(0, os.SEEK_END)
        process, last, checked = None, "", time.monotonic()
        try:
            with _interrupts_deferred():
                process = subprocess.Popen(
                    ["/bin/sh", "-ec", "\n".join(commands)],
                    cwd=folder,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=written,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # a group of its own: one signal reaches all of it, only when we say so
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
    """The lines written since the last call, blank ones left out. A line still being written waits for the next call,
    unless ``unfinished`` ones are asked for."""
    while line := output.readline():
        if not (line.endswith(b"\n") or unfinished):
            output.seek(-len(line), os.SEEK_CUR)
            return
        if text := line.decode(errors="replace").rstrip():
            yield text


def end_leftover(record: dict[str, float]) -> bool:
    """End the commands that a killed promotion left behind. ``True`` when there were any."""
    try:
        leader = find_process(record)
    except psutil.NoSuchProcess:
        return False
    _end_tree(leader.pid, leader.wait)
    return True


def _end_tree(leader: int, wait: Callable[[float], object]) -> None:
    """Interrupt a process group, give it and all that it started time to put things right, then kill what is left."""
    with undisturbed():
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
def _interrupts_deferred() -> Iterator[None]:
    """Let signals wait until the block has ended: what is being started would be known to nobody."""
    came: list[int] = []
    handlers = {sign: signal.signal(sign, lambda number, _: came.append(number)) for sign in INTERRUPTS}
    try:
        yield
    finally:
        for sign, handler in handlers.items():
            signal.signal(sign, handler)
    for number in came:
        signal.raise_signal(number)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore interrupts: whoever is impatient now would leave traffic between two versions, or a cloud running."""
    handlers = {sign: signal.signal(sign, signal.SIG_IGN) for sign in INTERRUPTS}
    try:
        yield
    finally:
        for sign, handler in handlers.items():
            signal.signal(sign, handler)


def _tree(leader: int) -> list[psutil.Process]:
    """The process and all its descendants, also those that lead a group of their own."""
    try:
        process = psutil.Process(leader)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
