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


def replace_unencodable_characters() -> None:
    """Replace each character that the terminal's encoding lacks. Without this, such a character ends the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def discard_unwritten_output() -> None:
    """Discard output that could not be written. Python would retry at its exit, and change the exit code to 120."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # it is None when the file was closed at the start
            try:
                stream.flush()
            except OSError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
