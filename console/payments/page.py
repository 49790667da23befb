"""The page of an environment's payments."""

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlencode

from console.actions import Action, Actions
from console.payments.reading import STATUSES, Found, Payments, Query
from console.platforms import NotRunning, Platforms

ID = re.compile(r"txn_[0-9a-f]{32}")
DECISIONS = {
    "approve": ("Approve", "The payment becomes approved, and the customer's money moves."),
    "decline": ("Decline", "The payment becomes declined. This can't be taken back."),
}


def query_of(asked: Mapping[str, str]) -> Query:
    """What the fields of the form ask for."""
    status = asked.get("status", "")
    return Query(
        id=asked.get("id", "").strip(),
        customer=asked.get("customer", "").strip(),
        status=status if status in STATUSES else STATUSES[0],
    )


def looked_up(environment: str, query: Query, payments: Payments, actions: Actions) -> Mapping[str, Any]:
    """The values of ``payments_live.html``."""
    if query.id and not ID.fullmatch(query.id):
        found = Found(trouble="An id is txn_ and 32 of 0-9 and a-f.")
    else:
        found = payments.look_up(environment, query)
    return {
        "environment": environment,
        "query": query,
        "found": found,
        "recorded_actions": recorded(environment, actions),
    }


def recorded(environment: str, actions: Actions) -> Sequence[Action]:
    return [each for each in actions.latest() if each.target.startswith(f"payment of {environment}")]


def form(query: Query, day: str, environment: str, platforms: Platforms, actions: Actions) -> Mapping[str, Any]:
    """The values of the forms in ``payments.html``. ``day``: whose books are verified; may be empty."""
    today = datetime.now(UTC).date().isoformat()
    return {
        "statuses": STATUSES,
        "asked": urlencode(vars(query)),
        "today": today,
        "day": day or today,
        "books": _books(environment, day, platforms, actions) if day else [],
    }


def facts(found: Found) -> Iterator[str]:
    """What a person who decides about a payment has to see of it, line by line."""
    for each in found.payments:
        card = each.get("card") or {}
        yield f"{each['amount']} {each['currency']} by {card.get('brand') or 'card'} {card.get('last4', '')}".rstrip()
        yield f"from {each.get('customer_id') or 'an unknown customer'} to {each.get('merchant_id') or 'no merchant'}"
        status = "in review" if each["status"] == "review" else each["status"].replace("_", " ")
        yield f"made {each['created_at']}, now {status}"
        if each.get("reasons"):
            yield f"reasons: {', '.join(each['reasons'])}; score {each.get('score', 'unknown')}"
    if not found.payments:
        yield found.trouble or "There is no such payment."


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
