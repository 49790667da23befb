"""The functions' log lines: the metrics in them, and what is kept of them."""

import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from ministack.core.responses import request_scope
from ministack.services import cloudwatch_logs

from localcloud.emulator import function_logs, own_api
from localcloud.emulator.function_logs import embedded_metrics
from localcloud.settings import Settings


def test_a_line_in_the_embedded_metric_format_gives_its_metrics() -> None:
    line = {
        "_aws": {
            "CloudWatchMetrics": [
                {
                    "Namespace": "Payments",
                    "Dimensions": [["service"], ["service", "Outcome"]],
                    "Metrics": [{"Name": "Validations", "Unit": "Count"}, {"Name": "Amount"}],
                }
            ]
        },
        "service": "validation",
        "Outcome": "valid",
        "Validations": [1.0, 2.0],
        "Amount": 12.5,
    }
    dimensions = [{"service": "validation"}, {"service": "validation", "Outcome": "valid"}]

    assert embedded_metrics(json.dumps(line)) == [
        ("Payments", "Validations", 1.0, "Count", dimensions),
        ("Payments", "Validations", 2.0, "Count", dimensions),
        ("Payments", "Amount", 12.5, "None", dimensions),
    ]


def test_other_lines_give_none() -> None:
    for line in ("plain", '{"message": "no metric"}', '{"_aws": {"CloudWatchMetrics": [{}]}}', '{"CloudWatchMetrics"'):
        assert embedded_metrics(line) == []


def test_memory_keeps_the_events_of_the_newest_versions_only() -> None:
    with request_scope("111111111111", "eu-west-1"):
        for version in ("1", "2", "3"):
            function_logs._append("/aws/lambda/f", version, time.time(), [f"line of version {version}"])
        streams = cloudwatch_logs._log_groups["/aws/lambda/f"]["streams"].values()

    assert [[event["message"] for event in stream["events"]] for stream in streams] == [
        [], ["line of version 2"], ["line of version 3"],
    ]  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits this process for a while")
def test_a_full_disk_costs_lines_and_stops_no_function(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Given an environment that writes a line while the disk is full, and one afterwards
    monkeypatch.setattr(own_api, "_settings", Settings.generate("dev", tmp_path, 4571))
    least, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    config = {"FunctionName": "f", "Version": "1", "FunctionArn": "arn:aws:lambda:eu-west-1:111111111111:function:f"}

    def output() -> Iterator[str]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))
        yield "lost\n"
        resource.setrlimit(resource.RLIMIT_FSIZE, (least, most))
        yield "kept\n"

    # When its output is read
    function_logs.read_output(lambda: None, SimpleNamespace(config=config, _proc=SimpleNamespace(stderr=output())))
    # Then all of it is read, or the function would stop at a full pipe
    [written] = (tmp_path / "logs/f.log").read_text().splitlines()
    assert written.endswith("[1] kept")
