"""Metrics in the functions' log lines."""

import json
import time

from ministack.core.responses import request_scope
from ministack.services import cloudwatch_logs

from localcloud.emulator import function_logs
from localcloud.emulator.function_logs import embedded_metrics


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
