"""Runs the commands of a step, and ends them so that they can clean up."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import psutil

from pipeline.local.errors import StepFailed

GRACE_SECONDS = 120
"""How long interrupted commands may take to put things right, such as rolling traffic back."""

INHERITED = (
    *("PATH", "HOME", "USER", "SHELL", "LANG", "LC_ALL", "TERM", "TMPDIR", "XDG_CACHE_HOME"),
    *("HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "NODE_USE_SYSTEM_CA"),
    *("UV_SYSTEM_CERTS", "UV_CACHE_DIR", "UV_INDEX_URL", "UV_DEFAULT_INDEX"),
)
"""Variables that a command may see. A list of what may pass, so that no AWS profile, region or credential of the person
leads a local run to a real account."""


def clean_environment() -> dict[str, str]:
    """The environment in which every command of a promotion starts."""
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {
        **kept,
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
) -> str:
    """Run shell commands one after the other, as CodeBuild does, and return what they conclude.

    Their conclusion is the last line of output that is not indented: a detail of what stands above it.

    Output goes to ``log``, which the commands hold themselves: should this process be killed, they are not. Each line
    is passed to ``on_line`` too. Raises ``StepFailed`` when a command fails. An interrupt is passed on to the
    commands, and raised again when they have ended.
    """
    with log.open("ab") as written, log.open("rb") as output:
        output.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            ["/bin/sh", "-ec", "\n".join(commands)],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own: one signal reaches all of it, and only when we say so
        )
        on_start({"pid": process.pid, "started": psutil.Process(process.pid).create_time()})
        last = ""
        try:
            running = True
            while running:
                running = process.poll() is None
                for line in _new_lines(output, unfinished=not running):
                    last = last if line[0].isspace() else line
                    on_line(line.strip())
                time.sleep(0.05 if running else 0)
        except BaseException:
            _end_group(process.pid, process.wait)
            raise
    if process.returncode:
        raise StepFailed(last or f"ended with exit code {process.returncode} and printed nothing", str(log))
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
        leader = psutil.Process(int(record["pid"]))
        if abs(leader.create_time() - record["started"]) > 1:
            return False  # the number was given to another process since
    except psutil.NoSuchProcess:
        return False
    _end_group(leader.pid, leader.wait)
    return True


def _end_group(leader: int, wait: Callable[[float], object]) -> None:
    handlers = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        for sign, seconds in ((signal.SIGINT, GRACE_SECONDS), (signal.SIGKILL, 10)):
            try:
                os.killpg(leader, sign)
                wait(seconds)
            except (ProcessLookupError, psutil.NoSuchProcess):
                pass
            except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
                continue
            _wait_for_group(leader)
            return
    finally:
        for sign_, handler in handlers.items():
            signal.signal(sign_, handler)


def _wait_for_group(leader: int, seconds: float = 5.0) -> None:
    """The leader is gone; give its children a moment, then end what is left of the group."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(leader, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(leader, signal.SIGKILL)
