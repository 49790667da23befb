"""What the commands say of a file: one line for each, and one for each of its faults."""

from collections.abc import Iterator, Mapping
from typing import Any

from reporting.text import one_line

_MOST_SHOWN = 10
_COUNTS = ("read", "inserted", "updated", "unchanged", "deleted", "superseded", "skipped", "rejected")


def lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """The lines about the file of an answer of the function."""
    report, file = answer["report"], answer["file"]
    counts = ", ".join(f"{report[name]:,} {name}" for name in _COUNTS if report[name] or name == "read")
    given_up = report.get("given_up")
    done = "✘" if given_up else "◆" if report["rejected"] else "✓"
    mark = {"done": done, "refused": "✘", "missing": "✘"}.get(answer["state"], "…")
    deleted = "; the file is deleted" if answer.get("deleted") else ""
    yield f"{mark} {file}: {answer['state']} at line {answer['line']:,}: {counts}{deleted}"
    if report["fault"]:
        yield f"    {report['fault']}"
    if given_up:
        yield f"    the rest was given up {one_line(given_up)}"
    if answer["state"] == "missing":
        yield "    it is not in the bucket any more, and holds up all later changes: put it there again, or `skip` it"
    yield from (f"    {note}" for note in report["notes"])
    shown = report["rejected_rows"][:_MOST_SHOWN]
    yield from (f"    line {each['line']}: {(each['column'] + ' ' + each['reason']).strip()}" for each in shown)
    if report["rejected"] > len(shown):
        yield f"    … and {report['rejected'] - len(shown):,} more rejected rows: {file}.report.json"


def summary(answer: Mapping[str, Any]) -> str:
    """How far the changes are."""
    watermark = answer.get("watermark")
    newest = (
        f"applied up to {watermark['file']} line {watermark['line']:,}" if watermark else "no change is applied yet"
    )
    if not answer["pending"]:
        return f"{newest}; nothing waits"
    return f"{newest}; {answer['pending']} files wait, the oldest for {answer['lag_seconds']:,.0f} s"
