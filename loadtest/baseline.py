"""The last promoted release of an environment, as its gate measured it, and the comparison of a candidate with it.

A route may grow slower from release to release and stay within its limit. So a run is compared with the last promoted
one that was measured in the same way: on the same class of machine, at the same rate. This warns, and fails nothing.

The release controller keeps these measurements in the table of releases when it has promoted what the gate measured
(``pipeline.release.promoted_gates``).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

import names
from loadtest.p99 import RouteJudgement

LEAST_MS = 20.0
"""A smaller difference is not told: nobody notices it, and machines vary by as much."""


@dataclass(frozen=True, kw_only=True)
class RouteComparison:
    """The p99 of a route, in ms, of the promoted release and of this run."""

    before_ms: float
    now_ms: float
    slower: bool
    """Whether it is slower by more than the margin, and not by chance."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A run beside the last promoted release. ``release_id``: ``None`` if there is nothing to compare with, and
    ``reason`` says why. ``routes``: those that both measured."""

    release_id: str | None = None
    commit: str | None = None
    reason: str = ""
    routes: Mapping[str, RouteComparison]

    @property
    def slower(self) -> Sequence[str]:
        """The routes that are."""
        return [route for route, each in self.routes.items() if each.slower]

    @property
    def text(self) -> str:
        """It in one line, for people."""
        if self.release_id is None:
            return f"not compared with a promoted release: {self.reason}"
        which = f"release {self.release_id}" + (f" ({self.commit[:12]})" if self.commit else "")
        shown = ", ".join(
            f"{route} {each.now_ms:.1f} ms, was {each.before_ms:.1f}"
            for route, each in self.routes.items()
            if each.slower or not self.slower
        )
        return f"{'slower than' if self.slower else 'no slower than'} {which}: p99 {shown}"


def not_compared(reason: str) -> Comparison:
    return Comparison(reason=reason, routes={})


def promoted_gates(aws: boto3.Session, table: str, environment: str) -> Sequence[Mapping[str, Any]] | str:
    """The measurements of the last promoted releases, newest first; or why they can't be read."""
    key = {"environment": {"S": environment}, "release_id": {"S": names.PROMOTED_GATES}}
    try:
        item = aws.client("dynamodb").get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
        found: Sequence[Mapping[str, Any]] = json.loads(item["document"]["S"]) if item else []
    except (BotoCoreError, ClientError, ValueError, KeyError) as error:
        return f"the measurements can't be read ({error})"
    return found


def compare(
    routes: Sequence[RouteJudgement],
    promoted: Sequence[Mapping[str, Any]] | str,
    *,
    machine: str,
    rate: float,
    margin: float,
) -> Comparison:
    """``routes`` beside the newest of ``promoted`` that was measured on ``machine`` at ``rate``.

    ``margin``: the share by which a p99 may be above the former one, ``LEAST_MS`` at least. It counts when even the
    lower confidence bound of the p99 is above the former p99.
    """
    if isinstance(promoted, str):
        return not_compared(promoted)
    if not promoted:
        return not_compared("none was measured yet")
    before = next((each for each in promoted if (each.get("machine"), each.get("rate")) == (machine, rate)), None)
    if before is None:
        return not_compared("none was measured on such a machine at this rate")
    found = {}
    for route in routes:
        former, now = before["routes"].get(route.route, {}).get("p99_ms"), route.p99_ms
        if former is not None and now is not None:
            much = now - former >= max(LEAST_MS, margin * former)
            sure = route.p99_lower_ms is not None and route.p99_lower_ms > former
            found[route.route] = RouteComparison(before_ms=former, now_ms=now, slower=much and sure)
    return Comparison(release_id=before["release_id"], commit=before.get("commit"), routes=found)
