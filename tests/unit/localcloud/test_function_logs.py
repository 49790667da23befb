"""Metrics in the functions' log lines."""

import json

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
