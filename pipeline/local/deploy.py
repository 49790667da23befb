"""Deploys a synthesised stack like CodePipeline: publish the assets, create a change set, execute it.

    python -m pipeline.local.deploy payment-platform-dev --template … --assets … --outputs …
    python -m pipeline.local.deploy payment-platform-prod … --prepare CHANGES     only make the change set
    python -m pipeline.local.deploy payment-platform-prod … --execute CHANGES     only execute that one

The templates and asset manifests of the cloud assembly are used unchanged. An asset is stored under the hash of its
content, so an asset that exists is not published again. A change set holds only the differences from the deployed
stack. Of two deployments at once, the second waits for the first, and plans again what is then left to do.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError

import names
from localcloud.files import read_object, write_private
from pipeline.aws import session
from pipeline.local.errors import ExitCode, StepFailed
from pipeline.output import say

TIME_LIMIT_SECONDS = 600
PLANNED_ONLY = "REVIEW_IN_PROGRESS"
"""The state of a stack that has a change set and no resources. Nothing is at work on it."""

MOST_PLANS = 5
"""How often a deployment is planned that others overtake."""
OVERTAKEN = ("AlreadyExistsException", "ChangeSetNotFound", "InvalidChangeSetStatus")
"""What CloudFormation answers then: the stack is being made, or the change set was deleted with another's execution."""

Progress = Callable[[str], None]


class Overtaken(StepFailed):
    """Another deployment of the stack came first, so this one needs another plan."""


@dataclass(frozen=True, kw_only=True)
class ChangeSet:
    """What will be done. ``name``: in CloudFormation, which keeps no empty change set. ``changes``: action and logical
    id of each resource."""

    name: str
    changes: list[list[str]]

    def count(self, action: str) -> int:
        return [each[0] for each in self.changes].count(action)

    def __str__(self) -> str:
        if not self.changes:
            return "no changes"
        return (
            f"{self.count('Add')} resources to add, {self.count('Modify')} to modify, {self.count('Remove')} to remove"
        )


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """The result of a deployment: what was done, and the stack's outputs."""

    done: ChangeSet
    outputs: dict[str, str]

    def __str__(self) -> str:
        if not self.done.changes:
            return "no changes"
        added, modified, removed = (self.done.count(action) for action in ("Add", "Modify", "Remove"))
        return f"{added} resources added, {modified} modified, {removed} removed"


def prepare(aws: boto3.Session, stack_name: str, *, template: Path, assets: Path, progress: Progress) -> ChangeSet:
    """Publish the assets and create a change set to ``template``. ``assets`` is the asset manifest beside it.

    Raises ``StepFailed`` when CloudFormation refuses, and ``Overtaken``.
    """
    published = _publish(aws, assets, progress)
    if template.name not in published:
        raise StepFailed(f"{assets} does not name the template {template.name}")
    return _Stack(aws, stack_name, progress).prepare(published[template.name])


def execute(aws: boto3.Session, stack_name: str, change_set: ChangeSet, *, progress: Progress) -> Deployment:
    """Execute ``change_set``. Raises ``StepFailed`` when CloudFormation rolls back, naming the resource and the reason,
    and ``Overtaken`` when it can't be executed any more."""
    return _Stack(aws, stack_name, progress).execute(change_set)


def deploy(aws: boto3.Session, stack_name: str, *, template: Path, assets: Path, progress: Progress) -> Deployment:
    """Both. When another deployment comes in between, wait for its end and plan again. Raises ``StepFailed``."""
    plans = 0
    while True:
        try:
            change_set = prepare(aws, stack_name, template=template, assets=assets, progress=progress)
            return execute(aws, stack_name, change_set, progress=progress)
        except Overtaken:
            plans += 1
            if plans == MOST_PLANS:
                raise
            progress("another deployment came first: planning again")


def _publish(aws: boto3.Session, manifest: Path, progress: Progress) -> dict[str, str]:
    """Store the file assets that S3 does not hold yet. Returns the S3 URL of each source file by its name."""
    assets = _assets(manifest)
    s3, account = aws.client("s3"), aws.client("sts").get_caller_identity()["Account"]
    placeholders = {"${AWS::AccountId}": account, "${AWS::Region}": aws.region_name, "${AWS::Partition}": "aws"}
    urls = {}
    for asset in assets:
        path = manifest.parent / asset["source"]["path"]
        for destination in asset["destinations"].values():
            bucket, key = destination["bucketName"], destination["objectKey"]
            for placeholder, value in placeholders.items():
                bucket = bucket.replace(placeholder, value)
            urls[path.name] = f"{s3.meta.endpoint_url}/{bucket}/{key}"
            if _is_stored(s3, bucket, key):
                continue
            progress(f"publishing {path.name}")
            with tempfile.TemporaryDirectory() as scratch:
                packed = path
                if asset["source"]["packaging"] == "zip":
                    packed = Path(shutil.make_archive(f"{scratch}/asset", "zip", path))
                s3.upload_file(str(packed), bucket, key)
    return urls


def _assets(manifest: Path) -> list[dict[str, Any]]:
    try:
        return list(read_object(manifest)["files"].values())
    except (AttributeError, KeyError, ValueError) as error:
        raise StepFailed(f"{manifest} is no asset manifest: {error}") from error


def _is_stored(s3: Any, bucket: str, key: str) -> bool:
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
            return False
        raise
    return True


class _Stack:
    def __init__(self, aws: boto3.Session, name: str, progress: Progress) -> None:
        self._cloudformation = aws.client("cloudformation")
        self._name = name
        self._progress = progress

    def prepare(self, template_url: str) -> ChangeSet:
        status = self._wait_while_busy(since=time.time())  # CloudFormation continues an earlier deployment by itself
        exists = status not in (None, "DELETE_COMPLETE", PLANNED_ONLY)
        name = f"promotion-{int(time.time() * 1000)}"
        try:
            return ChangeSet(name=name, changes=self._plan(name, template_url, "UPDATE" if exists else "CREATE"))
        except ClientError as error:
            if error.response["Error"]["Code"] in OVERTAKEN or "_IN_PROGRESS state" in str(error):
                raise Overtaken(f"another deployment of {self._name} came first: promote again") from error
            raise

    def execute(self, change_set: ChangeSet) -> Deployment:
        if change_set.changes:
            self._execute(change_set.name, len(change_set.changes))
        return Deployment(done=change_set, outputs=self._outputs())

    def _describe(self) -> dict[str, Any] | None:
        try:
            return dict(self._cloudformation.describe_stacks(StackName=self._name)["Stacks"][0])
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise

    def _status(self) -> str | None:
        stack = self._describe()
        return stack["StackStatus"] if stack else None

    def _outputs(self) -> dict[str, str]:
        stack = self._describe() or {}
        return {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}

    def _plan(self, name: str, template_url: str, kind: Any) -> list[list[str]]:
        """Create a change set. Returns action and logical id for each resource; an empty list when nothing differs."""
        try:
            self._cloudformation.create_change_set(
                StackName=self._name,
                ChangeSetName=name,
                ChangeSetType=kind,
                TemplateURL=template_url,
                Capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
            )
        except ClientError as error:
            if "state and can not be updated" in str(error) and "_IN_PROGRESS state" not in str(error):
                raise StepFailed(f"{error.response['Error']['Message']} {self._recovery()}") from error
            raise
        while (found := self._read_change_set(name))["Status"].endswith(("PENDING", "IN_PROGRESS")):
            time.sleep(0.2)
        if found["Status"] == "FAILED":
            reason = found.get("StatusReason", "no reason given")
            self._cloudformation.delete_change_set(StackName=self._name, ChangeSetName=name)
            if "didn't contain changes" in reason or "No updates are to be performed" in reason:
                return []
            raise StepFailed(f"CloudFormation can't plan {self._name}: {reason}")
        changes = (change["ResourceChange"] for change in found["Changes"])
        return [[each["Action"], each["LogicalResourceId"]] for each in changes]

    def _recovery(self) -> str:
        if self._status() == "UPDATE_ROLLBACK_FAILED":
            return (
                f"This tries its roll-back again: aws cloudformation continue-update-rollback --stack-name {self._name}"
            )
        environment = self._name.removeprefix(names.stack(""))
        return (
            "If that was its first creation, this shows how to clear it away:"
            f" python -m pipeline.bootstrap --env {environment} --recover"
        )

    def _read_change_set(self, name: str) -> dict[str, Any]:
        """The change set with the changes of all pages."""
        found: dict[str, Any] = dict(self._cloudformation.describe_change_set(StackName=self._name, ChangeSetName=name))
        page = found
        while token := page.get("NextToken"):
            page = dict(
                self._cloudformation.describe_change_set(StackName=self._name, ChangeSetName=name, NextToken=token)
            )
            found["Changes"] += page["Changes"]
        return found

    def _execute(self, change_set: str, expected: int) -> None:
        began = time.time()
        try:
            self._cloudformation.execute_change_set(StackName=self._name, ChangeSetName=change_set)
        except ClientError as error:
            if error.response["Error"]["Code"] in OVERTAKEN:
                raise Overtaken(f"the change set {change_set} can't be executed any more: promote again") from error
            raise
        status = self._wait_while_busy(since=began, expected=expected)
        if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            raise StepFailed(self._first_failure(began, status))

    def _wait_while_busy(self, *, since: float, expected: int = 0) -> str | None:
        deadline = time.monotonic() + TIME_LIMIT_SECONDS
        seen: set[str] = set()
        finished: set[str] = set()
        current = ""
        time.sleep(0.2)
        while (status := self._status()) and status.endswith("IN_PROGRESS") and status != PLANNED_ONLY:
            if time.monotonic() > deadline:
                raise StepFailed(f"{self._name} was still {status} after {TIME_LIMIT_SECONDS} s")
            new = list(takewhile(lambda event: event["EventId"] not in seen, self._events(since)))
            seen.update(event["EventId"] for event in new)
            finished.update(e["LogicalResourceId"] for e in new if e["ResourceStatus"].endswith("_COMPLETE"))
            current = new[0]["LogicalResourceId"] if new else current
            self._progress(f"{len(finished)} of {expected} resources  {current}" if expected else str(status))
            time.sleep(0.3)
        return status

    def _events(self, since: float) -> Iterator[dict[str, Any]]:
        """The stack's events since this time (seconds since the epoch), newest first."""
        pages = self._cloudformation.get_paginator("describe_stack_events").paginate(StackName=self._name)
        for event in (event for page in pages for event in page["StackEvents"]):
            if event["Timestamp"].timestamp() < since - 1:
                return
            yield dict(event)

    def _first_failure(self, since: float, status: str | None) -> str:
        """Describe the first failure: it is the cause. Later failures are its consequences."""
        failures = [e for e in self._events(since) if e["ResourceStatus"].endswith("_FAILED")]
        if not failures:
            return f"{self._name} ended as {status} without naming a resource"
        first = failures[-1]
        return (
            f"{first['ResourceType']} {first['LogicalResourceId']} of {self._name}: "
            f"{first.get('ResourceStatusReason', 'no reason given')} (the stack is {status})"
        )


def main() -> int:
    options = _parser().parse_args()

    def progress(text: str) -> None:
        say(text)

    try:
        aws = session(None)
        if options.prepare:
            change_set = prepare(
                aws, options.stack, template=options.template, assets=options.assets, progress=progress
            )
            if options.prepare.exists() and read_object(options.prepare)["changes"] != change_set.changes:
                raise StepFailed(f"{change_set}: that is not what was approved, so promote again")
            _write(options.prepare, asdict(change_set))
            progress(str(change_set))
            return ExitCode.OK
        if options.execute:
            approved = ChangeSet(**read_object(options.execute))
            done = execute(aws, options.stack, approved, progress=progress)
        else:
            done = deploy(aws, options.stack, template=options.template, assets=options.assets, progress=progress)
        _write(options.outputs, done.outputs)
        progress(str(done))
    except (StepFailed, BotoCoreError, ClientError, S3UploadFailedError, OSError, TypeError, ValueError) as error:
        progress(f"{options.stack} was not deployed: {error}")
        return ExitCode.FAILED
    return ExitCode.OK


def _write(file: Path, content: dict[str, Any]) -> None:
    write_private(file, json.dumps(content, indent=2) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline.local.deploy", description="Deploy a stack.")
    parser.add_argument("stack", help="name of the CloudFormation stack")
    parser.add_argument("--template", type=Path, required=True, help="the template in the cloud assembly")
    parser.add_argument("--assets", type=Path, required=True, help="the asset manifest beside it")
    parser.add_argument("--outputs", type=Path, required=True, help="where to write the stack's outputs, as JSON")
    half = parser.add_mutually_exclusive_group()
    half.add_argument(
        "--prepare",
        type=Path,
        metavar="CHANGES",
        help="make a change set, write it here, and stop; fails if another one stands here",
    )
    half.add_argument("--execute", type=Path, metavar="CHANGES", help="execute the change set that stands here")
    return parser


if __name__ == "__main__":
    sys.exit(main())
