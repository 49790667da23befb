"""Output of commands that must finish their work even when their output can no longer be written."""

import io
import os
import sys
from contextlib import suppress
from typing import TextIO

from reporting.text import printable


def say(text: str, stream: TextIO | None = None) -> None:
    """Print ``text`` to ``stream``, by default stdout. Drop it when the pipe or terminal is closed or the disk is full,
    because work must not stop half done. Control characters in it are spelled, and not obeyed by the terminal."""
    with suppress(OSError):
        print(printable(text), file=stream or sys.stdout, flush=True)


def moves_cursor() -> bool:
    """Whether standard output is a terminal that can draw over what it shows.

    Rich takes a pipe for one when FORCE_COLOR is set, as in the logs of many build servers.
    """
    dumb = os.environ.get("TERM", "").lower() in ("", "dumb", "unknown")
    return sys.stdout is not None and sys.stdout.isatty() and not dumb  # it is None when it was closed at the start


def discard_unwritten_output() -> None:
    """Discard output that could not be written. Python would retry at its exit, and change the exit code to 120."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # it is None when the file was closed at the start
            try:
                stream.flush()
            except OSError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
