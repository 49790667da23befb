"""Whose fault lost requests are."""

import subprocess
import sys

import pytest

from environments import GateSettings
from loadtest.engine import LoadPlan
from loadtest.probe import REQUESTS, Counts, Fault, at_fault, welcome
from loadtest.scenario import Kind


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


@pytest.mark.parametrize("seed", range(1, 20))
def test_a_probe_asks_every_route_and_nothing_that_a_sound_version_refuses(seed: int) -> None:
    # Given a mix of which some payments are refused, and some look-ups find nothing
    plan = LoadPlan.of(GateSettings(seed=seed), "http://localhost/candidate", signed=False)

    sent = welcome(plan)

    # Then 4xx answers, which are counted by version, are no more because of the probe
    assert len(sent) == REQUESTS
    assert all(request.kind is Kind.ORDINARY and not request.is_about_one for request in sent)
    assert len({request.route for request in sent}) == len(plan.mix)


def test_traffic_starts_without_the_package_that_only_a_probe_needs() -> None:
    # Given a shift, which waits until its traffic has started
    script = "import sys; import loadtest.traffic; print('scipy.stats' in sys.modules)"
    # Then it does not wait for statistics, which take a second to load
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
