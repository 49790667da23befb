"""The first error in the logs of a local cloud's functions: the cause that a failed gate or shift only counts."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

MOST_BYTES = 2_000_000
"""The part of each log that is read, from its end."""
LINES = 8
"""The lines that are kept of a traceback, from its end: the last one names the error."""

_LINE = re.compile(r"(\d\d:\d\d:\d\d\.\d{3}) \[(\S+)\] (.*)")


def first_error(logs: Path, since: float) -> list[str]:
    """The first traceback that a function logged after ``since`` (seconds since the epoch), after a line that names the
    function and its version. Empty without one.

    ``logs``: a folder with a file for each function, as the local cloud writes them.
    """
    found = [each for file in sorted(logs.glob("*.log")) if (each := _first_in(file, since))]
    return min(found)[1] if found else []


def _first_in(file: Path, since: float) -> tuple[float, list[str]] | None:
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - MOST_BYTES))
            lines = opened.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    for number, line in enumerate(lines):
        if (read := _LINE.match(line)) and (at := _moment(read[1])) >= since and (error := _error(lines, number)):
            return at, [f"{file.stem}, version {read[2]}:", *error[-LINES:]]
    return None


def _moment(clock: str) -> float:
    """The last time at which a clock in UTC showed ``clock``: the log has no date."""
    now = datetime.now(UTC)
    moment = datetime.combine(now.date(), datetime.strptime(clock, "%H:%M:%S.%f").time(), UTC)
    return (moment - timedelta(days=1) if moment > now + timedelta(minutes=1) else moment).timestamp()


def _error(lines: list[str], number: int) -> list[str]:
    """The traceback that begins in this line: as a field of a log record, or as plain lines."""
    text = lines[number].split("] ", 1)[1]
    if text.startswith("{"):
        try:
            return str(json.loads(text).get("exception") or "").splitlines()
        except ValueError:
            return []
    if not text.startswith("Traceback (most recent call last)"):
        return []
    block = [text]
    for line in lines[number + 1 :]:
        following = line.split("] ", 1)[-1]
        block.append(following)
        if not following.startswith((" ", "\t")):
            break
    return block
