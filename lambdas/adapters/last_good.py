"""The last good value of a configuration, which goes on when what an operator or a rotation wrote is unusable."""

import json
import os
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from lambdas.payments.errors import Unavailable

T = TypeVar("T")

_REPORT_SECONDS = 60


class LastGood(Generic[T]):
    """A configuration that ``parse`` reads from its text, with ``ValueError`` for an unusable one.

    ``may_follow``: whether the first value may replace the second. ``first``: the value while no text was usable.
    While the text is unusable, the metric ``ConfigurationRefused`` counts it once a minute, which an alarm watches.
    """

    def __init__(
        self,
        name: str,
        parse: Callable[[str], T],
        may_follow: Callable[[T, T], bool] = lambda new, former: True,
        clock: Callable[[], float] = time.monotonic,
        first: T | None = None,
    ) -> None:
        self._first = first
        self._name, self._parse, self._may_follow, self._clock = name, parse, may_follow, clock
        self._text: str | None = None
        self._good: T | None = None
        self._fault: str | None = None
        self._report_after = float("-inf")

    def of(self, text: str) -> T:
        """The value of ``text``, or of the last usable text, or ``first``. Raises ``Unavailable`` if none is."""
        if text != self._text:
            self._text, self._fault = text, self._read(text)
        if self._fault is not None:
            self._report(self._fault)
        return self._last()

    def refuse(self, fault: str) -> T:
        """The value of the last text that was usable, because ``fault`` keeps the present one from being read."""
        self._report(fault)
        return self._last()

    @property
    def was_read(self) -> bool:
        """Whether there was a text, usable or not."""
        return self._text is not None

    def _last(self) -> T:
        value = self._first if self._good is None else self._good
        if value is None:
            raise Unavailable(self._name)
        return value

    def _read(self, text: str) -> str | None:
        """Keep the value of ``text``, or return why it is unusable."""
        try:
            value = self._parse(text)
        except ValueError as error:
            return str(error)
        if self._good is not None and not self._may_follow(value, self._good):
            return "it changes or takes back what functions use already"
        self._good = value
        return None

    def _report(self, fault: str) -> None:
        if self._clock() < self._report_after:
            return
        self._report_after = self._clock() + _REPORT_SECONDS
        from aws_lambda_powertools.metrics import MetricUnit, single_metric

        print(json.dumps({"level": "ERROR", "message": f"the {self._name} are unusable", "fault": fault}))
        with single_metric(name="ConfigurationRefused", unit=MetricUnit.Count, value=1) as metric:
            metric.add_dimension(name="Environment", value=os.environ["ENVIRONMENT"])
