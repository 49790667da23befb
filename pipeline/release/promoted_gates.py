"""What the load gate measured of the releases that were promoted, so that the next gate has something to compare with.

One item of the table of releases holds the last ``MOST`` of them, newest first, as JSON. An undo takes away those of
the version that it leaves: a release must not be compared with one that was too slow to stay.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import names
from names import Function
from pipeline.release.aws import PROMPT_CONFIG
from pipeline.release.record import Phase, Release

if TYPE_CHECKING:
    import boto3

MOST = 10


def remember(aws: boto3.Session, table: str, release: Release, folders: Iterable[Path]) -> None:
    """Keep the gate's measurement of ``release``, if it was promoted and one of ``folders`` has it. Raises
    botocore's errors."""
    if release.phase is not Phase.PROMOTED:
        return
    left = _by_route(release.stable) if release.undoes else {}
    gate = None if release.undoes else next(filter(None, (_measured(folder, release) for folder in folders)), None)
    if not (gate or left):
        return
    dynamodb = aws.client("dynamodb", config=PROMPT_CONFIG)
    key = {"environment": {"S": release.environment}, "release_id": {"S": names.PROMOTED_GATES}}
    kept = _read(dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item"))
    others = [each for each in kept if each.get("versions") != left and each.get("release_id") != release.release_id]
    document = json.dumps([*([gate] if gate else []), *others][:MOST])
    dynamodb.put_item(TableName=table, Item={**key, "document": {"S": document}})


def _read(item: Any) -> list[dict[str, Any]]:
    """What is kept. An item that can't be read is written anew: these are figures for a warning, and no record."""
    try:
        found = json.loads(item["document"]["S"]) if item else []
        return [each for each in found if isinstance(each, dict)]
    except (KeyError, TypeError, ValueError):
        return []


def _measured(folder: Path, release: Release) -> dict[str, Any] | None:
    """What ``gate.json`` in ``folder`` says of the candidate of ``release``; nothing if it is about another one."""
    try:
        gate = json.loads((folder / "gate.json").read_text())
        passed, answered = gate["verdict"] == "pass", {route: [*found] for route, found in gate["versions"].items()}
        if not passed or answered != {route: [version] for route, version in _by_route(release.candidate).items()}:
            return None
        return {
            "release_id": release.release_id,
            "commit": release.commit,
            "machine": gate["machine"],
            "rate": gate["rate"],
            "versions": _by_route(release.candidate),
            "routes": {each["route"]: {"p50_ms": each["p50_ms"], "p99_ms": each["p99_ms"]} for each in gate["routes"]},
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # no report, or one of another version
        return None


def _by_route(versions: Mapping[Function, str]) -> dict[str, str]:
    return {function.path: version for function, version in versions.items()}
