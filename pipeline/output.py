"""Output of commands that must come to their end even if nobody listens any more."""

import io
import os
import sys
from contextlib import suppress
from typing import TextIO


def say(text: str, stream: TextIO | None = None) -> None:
    """Print ``text`` to ``stream``, by default stdout. A closed pipe, terminal or file and a full disk are no reason to
    stop work half done: what can't be said is not said."""
    with suppress(OSError):
        print(text, file=stream or sys.stdout, flush=True)


def forgive_output() -> None:
    """From here on a character that the terminal does not know is replaced, instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def settle_output() -> None:
    """Let go of what could not be written: Python would try again when it exits, and change the exit code to 120."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # there is none if the file was closed at the start
            try:
                stream.flush()
            except OSError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
