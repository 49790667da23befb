"""The checks of the preflight, for people and for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from pipeline.bootstrap.preflight import Check, ready
from pipeline.bootstrap.questions import Status


def table(checks: Sequence[Check]) -> str:
    """One line for each check, and a second one that says what to do."""
    rows = [(each.target, each.name, each.status.upper(), each.found) for each in checks]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = []
    for row, check in zip(rows, checks, strict=True):
        lines.append("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]))
        if check.status is not Status.OK and check.remedy:
            lines.append(f"{' ' * widths[0]}  -> {check.remedy}")
    counts = [f"{sum(each.status is status for each in checks)} {status}" for status in Status]
    verdict = "Ready to deploy" if ready(checks) else "Not ready to deploy"
    return "\n".join([*lines, "", f"{verdict}: {', '.join(counts)}."])


def as_json(checks: Sequence[Check]) -> str:
    """``{"ready": bool, "checks": [{"target", "name", "status", "found", "remedy"}]}``."""
    return json.dumps({"ready": ready(checks), "checks": [asdict(each) for each in checks]}, indent=2)
