"""Clear away what a failed first creation of an environment's stack left behind, so that it can be created again.

CloudFormation accepts only the deletion of such a stack (user guide, "Stack status codes"). Roll-back and deletion both
fail at resources with deletion protection, and leave behind what the template keeps. This module removes both, from a
stack that never was complete and holds no data. It refuses any other.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import ClientError

from pipeline.bootstrap.stack_resources import HOLDS_DATA, LIFT_PROTECTION, PROTECTED, REMOVE, Resource

STRANDED = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED", "REVIEW_IN_PROGRESS")
"""States in which a first creation can end. A deletion that failed ends in one of them too."""
LIVED = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")
LONGEST_SECONDS = 3600
"""For the deletion. Network interfaces of functions in a VPC alone take 20 to 45 minutes."""
PAUSE_SECONDS = 5.0


class NotRecoverable(Exception):
    """The stack is not the remains of a failed first creation, or could not be removed. The message says why."""


@dataclass(frozen=True, kw_only=True)
class Remains:
    """A stack whose first creation failed."""

    stack_id: str
    status: str
    protected: Sequence[Resource]
    """Their protection is to be lifted."""
    retained: Sequence[Resource]
    """CloudFormation would leave them behind, with the names that the next creation needs."""
    terminable: bool
    """Whether the stack itself may be deleted: it has no termination protection."""

    def actions(self) -> list[str]:
        """What ``remove`` does, a line each."""
        return [
            *(f"lift the deletion protection of {each}" for each in self.protected),
            *(f"delete {each}, which the template would keep" for each in self.retained),
            *([] if self.terminable else ["lift the termination protection of the stack"]),
            f"delete the stack ({self.status}) with all other resources",
        ]


def survey(aws: boto3.Session, stack_name: str) -> Remains | None:
    """The remains of a failed first creation; ``None`` when there is no stack. Changes nothing.

    Raises ``NotRecoverable`` for a stack that was complete once, is at work, or holds data.
    """
    cloudformation: Any = aws.client("cloudformation")
    try:
        stack = cloudformation.describe_stacks(StackName=stack_name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    status, id = stack["StackStatus"], stack["StackId"]
    if status not in STRANDED:
        raise NotRecoverable(f"{stack_name} is {status}: that is no failed first creation, so nothing was changed")
    if any(_is_complete(event, id) for event in _pages(cloudformation, "describe_stack_events", "StackEvents", id)):
        raise NotRecoverable(
            f"{stack_name} is {status}, but it was complete once and may hold data: recover it by hand, with"
            " `aws cloudformation describe-stack-events` to see why"
        )
    resources = _resources(cloudformation, id)
    if held := [f"{each}: {what}" for each in resources if (what := _look(HOLDS_DATA, aws, each))]:
        raise NotRecoverable(f"{stack_name} holds data, so nothing was changed: {'; '.join(held)}")
    return Remains(
        stack_id=id,
        status=status,
        protected=[each for each in resources if _look(PROTECTED, aws, each)],
        retained=[each for kind in REMOVE for each in resources if each.retained and each.kind == kind],
        terminable=not stack.get("EnableTerminationProtection"),
    )


def remove(aws: boto3.Session, remains: Remains, progress: Callable[[str], None]) -> None:
    """Do what ``remains.actions()`` says. It may be interrupted, and then be done again.

    Raises ``NotRecoverable`` with the resources that could not be deleted.
    """
    cloudformation: Any = aws.client("cloudformation")
    for each in remains.protected:
        progress(f"lifting the protection of {each}")
        _look(LIFT_PROTECTION, aws, each)
    for each in remains.retained:
        progress(f"deleting {each}")
        _look(REMOVE, aws, each)
    if not remains.terminable:
        cloudformation.update_termination_protection(StackName=remains.stack_id, EnableTerminationProtection=False)
    cloudformation.delete_stack(StackName=remains.stack_id)
    _wait(cloudformation, remains.stack_id, progress)


def _look(by_kind: dict[str, Callable[[boto3.Session, str], Any]], aws: boto3.Session, resource: Resource) -> Any:
    """The function of the resource's kind, called with its id. ``None`` without one, or when the resource is gone."""
    try:
        return by_kind[resource.kind](aws, resource.id) if resource.kind in by_kind else None
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if "NotFound" in code or code in ("NoSuchBucket", "404"):
            return None
        raise


def _resources(cloudformation: Any, stack_id: str) -> list[Resource]:
    template = cloudformation.get_template(StackName=stack_id)["TemplateBody"]
    declared = template["Resources"] if isinstance(template, dict) else {}
    return [
        Resource(
            kind=each["ResourceType"],
            id=each["PhysicalResourceId"],
            logical_id=each["LogicalResourceId"],
            retained=declared.get(each["LogicalResourceId"], {}).get("DeletionPolicy", "").startswith("Retain"),
        )
        for each in _pages(cloudformation, "list_stack_resources", "StackResourceSummaries", stack_id)
        if each["ResourceStatus"] != "DELETE_COMPLETE" and each.get("PhysicalResourceId")
    ]


def _pages(cloudformation: Any, operation: str, key: str, stack_id: str) -> list[dict[str, Any]]:
    pages = cloudformation.get_paginator(operation).paginate(StackName=stack_id)
    return [entry for page in pages for entry in page[key]]


def _is_complete(event: dict[str, Any], stack_id: str) -> bool:
    return event.get("PhysicalResourceId") == stack_id and event["ResourceStatus"] in LIVED


def _wait(cloudformation: Any, stack_id: str, progress: Callable[[str], None]) -> None:
    deadline, left = time.monotonic() + LONGEST_SECONDS, -1
    while True:
        stack = cloudformation.describe_stacks(StackName=stack_id)["Stacks"][0]
        if stack["StackStatus"] == "DELETE_COMPLETE":
            return
        resources = _pages(cloudformation, "list_stack_resources", "StackResourceSummaries", stack_id)
        if stack["StackStatus"] == "DELETE_FAILED":
            failed = [
                f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason', 'no reason given')}"
                for each in resources
                if each["ResourceStatus"] == "DELETE_FAILED"
            ]
            raise NotRecoverable(
                f"the stack is DELETE_FAILED: {'; '.join(failed)}. Remove the cause, and run this again"
            )
        if time.monotonic() > deadline:
            raise NotRecoverable(
                f"the stack is still {stack['StackStatus']}. It goes on by itself: run this again later"
            )
        now = sum(each["ResourceStatus"] not in ("DELETE_COMPLETE", "DELETE_SKIPPED") for each in resources)
        if now != left:
            progress(f"deleting the stack, {now} resources left (functions in a VPC take 20 to 45 minutes)")
        left = now
        time.sleep(PAUSE_SECONDS)
