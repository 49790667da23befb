"""The lifecycle of objects in S3: ``age`` makes them older, and moves those that their bucket's rules then move.

Only transitions of current versions are applied. Expiration is kept as a setting.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from ministack.services import s3 as s3_service

from localcloud.emulator.control import command
from localcloud.emulator.upstream import Function, replaces

SMALL_BYTES = 128 * 1024
ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")
ALL_CLASSES = "all_storage_classes_128K"
"""AWS's default since September 2024: a transition skips small objects."""
BY_CLASS = "varies_by_storage_class"
"""A transition skips small objects unless it leads to an archive."""

_minimum_size: dict[str, str] = {}


def set_minimum_size(bucket: str, minimum: str | None) -> None:
    """Set ``TransitionDefaultMinimumObjectSize`` of ``bucket``; ``None`` is AWS's default."""
    _minimum_size[bucket] = minimum or ALL_CLASSES


@replaces(s3_service, "_get_bucket_lifecycle")
def lifecycle_with_minimum_size(answer: Function, bucket: str) -> Any:
    status, headers, body = answer(bucket)
    if status == 200:
        headers["x-amz-transition-default-minimum-object-size"] = _minimum_size.get(bucket, ALL_CLASSES)
    return status, headers, body


@command
def age(days: int) -> list[str]:
    """Make every object older by ``days``, then run the rules once. Returns what moved: bucket, key and class."""
    return [moved for bucket in list(s3_service._buckets) for moved in _age_bucket(bucket, days)]


def _age_bucket(bucket: str, days: int) -> Iterator[str]:
    rules = [rule for rule in s3_service._bucket_lifecycle.get(bucket, []) if rule["Status"] == "Enabled"]
    for key, record in s3_service._buckets[bucket]["objects"].items():
        written = datetime.fromisoformat(record["last_modified"]) - timedelta(days=days)
        record["last_modified"] = written.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        days_old = (datetime.now(UTC) - written).days
        for to in transitions(rules, key=key, size=record["size"], days_old=days_old, bucket=bucket):
            if record["storage_class"] != to:
                record["storage_class"] = to
                for version in s3_service._object_versions.get((bucket, key), []):
                    if version["version_id"] == record.get("version_id"):
                        version["storage_class"] = to
                yield f"{bucket}/{key} {to}"


def transitions(rules: list[Any], *, key: str, size: int, days_old: int, bucket: str) -> Iterator[str]:
    """The storage classes to which ``rules`` move an object of this age, in their order."""
    for rule in rules:
        if not key.startswith(rule.get("Filter", {}).get("Prefix", "")):
            continue
        for transition in rule.get("Transitions", []):
            to = transition["StorageClass"]
            archived_by_class = _minimum_size.get(bucket) == BY_CLASS and to in ARCHIVES
            if days_old >= transition["Days"] and (size >= SMALL_BYTES or archived_by_class):
                yield to
