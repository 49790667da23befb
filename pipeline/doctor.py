"""Tells what this machine lacks for the set-up and the local clouds. It changes nothing, and needs no set-up.

    python3 -m pipeline.doctor

Exit codes: 0 nothing is missing, 1 something is: each line with ✘ says what to do, 2 usage.
"""

import argparse
import contextlib
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path

from pipeline.git import GitError, git

ROOT = Path(__file__).resolve().parents[1]
SPACE_GB = 3
"""What set-up, caches and three local clouds take, with room for logs."""
FOREIGN = ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "NODE_ENV", "NODE_OPTIONS", "BASH_ENV")
"""Variables that give other packages than the lock files. The Makefile leaves them out; a shell does not."""
PLACES = ("target", "prefix", "root", "no-deps", "dry-run", "only-binary", "no-binary")
"""Settings of pip's configuration files with which it installs elsewhere, or something else."""


class ExitCode(IntEnum):
    WELL = 0
    LACKING = 1
    USAGE = 2


class Lacking(Exception):
    """Something is missing. The message says what, and what to do."""


class Doubtful(Exception):
    """Something may be wrong, or is worked around. The message says what."""


def python() -> str:
    if not all(map(importlib.util.find_spec, ("venv", "ensurepip"))):  # Debian keeps the second apart
        raise Lacking(f"{sys.executable} has no venv: on Debian, apt-get install python3-venv")
    return sys.version.split()[0]


def programs() -> str:
    missing = [name for name in ("bash", "git", "make") if shutil.which(name) is None]
    if missing:
        raise Lacking(f"not on the PATH: {', '.join(missing)}; install them with this system's packages")
    return "bash, git, make"


def checkout() -> str:
    if os.pathsep in str(ROOT):
        raise Lacking(f"{ROOT} has a {os.pathsep!r} in its name, which no PATH can hold: move it")
    _run_a_program_in(ROOT, "move the checkout")
    return str(ROOT)


def scratch() -> str:
    folder = Path(tempfile.gettempdir())
    _run_a_program_in(folder, "set TMPDIR to another folder")
    return str(folder)


def user() -> str:
    """PostgreSQL refuses a uid without a name, as containers have. Root starts it as ``nobody``."""
    uid = os.geteuid() or "nobody"
    try:
        return (pwd.getpwnam(uid) if isinstance(uid, str) else pwd.getpwuid(uid)).pw_name
    except KeyError:
        raise Lacking(
            f"the user {uid} has no name, and PostgreSQL needs one: add a line to /etc/passwd, such as"
            f" local:x:{uid}:{os.getegid()}::/tmp:/bin/sh"
        ) from None


def home() -> str:
    folder = os.environ.get("HOME", "")
    caches = Path(folder or "/nonexistent") / ".cache"
    try:  # Root may write to /proc, by its rights, and can't.
        with tempfile.TemporaryDirectory(dir=caches if caches.exists() else caches.parent):
            pass
    except OSError:
        state = f"{folder} can't be written" if folder else "there is none"
        raise Doubtful(f"{state}: `make` keeps the caches in {ROOT / '.cache'}") from None
    return folder


def space() -> str:
    free = {folder: shutil.disk_usage(folder).free / 1e9 for folder in (ROOT, Path(tempfile.gettempdir()))}
    for folder, gigabytes in free.items():
        if gigabytes < SPACE_GB:
            raise Lacking(f"{gigabytes:.1f} GB are free in {folder}, and {SPACE_GB} are needed: make room")
    return ", ".join(f"{gigabytes:.0f} GB in {folder}" for folder, gigabytes in free.items())


def clock() -> str:
    """A clock that is behind makes every certificate invalid. The newest commit is not of the future."""
    with contextlib.suppress(GitError, ValueError):
        if time.time() < int(git("log", "-1", "--format=%ct", folder=ROOT)) - 86_400:
            raise Lacking(f"it is {time.ctime()} here, and the last commit is newer: set the clock, or TLS fails")
    return time.ctime()


def loopback() -> str:
    try:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
    except OSError as error:
        raise Lacking(
            f"no program can listen on 127.0.0.1 ({error.strerror}): the local clouds need IPv4 there"
        ) from None
    return "127.0.0.1"


def settings() -> str:
    told = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    names = [line.partition("=")[0].rpartition(".")[2] for line in told.splitlines() if not line.startswith(":env:")]
    if found := sorted(set(names) & set(PLACES)):
        raise Lacking(
            f"pip's configuration sets {', '.join(found)} (`pip config debug` says where): remove that, or"
            " `PIP_CONFIG_FILE=/dev/null make setup`"
        )
    if foreign := [name for name in FOREIGN if os.environ.get(name, "0") != "0"]:
        raise Doubtful(f"{', '.join(foreign)}: `make` leaves them out; unset them when you call python yourself")
    return "nothing that changes packages"


def installed() -> str:
    for lock, ready in (("requirements/dev.txt", ".venv/.ready"), ("package-lock.json", "node_modules/.ready")):
        try:
            current = (ROOT / ready).read_bytes() == (ROOT / lock).read_bytes()
        except OSError:
            current = False
        if not current:
            raise Doubtful(
                f"{Path(ready).parent} is not set up as {lock} says: `make setup`, which every target does first"
            )
    return "as the lock files say"


CHECKS: dict[str, Callable[[], str]] = {
    "Python": python,
    "programs": programs,
    "checkout": checkout,
    "scratch folder": scratch,
    "user": user,
    "home": home,
    "space": space,
    "clock": clock,
    "loopback": loopback,
    "settings": settings,
    "packages": installed,
}


def _run_a_program_in(folder: Path, remedy: str) -> None:
    """Raise ``Lacking`` when programs can't be written there, or not be run, as with the mount option noexec."""
    try:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            program = Path(own) / "program"
            program.write_text("#!/bin/sh\n")
            program.chmod(0o700)
            subprocess.run([program], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Lacking(f"programs can't be written to {folder} and run there ({error}): {remedy}") from None


def lines() -> Iterator[tuple[bool, str]]:
    """Whether it is well, and a sentence, for each check."""
    for name, check in CHECKS.items():
        try:
            yield True, f"✓ {name:<15} {check()}"
        except Doubtful as doubt:
            yield True, f"◆ {name:<15} {doubt}"
        except (Lacking, OSError) as lacking:
            yield False, f"✘ {name:<15} {lacking}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.doctor", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args(arguments)
    well = True
    for good, line in lines():
        well = well and good
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except BrokenPipeError:  # its reader has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitCode.WELL if well else ExitCode.LACKING


if __name__ == "__main__":
    sys.exit(main())
