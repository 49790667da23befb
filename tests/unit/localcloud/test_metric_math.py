"""Metric math of alarms, on the values of one period."""

import pytest

from localcloud.emulator.metric_math import UnsupportedExpression, evaluate


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("100 * errors / requests", 5.0),
        ("100 * errors / MAX([requests, 1])", 5.0),
        ("IF(requests > 10, errors / requests, 0)", 0.05),
        ("IF(requests > 1000, errors / requests, 0)", 0.0),
        ("IF(requests > 10 AND errors > 6, 1, 2)", 2.0),
        ("IF(requests > 10 && errors >= 5, 1, 2)", 1.0),
        ("IF(requests > 1000 || errors == 5, 1)", 1.0),
        ("SUM([requests, errors, FILL(silent, 7)])", 112.0),
        ("AVG([requests, errors])", 52.5),
        ("-errors + 10", 5.0),
        ("CEIL(errors / 2)", 3.0),
    ],
)
def test_the_value_of_an_expression(expression: str, expected: float) -> None:
    values = {"requests": 100.0, "errors": 5.0, "silent": None}

    assert evaluate(expression, values) == expected


@pytest.mark.parametrize("expression", ["errors / silent", "silent > 1", "errors / nothing", "IF(silent, 1, 2)"])
def test_no_data_gives_no_value(expression: str) -> None:
    assert evaluate(expression, {"errors": 5.0, "silent": None, "nothing": 0.0}) is None


@pytest.mark.parametrize("expression", ["ANOMALY_DETECTION_BAND(m1)", "m1 +", "other + 1", "m1.real", "'text'"])
def test_an_unsupported_expression_is_refused(expression: str) -> None:
    with pytest.raises(UnsupportedExpression, match="metric math"):
        evaluate(expression, {"m1": 1.0})
