"""How many lost requests prove that the error budget is overspent."""

import random
from dataclasses import replace

import pytest

from environments import GateSettings
from loadtest.losses import FIRST_LOOK, LossBudget

SETTINGS = GateSettings(error_budget=0.001, confidence=0.95)


@pytest.mark.parametrize(("sent", "fewest"), [(20, 1), (40, 2), (600, 3), (2_400, 7), (6_000, 12), (24_000, 35)])
def test_the_fewest_losses_that_prove_it_at_the_end(sent: int, fewest: int) -> None:
    # As many or more would happen by chance in one of forty shifts, with a loss of 0.1 %
    assert LossBudget(SETTINGS).fewest(sent) == fewest


def test_the_losses_that_api_gateways_agreement_allows_prove_nothing() -> None:
    sent = 24_000
    assert sent * (1 - 0.9995) < LossBudget(SETTINGS).fewest(sent)


def test_a_wider_budget_allows_more() -> None:
    assert LossBudget(replace(SETTINGS, error_budget=0.01)).fewest(600) > LossBudget(SETTINGS).fewest(600)


def test_looks_come_after_half_as_many_requests_again_as_before() -> None:
    budget = LossBudget(SETTINGS)
    looks = [ended for ended in range(1, 200) if budget.is_overspent_meanwhile(ended, ended)]
    assert looks == [FIRST_LOOK, 75, 113, 170]


def test_a_tenth_of_all_requests_lost_is_found_within_a_few_seconds_of_traffic() -> None:
    budget, ended = LossBudget(SETTINGS), 0
    while not budget.is_overspent_meanwhile(ended // 10, ended):
        ended += 1
    assert ended <= 75


def test_traffic_within_its_budget_is_hardly_ever_stopped_however_often_it_is_looked_at() -> None:
    # Given two hundred shifts that lose as much as the budget allows
    chance, stopped = random.Random(1), 0
    for _ in range(200):
        budget, bad = LossBudget(SETTINGS), 0
        for ended in range(1, 6_001):
            bad += chance.random() < SETTINGS.error_budget
            if budget.is_overspent_meanwhile(bad, ended):
                stopped += 1
                break
    # Then at most one in forty is stopped, give or take what chance allows (a binomial bound at 99.9 %)
    assert stopped <= 14
