"""A running gate's state, for programs that show it: ``progress.json`` beside the reports, gone when it has ended."""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.p99 import RouteJudgement

if TYPE_CHECKING:
    from loadtest.run import Progress  # it imports gevent

FILE = "progress.json"


@contextlib.contextmanager
def progress_file(environment: str, folder: Path) -> "Iterator[Progress]":
    """Writes each state to the file. A file that can't be written keeps no gate from its verdict."""
    file = folder / FILE

    def write(measured: float, planned: float, routes: list[RouteJudgement]) -> None:
        state = {
            "environment": environment,
            "at": time.time(),
            "measured_seconds": measured,
            "planned_seconds": planned,
            "routes": [asdict(route) for route in routes],
        }
        draft = file.with_suffix(".new")
        with contextlib.suppress(OSError):
            draft.write_text(json.dumps(state))
            draft.replace(file)

    try:
        yield write
    finally:
        for left in (file, file.with_suffix(".new")):
            with contextlib.suppress(OSError):
                left.unlink(missing_ok=True)
