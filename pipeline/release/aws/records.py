"""Records and lease in the DynamoDB table ``payment-releases-<env>`` (keys ``environment``, ``release_id``).

A release's item holds its record as JSON, with phase and revision beside it for people who read the table. Lease,
last request of an operator and last freeze are the items whose ``release_id`` is ``lease``, ``request`` and
``operators-freeze``. These sort after all releases, whose ids start with a digit, and none sorts before the lease.

**The lease** needs no clocks that agree. Who wants it watches the holder's item by the own clock, and takes it when it
has not changed for ``LEASE_SECONDS``: a living holder writes it more often. The end that stands in it is for people.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline.release.aws import PROMPT_CONFIG, calling, error_code
from pipeline.release.ports import Freeze, Lease, LeaseHeld, LeaseLost, OperatorRequest, RequestCommand, Unreadable
from pipeline.release.record import Release
from pipeline.release.stored import known

if TYPE_CHECKING:
    import boto3

LEASE = "lease"
REQUEST = "request"
FREEZE = "operators-freeze"
LEASE_SECONDS = 30
"""The time for which other controllers must watch the lease of one that was killed."""


class AwsRecords:
    """``Records`` of one environment. ``holder``: the name in the refusal of a second controller."""

    def __init__(
        self,
        aws: boto3.Session,
        *,
        table: str,
        environment: str,
        holder: str,
        now: Callable[[], float] = time.time,
    ):
        self._dynamodb = aws.client("dynamodb", config=PROMPT_CONFIG)
        self._table = table
        self._environment = environment
        self._holder = holder
        self._token = uuid.uuid4().hex
        self._now = now
        self._since = now()
        self._watched: tuple[dict[str, Any], float] = ({}, 0.0)
        """The lease of another controller as this one saw it first, and when that was."""
        self._unanswered: list[dict[str, Any]] = []
        """Items whose writes got no answer: DynamoDB may have stored any of them."""

    def latest(self, count: int) -> Sequence[Release]:
        found = map(_release, self._items(count))
        return [release for release in found if isinstance(release, Release)]

    def last(self) -> Release | None:
        release = next(map(_release, self._items(1)), None)
        if isinstance(release, Unreadable):
            raise release
        return release

    def unreadable(self, count: int) -> Sequence[str]:
        found = map(_release, self._items(count))
        return [str(unreadable) for unreadable in found if isinstance(unreadable, Unreadable)]

    def _items(self, count: int) -> list[dict[str, Any]]:
        with calling("reading the release records"):
            pages = self._dynamodb.get_paginator("query").paginate(
                TableName=self._table,
                KeyConditionExpression="environment = :environment AND release_id < :lease",
                ExpressionAttributeValues={":environment": {"S": self._environment}, ":lease": {"S": LEASE}},
                ScanIndexForward=False,
                ConsistentRead=True,
                PaginationConfig={"MaxItems": count, "PageSize": count},
            )
            return [item for page in pages for item in page["Items"]]

    def save(self, release: Release) -> Release:
        saved = release.written()
        item = self._key(saved.release_id) | {
            "document": {"S": saved.to_json()},
            "phase": {"S": saved.phase},
            "revision": {"N": str(saved.revision)},
        }
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(release_id)"}
        if release.revision:
            condition = {
                "ConditionExpression": "revision = :revision",
                "ExpressionAttributeValues": {":revision": {"N": str(release.revision)}},
            }
        if item not in self._unanswered:
            self._unanswered.append(item)
        with calling("writing the release record"):
            stored = item if self._put(item, condition) else self._get(saved.release_id)
        if stored not in self._unanswered:
            raise LeaseLost(f"someone else wrote release {release.release_id}")
        if stored != item:  # an earlier write of ours, whose answer was lost: this one follows it
            return self.save(replace(release, revision=int(stored["revision"]["N"])))
        self._unanswered.clear()
        return saved

    def ask(self, request: OperatorRequest) -> OperatorRequest:
        item = self._key(REQUEST) | {"request": {"S": json.dumps(asdict(request))}}
        if request.command == RequestCommand.ABORT:
            item["aborts"] = {"S": request.release_id}
        condition = {
            "ConditionExpression": "attribute_not_exists(aborts) OR aborts <> :release",
            "ExpressionAttributeValues": {":release": {"S": request.release_id}},
        }
        with calling("leaving a request for the controller"):
            if self._put(item, condition):
                return request
        return self.asked() or request

    def asked(self) -> OperatorRequest | None:
        with calling("reading the operators' requests"):
            item = self._get(REQUEST)
        return known(OperatorRequest, json.loads(item["request"]["S"])) if item else None

    def set_freeze(self, freeze: Freeze) -> None:
        with calling("writing the freeze"):
            self._put(self._key(FREEZE) | {"freeze": {"S": json.dumps(asdict(freeze))}}, {})

    def freeze(self) -> Freeze | None:
        with calling("reading the freeze"):
            item = self._get(FREEZE)
        return known(Freeze, json.loads(item["freeze"]["S"])) if item else None

    def acquire(self) -> None:
        now = self._now()
        self._since = now
        free = {
            "ConditionExpression": "attribute_not_exists(release_id) OR owner_token = :token",
            "ExpressionAttributeValues": {":token": {"S": self._token}},
        }
        with calling("taking the lease"):
            if self._put(self._lease(now), free):
                return
            item = self._get(LEASE)
            watched, since = self._watched
            if item != watched:
                self._watched = item, now
            elif item and now - since >= LEASE_SECONDS and self._put(self._lease(now), _unchanged(item)):
                return
        left = LEASE_SECONDS - (now - self._watched[1])
        raise LeaseHeld(item.get("holder", {}).get("S", "another controller"), max(0.0, left))

    def renew(self) -> None:
        condition = {
            "ConditionExpression": "owner_token = :token",
            "ExpressionAttributeValues": {":token": {"S": self._token}},
        }
        with calling("renewing the lease"):
            if not self._put(self._lease(self._now()), condition):
                raise LeaseLost("another controller has taken over the environment")

    def lease(self) -> Lease | None:
        with calling("reading the lease"):
            item = self._get(LEASE)
        if not item:
            return None
        until = float(item["expires_at"]["N"])
        since = float(item.get("since", {}).get("N", until - LEASE_SECONDS))
        return Lease(holder=item["holder"]["S"], since=since, renewed=until - LEASE_SECONDS, until=until)

    def give_up(self) -> None:
        with calling("giving up the lease"):
            try:
                self._dynamodb.delete_item(
                    TableName=self._table,
                    Key=self._key(LEASE),
                    ConditionExpression="owner_token = :token",
                    ExpressionAttributeValues={":token": {"S": self._token}},
                )
            except ClientError as error:
                if not _condition_failed(error):
                    raise

    def _key(self, release_id: str) -> dict[str, Any]:
        return {"environment": {"S": self._environment}, "release_id": {"S": release_id}}

    def _lease(self, now: float) -> dict[str, Any]:
        return self._key(LEASE) | {
            "holder": {"S": self._holder},
            "owner_token": {"S": self._token},
            "since": {"N": f"{self._since:.3f}"},
            "expires_at": {"N": f"{now + LEASE_SECONDS:.3f}"},
        }

    def _get(self, release_id: str) -> dict[str, Any]:
        found = self._dynamodb.get_item(TableName=self._table, Key=self._key(release_id), ConsistentRead=True)
        return dict(found.get("Item", {}))

    def _put(self, item: dict[str, Any], condition: dict[str, Any]) -> bool:
        """Write ``item``; ``False`` if its condition does not hold."""
        try:
            self._dynamodb.put_item(TableName=self._table, Item=item, **condition)
        except ClientError as error:
            if _condition_failed(error):
                return False
            raise
        return True


def _release(item: Mapping[str, Any]) -> Release | Unreadable:
    try:
        return Release.from_json(item["document"]["S"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Unreadable(f"release record {item['release_id']['S']} cannot be read: {error!r}; `rollback` replaces it")


def _unchanged(lease: Mapping[str, Any]) -> dict[str, Any]:
    """The condition that nobody has written this lease since."""
    return {
        "ConditionExpression": "owner_token = :token AND expires_at = :end",
        "ExpressionAttributeValues": {":token": lease["owner_token"], ":end": lease["expires_at"]},
    }


def _condition_failed(error: ClientError) -> bool:
    return error_code(error) == "ConditionalCheckFailedException"
