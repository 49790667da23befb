"""Logs of the functions: in CloudWatch Logs, in one file per function, and the metrics in them.

A thread reads the lines of an execution environment as it writes them. MiniStack instead delays each answer by up to
50 ms to wait for the lines. A line in CloudWatch's embedded metric format becomes metrics, as in CloudWatch Logs.
"""

import contextlib
import json
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ministack.core.lambda_runtime import Worker, _account_region_from_function_config
from ministack.core.responses import request_scope
from ministack.services import cloudwatch_logs, lambda_svc

from localcloud.emulator import metrics
from localcloud.emulator.own_api import settings
from localcloud.emulator.upstream import Function, original, replaces

KEEP_EVENTS = 500
"""Events of each stream that are kept in memory. The file keeps all of them."""
KEEP_STREAMS = 2
"""Streams of each group whose events are kept: a stream is a version's, and traffic goes to two at most."""

_writing = threading.Lock()
original(cloudwatch_logs, "_append_log_events")
original(cloudwatch_logs, "_make_group_arn")


def embedded_metrics(line: str) -> list[tuple[str, str, float, str, list[dict[str, str]]]]:
    """The metrics in one log line: (namespace, name, value, unit, sets of dimensions). An ordinary line has none.

    Source: "Specification: Embedded metric format" of CloudWatch.
    """
    if '"CloudWatchMetrics"' not in line:
        return []
    try:
        entry = json.loads(line)
        return [
            (
                directive["Namespace"],
                metric["Name"],
                float(value),
                metric.get("Unit", "None"),
                [{name: str(entry[name]) for name in names} for names in directive.get("Dimensions") or [[]]],
            )
            for directive in entry["_aws"]["CloudWatchMetrics"]
            for metric in directive["Metrics"]
            for value in (entry[metric["Name"]] if isinstance(entry[metric["Name"]], list) else [entry[metric["Name"]]])
        ]
    except (ValueError, KeyError, TypeError):
        return []  # CloudWatch ignores an invalid line, too


@replaces(Worker, "_read_stderr")
def read_output(_: Function, worker: Any) -> None:
    """Read an execution environment's output until it ends. Runs in a thread of its own."""
    with contextlib.suppress(ValueError, OSError):  # the pipe was closed with the environment
        for line in worker._proc.stderr:
            write(worker.config, [line.rstrip("\n")])


@replaces(Worker, "_drain_stderr_bounded")
def skip_waiting_for_output(_: Function, _worker: Any, *_args: Any, **_kwargs: Any) -> str:
    return ""


@replaces(lambda_svc, "_emit_lambda_logs")
def report(
    _: Function, func: Any, request_id: str, log_text: str, error: bool, duration_ms: int, **_kwargs: Any
) -> None:
    """Write Lambda's own line after an invocation. After a failed one, write its stack trace before that line."""
    config = func.get("config") or func
    lines = log_text.splitlines() if error else []
    outcome = "\tStatus: error" if error else ""
    write(config, [*lines, f"REPORT RequestId: {request_id}\tDuration: {duration_ms} ms{outcome}"])


def write(config: Any, lines: list[str]) -> None:
    account, region = _account_region_from_function_config(config)
    name, version = config["FunctionName"], config.get("Version", "$LATEST")
    group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{name}"
    now = time.time()
    with request_scope(account, region), _writing:
        _append(group, version, now, lines)
        _append_to_file(name, version, now, lines)
        for line in lines:
            for namespace, metric, value, unit, dimensions in embedded_metrics(line):
                metrics.record(namespace, metric, value, unit, *dimensions)


def _append(group_name: str, version: str, now: float, lines: list[str]) -> None:
    group = cloudwatch_logs._log_groups.get(group_name)
    if group is None:
        group = cloudwatch_logs._log_groups[group_name] = {
            "arn": cloudwatch_logs._make_group_arn(group_name), "creationTime": int(now * 1000),
            "retentionInDays": None, "tags": {}, "subscriptionFilters": {}, "streams": {},
        }  # fmt: skip
    stream = group["streams"].setdefault(
        f"{datetime.fromtimestamp(now, UTC):%Y/%m/%d}/[{version}]local",
        {"events": [], "uploadSequenceToken": "1", "creationTime": int(now * 1000), "firstEventTimestamp": None,
         "lastEventTimestamp": None, "lastIngestionTime": None},
    )  # fmt: skip
    milliseconds = int(now * 1000)
    cloudwatch_logs._append_log_events(
        stream, [{"timestamp": milliseconds, "message": line, "ingestionTime": milliseconds} for line in lines]
    )
    del stream["events"][:-KEEP_EVENTS]
    for older in list(group["streams"].values())[:-KEEP_STREAMS]:
        older["events"].clear()


def _append_to_file(name: str, version: str, now: float, lines: list[str]) -> None:
    """A full disk costs these lines and no more. On AWS no request fails because of its log; and a function whose
    output nobody reads any more would stop when the pipe is full."""
    folder = Path(settings().folder) / "logs"
    stamp = f"{datetime.fromtimestamp(now, UTC):%H:%M:%S.%f}"[:-3]
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        with (folder / f"{name}.log").open("a") as file:
            file.writelines(f"{stamp} [{version}] {line}\n" for line in lines)
