"""The state of an alarm for its datapoints, newest first."""

from typing import Any

import pytest

from localcloud.emulator.alarms import judge


def alarm(**changes: Any) -> dict[str, Any]:
    return {"ComparisonOperator": "GreaterThanThreshold", "Threshold": 10.0, **changes}


@pytest.mark.parametrize(
    ("values", "needed", "state"),
    [
        ([11.0, 11.0, 11.0], None, "ALARM"),
        ([11.0, 10.0, 11.0], None, "OK"),
        ([11.0, 10.0, 11.0], 2, "ALARM"),
        ([10.0, 10.0, 11.0], 2, "OK"),
    ],
)
def test_m_out_of_n_datapoints(values: list[float], needed: int | None, state: str) -> None:
    assert judge(alarm(DatapointsToAlarm=needed), values) == state


@pytest.mark.parametrize(
    ("treatment", "state"),
    [("missing", "INSUFFICIENT_DATA"), ("notBreaching", "OK"), ("breaching", "ALARM"), ("ignore", None)],
)
def test_the_state_without_data(treatment: str, state: str | None) -> None:
    assert judge(alarm(TreatMissingData=treatment), [None, None]) == state


def test_missing_data_that_counts_as_breaching_adds_to_the_breaches() -> None:
    assert judge(alarm(TreatMissingData="breaching"), [11.0, None]) == "ALARM"


@pytest.mark.parametrize(
    ("operator", "state"),
    [
        ("GreaterThanThreshold", "OK"),
        ("GreaterThanOrEqualToThreshold", "ALARM"),
        ("LessThanThreshold", "OK"),
        ("LessThanOrEqualToThreshold", "ALARM"),
    ],
)
def test_a_value_at_the_threshold(operator: str, state: str) -> None:
    assert judge(alarm(ComparisonOperator=operator), [10.0]) == state
