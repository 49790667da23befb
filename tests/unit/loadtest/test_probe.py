"""Whose fault lost requests are."""

import pytest

from loadtest.probe import REQUESTS, Counts, Fault, at_fault


@pytest.mark.parametrize(
    ("candidate", "production", "fault"),
    [
        ((REQUESTS, 0), (2, 78), Fault.CANDIDATE),
        ((7, REQUESTS - 7), (1, 119), Fault.CANDIDATE),
        ((10, REQUESTS - 10), (40, 40), Fault.EVERYBODY),
        ((REQUESTS, 0), (80, 0), Fault.EVERYBODY),
        ((0, REQUESTS), (5, 75), Fault.EVERYBODY),
        ((1, REQUESTS - 1), (0, 80), Fault.OVER),
        ((0, REQUESTS), (0, 80), Fault.OVER),
    ],
    ids=["dead candidate", "a dead route", "fail-over", "nothing works", "stable", "one may be chance", "over"],
)
def test_the_candidate_is_at_fault_if_it_fails_more_than_production_meanwhile(
    candidate: Counts, production: Counts, fault: Fault
) -> None:
    # Given production that has lost requests before, too
    readings = iter([(100, 1000), (100 + production[0], 1000 + production[1])])
    assert at_fault(lambda: candidate, lambda: next(readings)) is fault
