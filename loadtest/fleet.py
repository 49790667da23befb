"""The ECS tasks of one load gate: one task runs the gate, the others are its workers. ``task.py`` is their program."""

import io
import sys
import threading
import time
import uuid
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from loadtest.result import ExitCode, GateError
from pipeline.output import say

ROOT = Path(__file__).parents[1]
CODE = ("loadtest", "reporting", "pipeline/__init__.py", "pipeline/arguments.py", "pipeline/aws.py",
        "pipeline/encoding.py", "pipeline/output.py", "environments.py", "names.py", "windows.py",
        "requirements/loadtest.txt")  # fmt: skip
"""The files of this repository that the tasks need."""
TASK = ROOT / "loadtest/task.py"
POLL_SECONDS = 2.0
START_SECONDS = 900.0
"""The time, besides the run, for the tasks to start, install, find each other and hand over the reports."""
PATIENCE_SECONDS = 90.0
"""The time in which the gate must end after one of its workers. It notices the loss itself, and writes a report."""
LAST_WORDS_SECONDS = 6.0
"""The time to read the gate's log after its end, because CloudWatch shows a line some seconds late."""
MOST_STARTED, MOST_DESCRIBED = 10, 100
"""The most tasks in one call of RunTask or DescribeTasks."""

Task = dict[str, Any]


class Fleet:
    """Close it, so that no task is left running.

    ``place``: where and how tasks run, the stack's output ``LoadTasks``. ``interrupted``: set when a signal asks for
    the end. ``deadline``: reading of ``time.monotonic``.
    """

    def __init__(
        self, place: dict[str, Any], session: boto3.Session, interrupted: threading.Event, deadline: float
    ) -> None:
        self._place, self._region = place, session.region_name
        self._interrupted, self._deadline = interrupted, deadline
        self._ecs, self._logs = session.client("ecs"), session.client("logs")
        # Signed for the bucket's own region: the tasks follow no redirection.
        regional = Config(signature_version="s3v4", s3={"addressing_style": "virtual"})
        self._s3 = session.client("s3", config=regional)
        self._tasks: dict[str, Task] = {}
        self._read_to: dict[str, str] = {}
        self._told = ""

    def run_gate(self, count: int, gate_options: Sequence[str]) -> int:
        """Run the gate with ``count`` workers and bring its reports to ``reports/``. Returns its exit code.

        Raises ``GateError``, ``ClientError``, ``BotoCoreError``.
        """
        run_id, bucket = uuid.uuid4().hex, self._place["bucket"]
        code, results = {"Bucket": bucket, "Key": f"code/{run_id}.zip"}, f"reports/{run_id}.zip"
        self._s3.put_object(**code, Body=_packed())
        code_url = self._s3.generate_presigned_url("get_object", Params=code, ExpiresIn=int(START_SECONDS))
        options = [*gate_options, "--remote-workers", str(count)]
        [gate], workers = self._start(1, code_url, "gate", bucket, results, *options), list[str]()
        while not _has_ended(task := self._look(gate)):
            if not workers and (address := _address(task)):
                workers = self._start(count, code_url, "worker", address)
            if ended := [each for each in workers if _has_ended(self._tasks[each])]:
                self._deadline = min(self._deadline, time.monotonic() + PATIENCE_SECONDS)
            if time.monotonic() > self._deadline:
                raise GateError(ExitCode.GENERATOR_DIED, self._too_late(ended))
        enough = time.monotonic() + LAST_WORDS_SECONDS
        while time.monotonic() < enough and not self._interrupted.wait(POLL_SECONDS):
            self._show_log(gate)
        self._bring(bucket, results, task)
        exit_code = _exit_code(task)
        return ExitCode.GENERATOR_DIED if exit_code is None else exit_code

    def close(self) -> None:
        """Stop the tasks that have not ended, and name those that could not be stopped."""
        for arn, task in self._tasks.items():
            if not _has_ended(task):
                try:
                    self._ecs.stop_task(cluster=self._cluster, task=arn, reason="the load gate has ended")
                except (ClientError, BotoCoreError) as refusal:
                    say(f"task {arn} could not be stopped: {refusal}", sys.stderr)

    @property
    def _cluster(self) -> str:
        return str(self._place["run"]["cluster"])

    def _start(self, count: int, code_url: str, *arguments: str) -> list[str]:
        """Start ``count`` tasks. Returns their ARNs. Raises ``GateError`` when ECS starts fewer."""
        before = set(self._tasks)
        container = {
            "name": self._place["container"],
            "command": ["python", "-c", TASK.read_text(), code_url, *arguments],
            "environment": [
                {"name": "AWS_REGION", "value": self._region},
                {"name": "PYTHONUNBUFFERED", "value": "1"},
            ],
        }
        for first in range(0, count, MOST_STARTED):
            wanted = min(MOST_STARTED, count - first)
            overrides = {"containerOverrides": [container]}
            answer = self._ecs.run_task(**self._place["run"], count=wanted, overrides=overrides)
            self._tasks |= {task["taskArn"]: task for task in answer["tasks"]}
            if len(answer["tasks"]) < wanted:
                reasons = {f"{each.get('reason')} {each.get('detail', '')}".strip() for each in answer["failures"]}
                message = f"ECS starts {len(answer['tasks'])} of {wanted} tasks: {', '.join(sorted(reasons))}"
                raise GateError(ExitCode.GENERATOR_DIED, message)
        return [arn for arn in self._tasks if arn not in before]

    def _look(self, gate: str) -> Task:
        """Wait a moment, read the state of all tasks, and show the gate's new log lines. Returns the gate's task."""
        if self._interrupted.wait(POLL_SECONDS):
            raise GateError(ExitCode.INTERRUPTED, "interrupted before the verdict")
        arns = list(self._tasks)
        for first in range(0, len(arns), MOST_DESCRIBED):
            found = self._ecs.describe_tasks(cluster=self._cluster, tasks=arns[first : first + MOST_DESCRIBED])
            self._tasks |= {task["taskArn"]: task for task in found["tasks"]}
        states = Counter(task["lastStatus"] for arn, task in self._tasks.items() if arn != gate)
        workers = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
        standing = f"gate {self._tasks[gate]['lastStatus']}; workers: {workers or 'none yet'}"
        if standing != self._told:
            self._told = standing
            say(standing)
        self._show_log(gate)
        return self._tasks[gate]

    def _show_log(self, gate: str) -> None:
        page = self._log(gate, startFromHead=True, **self._read_to)
        self._read_to = {"nextToken": page["nextForwardToken"]} if page else {}
        for event in page.get("events", []):
            say(event["message"])

    def _log(self, arn: str, **how: Any) -> dict[str, Any]:
        """A page of a task's log; empty while it has said nothing."""
        stream = f"{self._place['logPrefix']}/{arn.rpartition('/')[2]}"
        try:
            return dict(self._logs.get_log_events(logGroupName=self._place["logGroup"], logStreamName=stream, **how))
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return {}

    def _too_late(self, ended: Sequence[str]) -> str:
        if not ended:
            return "the tasks took longer than they may"
        last_words = "".join(f"\n  {event['message']}" for event in self._log(ended[0], limit=10).get("events", []))
        return f"a worker ended before the gate: {_end(self._tasks[ended[0]])}{last_words}"

    def _bring(self, bucket: str, key: str, gate: Task) -> None:
        """Unpack the gate's reports. Raises ``GateError`` if there are none: the exit code alone is no verdict."""
        try:
            content = self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            raise GateError(ExitCode.GENERATOR_DIED, f"the gate left no reports: {_end(gate)}") from error
        zipfile.ZipFile(io.BytesIO(content)).extractall("reports")


def _packed() -> bytes:
    """``CODE`` as a zip file."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in (each for part in CODE for each in [ROOT / part, *(ROOT / part).rglob("*")]):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.write(path, path.relative_to(ROOT))
    return packed.getvalue()


def _address(task: Task) -> str | None:
    """The task's private address, once it has one."""
    details = [detail for attachment in task.get("attachments", []) for detail in attachment["details"]]
    return next((detail["value"] for detail in details if detail["name"] == "privateIPv4Address"), None)


def _has_ended(task: Task) -> bool:
    """Whether the task's container has ended. The task needs half a minute more to free its network interface."""
    return "STOPPED" in (task["lastStatus"], task["containers"][0].get("lastStatus"))


def _exit_code(task: Task) -> int | None:
    """The container's exit code. ``None``: it never started."""
    code: int | None = task["containers"][0].get("exitCode")
    return code


def _end(task: Task) -> str:
    """How a task ended."""
    said = [task.get("stoppedReason"), task["containers"][0].get("reason"), f"exit code {_exit_code(task)}"]
    return ", ".join(each for each in said if each)
