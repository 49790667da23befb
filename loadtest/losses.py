"""The error budget of steady traffic: whether so many requests were lost that it is no chance.

The gate's statistics (``loadtest.p99``): a budget is overspent when so many failures would have a probability of at
most alpha if requests failed no more often than it allows. One loss says nothing: by its service level agreement
(99.95 %) API Gateway alone may lose 12 of 24,000.

The traffic is judged again and again, and once at its end. Half of alpha is spent on the end. Look number k before it
spends ``alpha / 2 / (k * (k + 1))``, and these add up to the other half, however long the traffic lasts.
"""

import math

from environments import GateSettings
from loadtest.p99 import GROWTH, fewest_over

FIRST_LOOK = 50
"""Requests before the first look. Each look has half as many again as the one before."""


class LossBudget:
    """``share``: of requests that may fail. ``bad``, everywhere: how many were lost or answered wrongly."""

    def __init__(self, settings: GateSettings) -> None:
        self.share = settings.error_budget
        self._alpha = (1 - settings.confidence) / 2
        self._looks, self._next = 0, FIRST_LOOK

    def is_overspent_meanwhile(self, bad: int, ended: int) -> bool:
        """Whether ``bad`` of the ``ended`` requests prove it, if it is time for a look."""
        if ended < self._next:
            return False
        self._looks, self._next = self._looks + 1, math.ceil(ended * GROWTH)
        return bad >= fewest_over(ended, self._alpha / (self._looks * (self._looks + 1)), self.share)

    def fewest(self, sent: int) -> int:
        """How many of all that were ``sent`` prove at the end that it is overspent."""
        return fewest_over(sent, self._alpha, self.share)
