"""The page of an environment's payments."""

import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from console.actions import Actions
from console.payments.reading import STATUSES, Found, Payments, Query
from console.platforms import NotRunning, Platforms

ID = re.compile(r"txn_[0-9a-f]{32}")
DECISIONS = {
    "approve": ("Approve", "The payment becomes approved, and the customer's money moves."),
    "decline": ("Decline", "The payment becomes declined. This can't be taken back."),
}


def view(
    environment: str, asked: Mapping[str, str], payments: Payments, platforms: Platforms, actions: Actions
) -> Mapping[str, Any]:
    """The values of ``payments.html``. ``asked``: the fields of its forms."""
    status = asked.get("status", "")
    query = Query(
        id=asked.get("id", "").strip(),
        customer=asked.get("customer", "").strip(),
        status=status if status in STATUSES else STATUSES[0],
    )
    if query.id and not ID.fullmatch(query.id):
        found = Found(trouble="An id is txn_ and 32 of 0-9 and a-f.")
    else:
        found = payments.look_up(environment, query)
    today = datetime.now(UTC).date().isoformat()
    day = asked.get("day", "")
    return {
        "environment": environment,
        "query": query,
        "statuses": STATUSES,
        "found": found,
        "today": today,
        "day": day or today,
        "books": _books(environment, day, platforms, actions) if day else [],
        "recorded_actions": [each for each in actions.latest() if each.target.startswith(f"payment of {environment}")],
    }


def _books(environment: str, day: str, platforms: Platforms, actions: Actions) -> list[str]:
    """What the verification of a day says."""
    try:
        wanted = date.fromisoformat(day).isoformat()
        variables = platforms.variables(environment)
        return actions.output(
            "pipeline.audit", "verify", f"--env={environment}", f"--day={wanted}", environment=variables
        )
    except (ValueError, NotRunning, OSError, subprocess.SubprocessError) as error:
        return [f"not verified: {error}"]
